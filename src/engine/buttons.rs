//! Support buttons: ways into one queue that do not wear out (R2.1, R2.2). A rep gives one out as a link, or hands it to the
//! customer's end of a session, which keeps it (P3.17). Of its token only the hash is known here.

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped, State, address,
    command::{Ask, Customer},
    index::is_barred,
    keys::gone,
    refusal::refuse,
};
use crate::{
    ids::*,
    limits,
    policy::{Tool, plan::Args},
    site::{Site, UserPermission},
    time::Time,
    wire::control::Value,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Buttons {
    live: BTreeMap<ButtonId, Button>,
    of_token: BTreeMap<SecretHash, ButtonId>,
    last: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Button {
    pub by: UserId,
    pub queue: Queue,
    /// Its sessions come through this one; none: through that of the customer's own connection (R2.4).
    pub portal: Option<PortalId>,
    pub made: Time,
    token: SecretHash,
}

impl Buttons {
    /// The oldest first.
    pub fn live(&self) -> impl Iterator<Item = (ButtonId, &Button)> {
        self.live.iter().map(|(id, button)| (*id, button))
    }

    pub(super) fn of_token(&self, token: SecretHash) -> Option<ButtonId> {
        self.of_token.get(&token).copied()
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::ButtonMade { button, by, queue, portal, token } => {
                self.last = self.last.max(button.0);
                let made = Button { by: *by, queue: *queue, portal: *portal, made: at, token: *token };
                self.live.insert(*button, made);
                self.of_token.insert(*token, *button);
            }
            Event::ButtonPortalSet { button, portal, .. } => {
                if let Some(known) = self.live.get_mut(button) {
                    known.portal = *portal;
                }
            }
            Event::ButtonGone { button, .. } => {
                if let Some(gone) = self.live.remove(button) {
                    self.of_token.remove(&gone.token);
                }
            }
            _ => {}
        }
    }

    /// Buttons go with their queue.
    fn keep(&mut self, site: &Site) {
        self.live.retain(|_, button| match button.queue {
            Queue::Team(team) => site.teams.contains_key(&team),
            Queue::Personal(user) => site.users.contains_key(&user),
        });
        self.of_token.retain(|_, button| self.live.contains_key(button));
    }
}

impl State {
    pub(super) fn fold_buttons_of_site(&mut self) {
        self.buttons.keep(&self.site);
    }

    /// Who made it; of a team's who is in the team, of a rep's own whoever has a higher role, both by the permission to
    /// manage; who edits the site's buttons.
    pub fn may_manage_button(&self, actor: Actor, button: &Button) -> bool {
        let users = &self.site.users;
        let may = |user: UserId, permission: UserPermission| {
            users.get(&user).is_some_and(|user| user.enabled && user.permissions.contains(&permission))
        };
        let role = |user: UserId, team: &TeamId| users.get(&user).and_then(|user| user.teams.get(team));
        let of_the_site =
            |user| [UserPermission::EditSupportButtons, UserPermission::Administrator].iter().any(|it| may(user, *it));
        match actor {
            Actor::System => true,
            Actor::Admin(user) => of_the_site(user),
            Actor::Party(Party::Rep(rep)) => {
                let reaches = || match button.queue {
                    Queue::Team(team) => role(rep, &team).is_some(),
                    Queue::Personal(owner) => users
                        .get(&owner)
                        .is_some_and(|owner| owner.teams.iter().any(|(team, theirs)| role(rep, team) > Some(theirs))),
                };
                rep == button.by || of_the_site(rep) || (may(rep, UserPermission::ButtonsTeamManage) && reaches())
            }
            _ => false,
        }
    }
}

/// Of what the customer's end keeps from here on; it drew the token itself (P3.17).
pub(super) fn token_of(facts: &Args) -> Result<SecretHash, Refusal> {
    let token = match facts.get("token") {
        Some(Value::Text(token)) => SecretHash::from_hex(token),
        _ => None,
    };
    token.ok_or_else(|| Refusal::new(Reason::Malformed, "P3.17", "`token` is the SHA-256 of the token that is kept"))
}

impl Engine {
    /// A link to give out.
    pub(super) fn make_button(
        &mut self,
        now: Time,
        actor: Actor,
        queue: Queue,
        portal: Option<PortalId>,
        token: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        self.may_have_button(rep, queue)?;
        let (button, made) = self.new_button(rep, queue, portal, token)?;
        self.emit(now, made, out);
        Ok(Outcome::Button(button))
    }

    /// Whoever has it comes in by it no more. Of one that is gone already nothing is left to do.
    pub(super) fn revoke_button(
        &mut self,
        now: Time,
        actor: Actor,
        button: ButtonId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if self.managed(actor, button)?.is_some() {
            self.emit(now, Event::ButtonGone { button, by: actor }, out);
        }
        Ok(Outcome::Done)
    }

    /// Sessions that begin by it from here on come through another portal, and have its policy.
    pub(super) fn set_button_portal(
        &mut self,
        now: Time,
        actor: Actor,
        button: ButtonId,
        portal: Option<PortalId>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let Some(known) = self.managed(actor, button)? else {
            return refuse(Reason::KeyGone, "R2.1", "there is no such button");
        };
        if let Actor::Party(Party::Rep(rep)) = actor
            && !self.user_may(rep, UserPermission::ButtonsChangePortal)
        {
            return refuse(Reason::NotPermitted, "P1.1", "another portal needs the permission buttons_change_portal");
        }
        self.serves(known.queue, portal)?;
        if known.portal != portal {
            self.emit(now, Event::ButtonPortalSet { button, by: actor, portal }, out);
        }
        Ok(Outcome::Done)
    }

    /// A customer came by a button, which asks for a session each time. One that may not be had any more looks like one
    /// that never was.
    pub(super) fn press(
        &mut self,
        now: Time,
        id: ButtonId,
        portal: Option<PortalId>,
        customer: &Customer,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let button = self.state.buttons.live.get(&id).cloned().ok_or_else(gone)?;
        if let Queue::Personal(rep) = button.queue {
            // What its rep may not have at this moment opens nothing (I-A10).
            self.may_have_button(rep, button.queue).map_err(|_| gone())?;
        }
        // Without its portal it would open more than it was meant to.
        self.serves(button.queue, button.portal).map_err(|_| gone())?;
        if self.state.index.waiting_by(id) >= limits::BUTTON_WAITING {
            return refuse(Reason::LimitReached, "R6.4", "many wait who came by this button: try again later");
        }
        let entry = Entry::Queue(button.queue);
        let portal = button.portal.or(portal);
        let ask = Ask { portal, button: Some(id), customer: customer.clone(), ..Ask::of(entry) };
        let session = self.ask(now, Actor::Party(Party::Rep(button.by)), ask, out)?;
        Ok(self.let_in(now, session, customer, resume, out))
    }

    /// P3.17: the button that this rep asks the customer's end to keep, as far as it may be had; the session's policy is
    /// looked at before.
    pub(super) fn deployed(&self, by: Party, args: &Args) -> Result<(UserId, Queue, Option<PortalId>), Refusal> {
        let codes = &self.state.site.codes;
        let Party::Rep(rep) = by else {
            return refuse(Reason::NotPermitted, "P3.17", "only a rep of the house hands over a button");
        };
        let text = |name: &str| if let Some(Value::Text(text)) = args.get(name) { Some(text.as_str()) } else { None };
        let queue = text("queue").map_or(Ok(Queue::Personal(rep)), |queue| address::queue(codes, queue))?;
        let portal = text("portal").map(|code| address::portal(codes, code)).transpose()?;
        let account = || format!("user:{}", self.state.site.username(rep));
        self.may_have_button(rep, queue).map_err(|refusal| match refusal.tool {
            Some(_) => refusal,
            None => refusal.of_tool(Tool::Deploy, account()),
        })?;
        self.serves(queue, portal)?;
        Ok((rep, queue, portal))
    }

    /// The customer's end has taken it up, and says the hash of the token that it made for it.
    pub(super) fn handed_over(&self, by: Party, args: &Args, facts: &Args) -> Result<Event, Refusal> {
        let (rep, queue, portal) = self.deployed(by, args)?;
        self.new_button(rep, queue, portal, token_of(facts)?).map(|(_, made)| made)
    }

    fn new_button(
        &self,
        by: UserId,
        queue: Queue,
        portal: Option<PortalId>,
        token: SecretHash,
    ) -> Result<(ButtonId, Event), Refusal> {
        self.serves(queue, portal)?;
        let buttons = &self.state.buttons;
        let most = match queue {
            Queue::Personal(_) => limits::BUTTONS_PER_REP,
            Queue::Team(_) => limits::BUTTONS_PER_TEAM,
        };
        let there = buttons.live.values().filter(|button| button.queue == queue).count();
        if there >= most || buttons.live.len() >= limits::BUTTONS_MAX {
            let message = format!("a queue like this one has at most {most} buttons: revoke some");
            return Err(Refusal::new(Reason::LimitReached, "R2.1", message));
        }
        self.is_new(token)?;
        let button = ButtonId(buttons.last + 1);
        Ok((button, Event::ButtonMade { button, by, queue, portal, token }))
    }

    /// A rep's own queue, or that of a team it is in, each by its permission (P1.1). Into its own it is a calling card: a
    /// way of private sessions (P3.24).
    fn may_have_button(&self, rep: UserId, queue: Queue) -> Result<(), Refusal> {
        let (own, permission) = match queue {
            Queue::Personal(user) => (user == rep, UserPermission::ButtonsPersonal),
            Queue::Team(team) => (self.role_in(rep, team).is_some(), UserPermission::ButtonsTeamDeploy),
        };
        if !own {
            return refuse(
                Reason::NotMember,
                "R2.1",
                "a button leads to its rep's own queue or to a team the rep is in",
            );
        }
        if !self.user_may(rep, permission) {
            let message = format!("this button needs the permission {}", permission.name());
            return Err(Refusal::new(Reason::NotPermitted, "P1.1", message));
        }
        match queue {
            Queue::Personal(_) => self.state.may_start_privately(rep, None, "calling_card"),
            Queue::Team(_) => Ok(()),
        }
    }

    /// The button, if it is there and this one may manage it.
    fn managed(&self, actor: Actor, button: ButtonId) -> Result<Option<&Button>, Refusal> {
        let refused =
            || refuse(Reason::NotPermitted, "P1.1", "only its maker and who manages the buttons of its queue may");
        match actor {
            Actor::Party(Party::Rep(_)) => drop(self.console_of(actor)?),
            Actor::System | Actor::Admin(_) => {}
            Actor::Service(_) | Actor::Party(_) => return refused(),
        }
        match self.state.buttons.live.get(&button) {
            Some(known) if !self.state.may_manage_button(actor, known) => refused(),
            known => Ok(known),
        }
    }

    /// The portal is there, and a team's is one that the team serves (R3.12).
    fn serves(&self, queue: Queue, portal: Option<PortalId>) -> Result<(), Refusal> {
        let site = &self.state.site;
        if portal.is_some_and(|portal| !site.portals.contains_key(&portal)) {
            return refuse(Reason::Malformed, "R2.4", "there is no such portal");
        }
        match queue {
            Queue::Team(team) if is_barred(site, portal, team) => {
                refuse(Reason::NotPermitted, "R3.12", "this team does not serve the sessions of this portal")
            }
            _ => Ok(()),
        }
    }
}

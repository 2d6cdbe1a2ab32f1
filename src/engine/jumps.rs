//! Jump items: the endpoint that stands by for one with a key of its own, and the reps who start sessions there (R2.3, P8).
//! Of a key only the hash is known here.

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped, State,
    command::{Ask, Customer},
    event::AcceptedHow,
    keys::gone,
    refusal::refuse,
};
use crate::{
    ids::*,
    policy::{
        Source, Tool,
        jumps::{self, By},
    },
    site::{SessionKind, Site},
    time::Time,
    wire::control::ClientInfo,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The keys that endpoints stand by with, one for each item at most.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ItemKeys {
    of_item: BTreeMap<JumpItemId, SecretHash>,
    of_key: BTreeMap<SecretHash, JumpItemId>,
    /// Of keys that a customer let be drawn for when nobody is there.
    #[serde(default)]
    consents: BTreeMap<JumpItemId, Consent>,
}

/// P3.25: where somebody at the endpoint said yes, to whom, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consent {
    pub session: SessionId,
    pub rep: UserId,
    pub at: Time,
}

impl ItemKeys {
    pub(super) fn item(&self, key: SecretHash) -> Option<JumpItemId> {
        self.of_key.get(&key).copied()
    }

    pub(super) fn has(&self, item: JumpItemId) -> bool {
        self.of_item.contains_key(&item)
    }

    pub fn consent(&self, item: JumpItemId) -> Option<&Consent> {
        self.consents.get(&item)
    }

    /// The items that the customer of this session lets reps come to.
    pub(super) fn allowed_in(&self, session: SessionId) -> Vec<JumpItemId> {
        let given = self.consents.iter().filter(|(_, consent)| consent.session == session);
        given.map(|(item, _)| *item).collect()
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::ItemKeyMade { item, key, .. } => {
                // A consent goes with the key that it was given for.
                self.consents.remove(item);
                if let Some(before) = self.of_item.insert(*item, *key) {
                    self.of_key.remove(&before);
                }
                self.of_key.insert(*key, *item);
            }
            Event::ItemKeyGone { item, .. } => {
                if let Some(gone) = self.of_item.remove(item) {
                    self.of_key.remove(&gone);
                }
                self.consents.remove(item);
            }
            Event::UnattendedAllowed { session, item, rep } => {
                self.consents.insert(*item, Consent { session: *session, rep: *rep, at });
            }
            _ => {}
        }
    }
}

impl State {
    /// An endpoint is connected that takes sessions on this item up.
    pub fn stands_by(&self, item: JumpItemId) -> bool {
        self.parties.connected(Party::JumpClient(item))
    }

    /// What runs on this item; where endpoints stand by, one session at most.
    pub fn sessions_on(&self, item: JumpItemId) -> impl DoubleEndedIterator<Item = SessionId> {
        self.index.on_item.of(item)
    }

    /// The permission of the item's method, the role that the rep has on it at this moment (P8), and on the local network
    /// `connect_on_lan` (P3.25). What runs already goes on when they change.
    pub fn may_jump(&self, rep: UserId, item: JumpItemId) -> Result<(), Refusal> {
        let code = self.may_use_method(rep, item)?;
        let site = &self.site;
        let held = jumps::held(site, rep, item);
        if !held.starts(site) {
            let role = held.role(site).map_or("no access".to_owned(), |role| format!("role {}", role.code));
            let message = format!("sessions on {code} are not yours to start ({}: {role})", held.by.name(site, rep));
            let refusal = Refusal::new(Reason::NotPermitted, held.by.rule(), message);
            return Err(Refusal { source: Some(held.by.source(rep).name(site)), ..refusal });
        }
        match jumps::lan_barred(site, rep, item, self.somebody_at(item)) {
            None => Ok(()),
            Some(source) => {
                let source = source.name(site);
                let message = format!("sessions on {code} need connect_on_lan, which is not permitted, by {source}");
                Err(Refusal::new(Reason::NotPermitted, "P3.25", message).of_tool(Tool::ConnectOnLan, source))
            }
        }
    }

    /// The code of an item whose method's permission the rep has (R1.4).
    fn may_use_method(&self, rep: UserId, item: JumpItemId) -> Result<&str, Refusal> {
        let site = &self.site;
        let Some(found) = site.jump_items.get(&item) else {
            return refuse(Reason::UnknownQueue, "R1.4", "no such jump item");
        };
        let user = site.users.get(&rep).filter(|user| user.enabled);
        let permission = found.method.permission();
        if user.is_some_and(|user| user.permissions.contains(&permission)) {
            return Ok(&found.code);
        }
        let message = format!("sessions on {} need the permission {}", found.code, permission.name());
        let source = user.map(|user| Source::of_permissions(rep, user).name(site));
        Err(Refusal { source, ..Refusal::new(Reason::NotPermitted, "R1.4", message) })
    }

    /// An endpoint is connected that says somebody sits there.
    pub(super) fn somebody_at(&self, item: JumpItemId) -> bool {
        let endpoint = self.parties.get(Party::JumpClient(item)).filter(|endpoint| endpoint.connected);
        endpoint.is_some_and(|endpoint| endpoint.client.present)
    }

    /// Who has a role on it, or the permission of its method where it has no roles; administrators see every item.
    pub fn sees_item(&self, user: UserId, item: JumpItemId) -> bool {
        let held = jumps::held(&self.site, user, item);
        let sees = match held.by {
            By::Nothing => self.may_use_method(user, item).is_ok(),
            _ => held.role.is_some(),
        };
        sees || self.is_administrator(user)
    }
}

impl Engine {
    /// Replaces the one there is: whoever came by that is cut off, and comes by it no more.
    pub(super) fn make_item_key(
        &mut self,
        now: Time,
        actor: Actor,
        item: JumpItemId,
        key: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.administrator(actor)?;
        let state = &self.state;
        if !state.site.jump_items.contains_key(&item) {
            return refuse(Reason::UnknownItem, "R1.4", "no such jump item");
        }
        self.is_new(key)?;
        self.emit(now, Event::ItemKeyMade { item, by: actor, key }, out);
        let ends = self.state.sessions_on(item).map(Party::Customer);
        let came: Vec<Party> = ends.chain([Party::JumpClient(item)]).collect();
        came.into_iter().for_each(|party| self.revoke_tokens(now, party, out));
        Ok(Outcome::Done)
    }

    /// A key goes with its item, and the next endpoint may be pinned by a rep: so only an administrator lets one go.
    pub(super) fn may_end_item_keys(&self, edited: &Site, actor: Actor) -> Result<(), Refusal> {
        let state = &self.state;
        let (Actor::Admin(user) | Actor::Party(Party::Rep(user))) = actor else { return Ok(()) };
        let gone = |item: &&JumpItemId| !edited.jump_items.contains_key(item);
        match state.item_keys.of_item.keys().find(gone).and_then(|item| state.site.jump_items.get(item)) {
            Some(item) if !state.is_administrator(user) => {
                let message = format!("jump_item.{} has an endpoint's key: an administrator removes it", item.code);
                refuse(Reason::NotPermitted, "P3.17", &message)
            }
            _ => Ok(()),
        }
    }

    /// Items that the site has no more take their keys with them.
    pub(super) fn end_item_keys(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let State { item_keys, site, .. } = &self.state;
        let gone: Vec<JumpItemId> =
            item_keys.of_item.keys().filter(|item| !site.jump_items.contains_key(item)).copied().collect();
        gone.into_iter().for_each(|item| self.emit(at, Event::ItemKeyGone { item, by: None }, out));
    }

    /// An endpoint came with an item's key. One that stood by before is replaced: it may be the same machine, started anew.
    pub(super) fn stand_by(
        &mut self,
        now: Time,
        key: SecretHash,
        client: &ClientInfo,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let party = self.state.item_keys.item(key).map(Party::JumpClient).ok_or_else(gone)?;
        let epoch = self.attach(now, party, resume, client.clone(), out);
        Ok(Outcome::Attached { party, epoch })
    }

    /// It comes as the customer's end of the session that runs on its item, again if it was started anew.
    pub(super) fn take_up(
        &mut self,
        now: Time,
        item: JumpItemId,
        customer: &Customer,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let session = self.state.sessions_on(item).next_back();
        match session {
            Some(session) => Ok(self.let_in(now, session, customer, resume, out)),
            None => refuse(Reason::SessionEnded, "R2.3", "no session runs on this item"),
        }
    }

    /// R2.3: starts active with the rep who started it. `by_endpoint`: the one that stands by takes it up; else there is no
    /// connection but what `join` brings.
    pub(super) fn jump(
        &mut self,
        now: Time,
        actor: Actor,
        item_id: JumpItemId,
        join: Option<SecretHash>,
        by_endpoint: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        self.state.may_jump(rep, item_id)?;
        self.below_hard_cap(rep)?;
        let client = if by_endpoint { self.free_endpoint(item_id)? } else { ClientInfo::default() };
        let name = self.state.site.jump_items.get(&item_id).map_or_else(String::new, |item| item.code.clone());
        let ask = Ask {
            kind: SessionKind::Jump,
            item: Some(item_id),
            customer: Customer { name, client, ..Customer::default() },
            join,
            ..Ask::of(Entry::Queue(Queue::Personal(rep)))
        };
        Ok(Outcome::Session(self.start_with(now, rep, ask, AcceptedHow::Jump, out)))
    }

    /// What the endpoint says of itself, if one stands by and serves nobody.
    fn free_endpoint(&self, item: JumpItemId) -> Result<ClientInfo, Refusal> {
        let state = &self.state;
        let code = state.site.jump_items.get(&item).map_or("", |item| &item.code);
        if let Some(session) = state.sessions_on(item).next() {
            let message = format!("a session runs on {code} already: {session}");
            return Err(Refusal::new(Reason::WrongState, "R2.3", message));
        }
        match state.parties.get(Party::JumpClient(item)).filter(|endpoint| endpoint.connected) {
            Some(endpoint) => Ok(endpoint.client.clone()),
            None => {
                let message = format!("no endpoint stands by for {code} at the moment");
                Err(Refusal::new(Reason::NotStandingBy, "R2.3", message))
            }
        }
    }
}

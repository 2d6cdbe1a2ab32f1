//! Who comes in, and who must go: a connection's welcome, what it missed, and whether its proof still holds.

use super::{
    Performer,
    says::{disclaimer, prompted, requested},
};
use crate::{
    broker::{Connection, TransportName, directory::Proof, resolve, view, views::push},
    engine::{Actor, Event, Queue, Session, Stamped, State, tools::OpenStage},
    identity::Secret,
    ids::*,
    limits,
    relay::Outbox,
    site::{Site, UserPermission},
    time::Time,
    wire::{
        CloseCode,
        control::{Ev, FromBroker, Hello, Welcome},
    },
};
use std::sync::{Arc, atomic::Ordering};

impl Performer {
    /// Registers an entered connection and tells it where it stands: welcome first, then its view.
    #[expect(clippy::too_many_arguments, reason = "what the handshake proved, and the state it enters")]
    pub fn enter(
        &mut self,
        actor: Actor,
        epoch: AttachEpoch,
        outbox: Arc<Outbox>,
        transport: TransportName,
        hello: Hello,
        proof: Proof,
        resume: Secret,
        state: &State,
        head: Seq,
    ) -> Arc<Connection> {
        let seen = hello.seen.map(Seq);
        let (connection, replaced) = self.shared.directory.enter(actor, epoch, outbox, transport, hello.role, proof);
        if let Some(replaced) = replaced {
            replaced.close(CloseCode::Replaced, "a newer connection took over");
        }
        let session = match actor {
            Actor::Party(Party::Customer(session) | Party::External(session, _)) => Some(session),
            _ => None,
        };
        let resumed = seen.is_some_and(|seen| self.views.goes_on_from(seen, head));
        let you = match actor {
            Actor::Party(Party::Rep(user)) | Actor::Admin(user) => resolve::username(&state.site, user),
            Actor::Party(Party::Customer(_)) => "customer".to_owned(),
            Actor::Party(Party::External(..)) => "external".to_owned(),
            Actor::Party(Party::JumpClient(item)) => view::item_code(&state.site, item),
            Actor::Service(_) | Actor::System => "service".to_owned(),
        };
        let seat = connection.party().and_then(|party| {
            let session = state.session(session?)?;
            session.participant_of(party).map(|participant| participant.id.0)
        });
        connection.say(&FromBroker::Welcome(Box::new(Welcome {
            protocol: crate::wire::PROTOCOL,
            site: state.site.name.clone(),
            you,
            session: session.map(|session| session.0),
            participant: seat,
            resume: resume.reveal().into(),
            features: Vec::new(),
            ping_interval_s: limits::PING_INTERVAL.0 / 1000,
            window_max: self.shared.window_max,
            now_ms: state.now.0,
            resumed,
        })));
        if let Some(party) = connection.party() {
            self.seat(&connection, party, state, head);
        }
        if let Actor::Party(Party::Customer(session)) = actor {
            self.views.customer_came(session);
        }
        if let Actor::Party(Party::JumpClient(item)) = actor {
            for session in state.sessions_on(item) {
                push(&connection, head, Ev::Jumped { session: session.0 });
            }
            self.call_to_job(item, true, state, head);
        }
        if let Actor::Party(Party::Rep(user)) = actor {
            if resumed {
                self.views.replay(&connection, user, seen.unwrap_or_default());
            } else {
                self.views.snapshot(&connection, user, state, head);
            }
            self.views.rep_changed(user);
        }
        connection
    }

    /// Ties a connection to its sessions: their channels, their open questions.
    fn seat(&mut self, connection: &Arc<Connection>, party: Party, state: &State, head: Seq) {
        let sessions: Vec<&Session> = match party {
            Party::Customer(session) | Party::External(session, _) => state.session(session).into_iter().collect(),
            Party::Rep(user) => state.sessions_of(user).filter_map(|session| state.session(session)).collect(),
            Party::JumpClient(_) => Vec::new(),
        };
        for session in sessions {
            let Some(participant) = session.participant_of(party).map(|participant| participant.id) else { continue };
            connection.sit(session.id, participant);
            // A session as reps see it is for reps alone (R10.2); its customer hears who serves.
            if matches!(party, Party::Rep(_)) {
                push(connection, head, Ev::Session(Box::new(self.session_view(state, session.id))));
            }
            if matches!(party, Party::External(..)) {
                let shown = view::session_outside(state, session, participant, |party| self.attached(party));
                push(connection, head, Ev::Session(Box::new(shown)));
            }
            if party == Party::Customer(session.id) {
                self.greet_customer(connection, state, session, head);
            }
            // What changed while it was away was told to nobody.
            if session.owner().is_some() || state.tools.session(session.id).is_some() {
                self.say_permissions(connection, state, session, participant, head);
            }
            let Some(tools) = state.tools.session(session.id) else { continue };
            self.tell_what_is_open(connection, participant, session.id, &tools.channels, head);
            for (open, request) in &tools.opens {
                if matches!(request.stage, OpenStage::Offered { to, .. } if to == participant) {
                    push(connection, head, requested(session.id, *open, request));
                }
            }
        }
    }

    fn greet_customer(&self, connection: &Arc<Connection>, state: &State, session: &Session, head: Seq) {
        if let Some(expires_at) = session.disclaimer {
            push(connection, head, disclaimer(state, session.id, expires_at.0));
        }
        if session.owner().is_some() {
            push(connection, head, view::serving(state, session, |party| self.attached(party)));
        }
        for (id, prompt) in state.tools.session(session.id).iter().flat_map(|tools| &tools.prompts) {
            push(connection, head, prompted(state, session.id, *id, prompt));
        }
    }

    /// A console that came back is told of the offer and the invitations that wait for it: what was pushed to its
    /// connection before may have been lost with it.
    pub(super) fn remind(&mut self, events: &[Stamped], state: &State, head: Seq) {
        self.inviting.retain(|session, _| state.session(*session).is_some_and(|found| !found.invites.is_empty()));
        let came = events.iter().enumerate().filter_map(|(at, Stamped { event, .. })| match event {
            Event::Attached { party: Party::Rep(user), .. } => Some((at, *user)),
            _ => None,
        });
        for (at, user) in came {
            let since = &events[at..];
            let told = |wanted: &dyn Fn(&Event) -> bool| since.iter().any(|stamped| wanted(&stamped.event));
            let offer = state.console(user).and_then(|console| console.offer);
            if let Some(session) = offer
                && !told(&|event| matches!(event, Event::Offered { session: of, .. } if *of == session))
            {
                self.tell_offer(session, state, head);
            }
            for session in self.inviting.keys().filter_map(|session| state.session(*session)) {
                let told = told(&|event| matches!(event, Event::Invited { session: to, .. } if *to == session.id));
                for invite in session.invites.iter().filter(|_| !told) {
                    if invited(&state.site, invite.to).contains(&user) {
                        self.tell_invited(user, session.id, invite.by, invite.expires_at, state, head);
                    }
                }
            }
        }
    }

    /// I-A5: accounts that have changed; whoever is connected as one must still be who it proved to be.
    pub(super) fn reauthorise(&self, events: &[Stamped], state: &State) {
        let about_accounts = |stamped: &Stamped| {
            matches!(
                stamped.event,
                Event::CredentialSet { .. }
                    | Event::SecondFactorSet { .. }
                    | Event::SecondFactorRemoved { .. }
                    | Event::UserDisabled { .. }
                    | Event::SiteApplied { .. }
                    | Event::ServiceKeyMade { .. }
            )
        };
        if !events.iter().any(about_accounts) {
            return;
        }
        for connection in self.shared.directory.others() {
            let good = match (connection.actor, &connection.proof) {
                (Actor::Admin(user), Proof::Credential(version)) => {
                    let current = state.accounts.credential(user).map_or(0, |credential| credential.version);
                    state.administers_some(user) && version.load(Ordering::Acquire) >= current
                }
                (Actor::Service(service), Proof::Key { key, .. }) => state.accounts.service_of(*key) == Some(service),
                _ => true,
            };
            if !good {
                connection.close(CloseCode::Unauthenticated, "the account has changed: sign in again");
            }
        }
    }

    /// Who sent this invitation, which is over.
    pub(super) fn inviter(&mut self, session: SessionId, to: Queue) -> Option<UserId> {
        let invites = self.inviting.get_mut(&session)?;
        let over = invites.iter().position(|(invited, _)| *invited == to)?;
        Some(invites.swap_remove(over).1)
    }

    fn tell_offer(&self, session: SessionId, state: &State, head: Seq) {
        let site = &state.site;
        let found = state.session(session);
        let Some(offer) = found.and_then(|found| found.waiting()?.offer.as_ref()) else { return };
        let info = site.options.show_session_information.then(|| Box::new(self.session_view(state, session)));
        let team = resolve::address(site, Queue::Team(offer.team));
        let expires_at_ms = offer.expires_at.0;
        self.tell_rep(offer.rep, head, || Ev::Offer { session: session.0, team, expires_at_ms, info });
    }

    pub(super) fn tell_invited(
        &self,
        to: UserId,
        session: SessionId,
        by: UserId,
        expires_at: Time,
        state: &State,
        head: Seq,
    ) {
        let shows = state.shown_by(session).is_some();
        let (session, by, expires_at_ms) = (session.0, resolve::username(&state.site, by), expires_at.0);
        self.tell_rep(to, head, || Ev::Invited { session, by, expires_at_ms, shows });
    }
}

/// Whom an invitation to this queue is for (R7.4): of a team those who could take part (BU-053).
pub(super) fn invited(site: &Site, to: Queue) -> Vec<UserId> {
    match to {
        Queue::Personal(user) => vec![user],
        Queue::Team(team) => {
            let supports = |user: &UserId| {
                site.users.get(user).is_some_and(|it| it.permissions.contains(&UserPermission::Support))
            };
            let team = site.teams.get(&team);
            team.map(|team| team.members.keys().copied().filter(supports).collect()).unwrap_or_default()
        }
    }
}

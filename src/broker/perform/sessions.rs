//! People in sessions: who sits where, and what they hear when that changes.

use super::Performer;
use crate::{
    broker::{Connection, view, views::push},
    engine::{Session, State},
    ids::*,
    wire::{
        CloseCode,
        control::{Ev, SessionView},
    },
};
use std::{collections::BTreeSet, sync::Arc};

impl Performer {
    /// The service that asked for a session hears of it at once.
    pub fn watch(&mut self, session: SessionId, service: &Arc<Connection>, state: &State) {
        // Asked for again, it may have ended.
        if state.session(session).is_some() {
            self.watchers.insert(session, service.clone());
        }
    }

    pub(super) fn tell_watcher(&self, session: SessionId, state: &State, head: Seq) {
        if let Some(service) = self.watchers.get(&session) {
            push(service, head, Ev::Session(Box::new(self.session_view(state, session))));
        }
    }

    pub(super) fn sit_down(&mut self, session: SessionId, party: Party, seat: ParticipantId, state: &State, head: Seq) {
        let members = self.members.entry(session).or_default();
        if !members.contains(&(party, seat)) {
            members.push((party, seat));
        }
        self.views.session_changed(session);
        if let Some(connection) = self.shared.directory.connection(party) {
            connection.sit(session, seat);
            // A session as reps see it is for reps alone (R10.2).
            if matches!(party, Party::Rep(_)) && state.session(session).is_some() {
                push(&connection, head, Ev::Session(Box::new(self.session_view(state, session))));
            }
        }
        self.tell_customer_who_serves(session, state, head);
        self.tell_permissions(session, state, head);
        self.tell_watcher(session, state, head);
    }

    /// Who takes a session over may be new to it, and a move or a fallback leaves its old owner behind: no event of
    /// their own says so.
    pub(super) fn follow_participants(&mut self, session: SessionId, state: &State, head: Seq) {
        let Some(found) = state.session(session) else { return };
        let before = self.members.get(&session).cloned().unwrap_or_default();
        let after = members(found);
        for (party, _) in before.iter().filter(|member| !after.contains(member)) {
            self.stand_up(session, *party, state, head);
        }
        for (party, seat) in after.iter().filter(|member| !before.contains(member)) {
            self.sit_down(session, *party, *seat, state, head);
        }
    }

    pub(super) fn stand_up(&mut self, session: SessionId, party: Party, state: &State, head: Seq) {
        if let Some(members) = self.members.get_mut(&session) {
            members.retain(|(there, _)| *there != party);
        }
        if let Some(connection) = self.shared.directory.connection(party) {
            connection.rise(session);
        }
        self.views.session_changed(session);
        self.tell_customer_who_serves(session, state, head);
    }

    pub(super) fn ended(&mut self, session: SessionId, reason: String, head: Seq) {
        let gone = Ev::SessionGone { session: session.0, reason: reason.clone() };
        if let Some(service) = self.watchers.remove(&session) {
            push(&service, head, gone.clone());
        }
        let mut told = BTreeSet::new();
        for (party, _) in self.members.remove(&session).unwrap_or_default() {
            let Some(connection) = self.shared.directory.connection(party) else { continue };
            connection.rise(session);
            match party {
                Party::Rep(user) => {
                    told.insert(user);
                    self.views.rep_changed(user);
                    push(&connection, head, gone.clone());
                }
                Party::Customer(_) | Party::External(..) | Party::JumpClient(_) => {
                    push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
                    connection.close(CloseCode::SessionEnded, "the session ended");
                }
            }
        }
        // A customer who never was a member: it waited, and its connection is here.
        if let Some(connection) = self.shared.directory.connection(Party::Customer(session))
            && connection.outbox.closing().is_none()
        {
            push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
            connection.close(CloseCode::SessionEnded, "the session ended");
        }
        self.views.session_ended(session, &reason, &told);
    }

    pub(super) fn tell_customer_who_serves(&self, session: SessionId, state: &State, head: Seq) {
        if let Some(found) = state.session(session)
            && found.owner().is_some()
        {
            self.tell(Party::Customer(session), head, || view::serving(state, found, |party| self.attached(party)));
        }
    }

    pub(super) fn presence_changed(&mut self, party: Party, state: &State, head: Seq) {
        if let Party::Rep(user) = party {
            self.views.rep_changed(user);
        }
        for session in self.sessions_of(party, state) {
            self.views.session_changed(session);
            if !matches!(party, Party::Customer(_)) {
                self.tell_customer_who_serves(session, state, head);
            }
        }
    }

    pub(super) fn sessions_of(&self, party: Party, state: &State) -> Vec<SessionId> {
        match party {
            Party::Customer(session) | Party::External(session, _) => vec![session],
            Party::Rep(user) => state.sessions_of(user).collect(),
            Party::JumpClient(_) => Vec::new(),
        }
    }

    pub(super) fn party_at(&self, session: SessionId, participant: ParticipantId) -> Option<Party> {
        let members = self.members.get(&session)?;
        members.iter().find(|(_, there)| *there == participant).map(|(party, _)| *party)
    }

    pub(super) fn seat_of(&self, session: SessionId, party: Party) -> Option<ParticipantId> {
        let members = self.members.get(&session)?;
        members.iter().find(|(there, _)| *there == party).map(|(_, participant)| *participant)
    }

    pub(super) fn attached(&self, party: Party) -> bool {
        self.shared.directory.attached(party)
    }

    pub fn session_view(&self, state: &State, session: SessionId) -> SessionView {
        match state.session(session) {
            Some(found) => view::session(state, found, |party| self.attached(party)),
            None => SessionView { session: session.0, state: "ended".to_owned(), ..SessionView::default() },
        }
    }
}

pub(super) fn members(session: &Session) -> Vec<(Party, ParticipantId)> {
    session.participants.iter().map(|participant| (participant.party, participant.id)).collect()
}

//! What each participant may do, as it is said (P6.2). Thousands of sessions share a few grants, so what a grant says
//! is encoded once.

use super::Performer;
use crate::{
    broker::{Connection, view},
    engine::{Session, State},
    ids::*,
    limits,
    policy::Permissions,
    wire::EncodedRights,
};
use std::{collections::HashMap, sync::Arc};

/// Encoded, by the address of the grant that is said, to whom, and what stands in the session. Each entry keeps its
/// grant, so that no other comes to lie there.
#[derive(Default)]
pub(super) struct Said(HashMap<(usize, To, view::Standing), (Arc<Permissions>, EncodedRights)>);

#[derive(PartialEq, Eq, Hash)]
enum To {
    /// With the account that it names.
    Rep(Option<UserId>),
    /// Of layers it is told the kind.
    External,
    Customer,
}

impl Said {
    fn of(
        &mut self,
        granted: &Arc<Permissions>,
        to: To,
        standing: view::Standing,
        encode: impl FnOnce() -> EncodedRights,
    ) -> &EncodedRights {
        if self.0.len() >= limits::GRANTS_REMEMBERED {
            self.0.clear();
        }
        &self.0.entry((Arc::as_ptr(granted).addr(), to, standing)).or_insert_with(|| (granted.clone(), encode())).1
    }

    /// The site changed: layers may have other names.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl Performer {
    /// What each of those in the session may do; where nobody serves it nobody may do anything.
    pub(super) fn tell_permissions(&mut self, session: SessionId, state: &State, head: Seq) {
        let Some(found) = state.session(session) else { return };
        for (party, participant) in self.members.get(&session).cloned().unwrap_or_default() {
            if let Some(connection) = self.shared.directory.connection(party) {
                self.say_permissions(&connection, state, found, participant, head);
            }
        }
    }

    pub(super) fn say_permissions(
        &mut self,
        connection: &Connection,
        state: &State,
        session: &Session,
        participant: ParticipantId,
        head: Seq,
    ) {
        let Some(party) = session.participant(participant).map(|found| found.party) else { return };
        let epoch = state.tools.epoch(session.id);
        let standing = view::Standing::of(session);
        let message = match party {
            Party::Customer(_) => {
                // Where nobody serves it the layers are those without a representative.
                let granted = state.granted(session, session.owner().map_or(party, Party::Rep));
                let said = || view::rights_of_customer(&granted, standing, &state.site);
                let said = self.said.of(granted.shared().0, To::Customer, standing, said);
                said.push(head, session.id, epoch)
            }
            Party::External(..) => {
                let granted = state.granted(session, party);
                let said = self
                    .said
                    .of(granted.shared().0, To::External, standing, || view::rights_of_external(&granted, standing));
                said.push(head, session.id, epoch)
            }
            rep => {
                let granted = state.granted(session, rep);
                let (shared, account) = granted.shared();
                let said = self.said.of(shared, To::Rep(account), standing, || view::rights(&granted, standing));
                said.push(head, session.id, epoch)
            }
        };
        connection.say_encoded(message);
    }
}

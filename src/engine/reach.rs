//! Whom sessions reach beyond those who serve them, by person: open invitations, seats of external reps, requests for
//! help. Derived, as all of the index is.

use super::{Queue, Session};
use crate::{ids::*, site::Site};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    of: IdMap<SessionId, Reach>,
    invited: BTreeMap<UserId, BTreeSet<SessionId>>,
    mailed: BTreeMap<SecretHash, SessionId>,
    help: BTreeMap<SessionId, BTreeSet<SessionId>>,
}

/// Of one session.
#[derive(Clone, Debug, Default)]
struct Reach {
    /// The pool of each external rep's seat: that of who invited them.
    seats: Vec<Option<PoolId>>,
    invited: Vec<UserId>,
    mailed: Vec<SecretHash>,
    helps: Option<SessionId>,
}

impl Reached {
    pub fn help_for(&self, session: SessionId) -> impl Iterator<Item = SessionId> {
        self.help.get(&session).into_iter().flatten().copied()
    }

    pub fn invited_to(&self, user: UserId) -> impl Iterator<Item = SessionId> {
        self.invited.get(&user).into_iter().flatten().copied()
    }

    pub fn mailed(&self, token: SecretHash) -> Option<SessionId> {
        self.mailed.get(&token).copied()
    }

    /// Brings one session up to date. Gives back the seats it held and those it holds.
    pub fn refresh(
        &mut self,
        site: &Site,
        id: SessionId,
        session: Option<&Session>,
    ) -> (Vec<Option<PoolId>>, Vec<Option<PoolId>>) {
        let plain = |it: &Session| it.guests.is_empty() && it.invites.is_empty() && it.ask.helps.is_none();
        let session = session.filter(|it| !plain(it));
        let before = self.of.remove(&id);
        if let Some(reach) = &before {
            for user in &reach.invited {
                forget(&mut self.invited, user, id);
            }
            for token in &reach.mailed {
                self.mailed.remove(token);
            }
            if let Some(helped) = &reach.helps {
                forget(&mut self.help, helped, id);
            }
        }
        let before = before.map(|reach| reach.seats).unwrap_or_default();
        let Some(session) = session else { return (before, Vec::new()) };
        let pool = |user: &UserId| site.users.get(user).and_then(|user| user.pool);
        let invited = session.invites.iter().filter_map(|invite| match invite.to {
            Queue::Personal(user) => Some(user),
            Queue::Team(_) => None,
        });
        let reach = Reach {
            seats: session.guests.values().map(|guest| pool(&guest.by)).collect(),
            invited: invited.collect(),
            mailed: session.invites.iter().filter_map(|invite| invite.mailed).collect(),
            helps: session.ask.helps,
        };
        for user in &reach.invited {
            self.invited.entry(*user).or_default().insert(id);
        }
        for token in &reach.mailed {
            self.mailed.insert(*token, id);
        }
        if let Some(helped) = reach.helps {
            self.help.entry(helped).or_default().insert(id);
        }
        let after = reach.seats.clone();
        self.of.insert(id, reach);
        (before, after)
    }
}

fn forget<K: Ord>(of: &mut BTreeMap<K, BTreeSet<SessionId>>, key: &K, session: SessionId) {
    if let Some(sessions) = of.get_mut(key) {
        sessions.remove(&session);
        if sessions.is_empty() {
            of.remove(key);
        }
    }
}

//! Sessions by what they came by or run on, one thing at most for each.

use crate::ids::*;
use std::{collections::BTreeSet, hash::Hash};

#[derive(Clone, Debug)]
pub(super) struct Tied<K> {
    sessions: IdMap<K, BTreeSet<SessionId>>,
    to: IdMap<SessionId, K>,
}

impl<K> Default for Tied<K> {
    fn default() -> Self {
        Self { sessions: IdMap::default(), to: IdMap::default() }
    }
}

impl<K: Copy + Eq + Hash> Tied<K> {
    /// In the order of their numbers.
    pub fn of(&self, what: K) -> impl DoubleEndedIterator<Item = SessionId> {
        self.sessions.get(&what).into_iter().flatten().copied()
    }

    pub fn count(&self, what: K) -> usize {
        self.sessions.get(&what).map_or(0, BTreeSet::len)
    }

    pub fn set(&mut self, session: SessionId, what: Option<K>) {
        let before = match what {
            Some(what) => self.to.insert(session, what),
            None => self.to.remove(&session),
        };
        if before == what {
            return;
        }
        if let Some(before) = before
            && let Some(sessions) = self.sessions.get_mut(&before)
        {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.sessions.remove(&before);
            }
        }
        if let Some(what) = what {
            self.sessions.entry(what).or_default().insert(session);
        }
    }
}

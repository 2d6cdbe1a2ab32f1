//! The state of a site and its fold: nothing here decides.

use super::{
    Event, Queue, Session,
    accounts::Accounts,
    buttons::Buttons,
    estimate::Paces,
    index::Index,
    jobs::Jobs,
    jumps::ItemKeys,
    keys::Keys,
    notices::Notices,
    parties::Parties,
    tools::{Grants, Tools},
};
use crate::{
    ids::*,
    routing::Console,
    site::Site,
    time::{Span, Time},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The moment of the last event; engine time never goes back.
    pub now: Time,
    /// The wall clock as the last `civil_time` said it, and when: milliseconds since 1970 UTC (W5.3).
    pub civil: Option<(Time, u64)>,
    /// Counts up with each owner (W5.6).
    pub owner_epoch: u64,
    /// Shared with whoever checks an edit of it meanwhile.
    pub site: Arc<Site>,
    /// How often the site was edited: what an edit is of (W5.7).
    #[serde(default)]
    pub site_version: u64,
    /// Reps who are logged in.
    pub consoles: BTreeMap<UserId, Console>,
    /// Sessions that have not ended.
    pub sessions: BTreeMap<SessionId, Session>,
    pub next_session: u64,
    /// Reps who may be invited by mail while they are not logged in (R7.4).
    #[serde(default)]
    pub extended: BTreeSet<UserId>,
    pub tools: Tools,
    pub keys: Keys,
    #[serde(default)]
    pub buttons: Buttons,
    #[serde(default)]
    pub item_keys: ItemKeys,
    #[serde(default)]
    pub jobs: Jobs,
    pub parties: Parties,
    pub accounts: Accounts,
    #[serde(default)]
    pub notices: Notices,
    #[serde(default)]
    pub paces: Paces,
    /// The date from which everybody needs a second factor, once it has come (R11.3).
    #[serde(default)]
    pub two_factor_since: Option<u64>,
    #[serde(skip)]
    pub(super) index: Index,
    #[serde(skip)]
    pub(super) grants: Grants,
    /// The site that the next `site_applied` makes, where it was checked already, and whether it serves like the one
    /// before; none after it.
    #[serde(skip)]
    pub(super) checked: Option<(Arc<Site>, bool)>,
}

impl State {
    pub fn new(site: Site) -> Self {
        Self { site: Arc::new(site), next_session: 1, ..Self::default() }
    }

    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn console(&self, user: UserId) -> Option<&Console> {
        self.consoles.get(&user)
    }

    /// Sessions the rep is in, held ones too, in the order of their ids.
    pub fn sessions_of(&self, user: UserId) -> impl Iterator<Item = SessionId> {
        self.index.sessions_of(user)
    }

    /// What waits in a queue, on offer or not, oldest first.
    pub fn waiting_in(&self, queue: Queue) -> impl ExactSizeIterator<Item = SessionId> {
        self.index.waiting_in(queue)
    }

    /// Everything that waits in any queue, in no order.
    pub fn waiting(&self) -> impl Iterator<Item = SessionId> {
        self.index.waiting()
    }

    /// Reps of a team who are logged in (R8.3).
    pub fn logged_in(&self, team: TeamId) -> u32 {
        self.index.logged_in(team)
    }

    /// R8.3: a team's queue if it is persistent or a member is logged in, a personal one while its rep is and may provide
    /// support (BU-053).
    pub fn is_available(&self, queue: Queue) -> bool {
        match queue {
            Queue::Team(team) => {
                self.site.teams.get(&team).is_some_and(|it| it.persistent || self.index.logged_in(team) > 0)
            }
            Queue::Personal(user) => self.consoles.contains_key(&user) && self.supports(user),
        }
    }

    /// Milliseconds since 1970 UTC at this moment, from what the last `civil_time` said; engine time itself where
    /// nothing was said (W5.3).
    pub fn wall_ms(&self, now: Time) -> u64 {
        self.civil.map_or(now.0, |(at, ms)| (ms + now.since(at).0).saturating_sub(at.since(now).0))
    }

    /// The moment at which the wall clock will say this; never before the last time it was set.
    pub(super) fn at_wall_ms(&self, ms: u64) -> Time {
        self.civil.map_or(Time(ms), |(at, said)| at + Span(ms.saturating_sub(said)))
    }

    /// Folds one event. Each part takes what concerns it; an event about something gone changes nothing.
    pub fn apply(&mut self, at: Time, event: &Event) {
        self.now = self.now.max(at);
        self.fold(at, event);
        self.parties.apply(at, event);
        self.keys.apply(at, event);
        self.buttons.apply(at, event);
        self.item_keys.apply(at, event);
        self.jobs.apply(at, event);
        self.accounts.apply(at, event);
        self.notices.apply(at, event);
        self.tools.apply(at, event);
        self.refresh(at);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.index.first_deadline().map(|(due, _)| due)
    }
}

//! The waiting sessions of each team in the order of R5.6, grouped by what they ask of a rep, so that a freed rep looks
//! at the first of each group and never at a hundred thousand that it may not have. Derived; rebuilt after loading.

use super::skills::{self, Held};
use crate::{ids::*, time::Time};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

/// R5.6: priority, aged by waiting, descending; then time since first queued; then session id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    urgency: Reverse<i128>,
    pub first_queued: Time,
    pub session: SessionId,
}

impl Place {
    /// `ageing`: points of priority a minute. All age at the same rate, so the order never changes while they wait.
    pub fn new(priority: u8, ageing: u32, first_queued: Time, session: SessionId) -> Self {
        let urgency = i128::from(priority) * 60_000 - i128::from(ageing) * i128::from(first_queued.0);
        Self { urgency: Reverse(urgency), first_queued, session }
    }

    /// The order of age alone (R7.2).
    pub fn by_age(first_queued: Time, session: SessionId) -> Self {
        Self { urgency: Reverse(0), first_queued, session }
    }
}

/// Whom a session may be offered to, besides those who pass the tests of R3.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Demand {
    Anyone,
    /// The preferred rep, while its window lasts (R4.8).
    Only(UserId),
    /// Who matches one of the first steps of R4.6: the session's skills, and the last step allowed (R4.7).
    Skilled(Vec<SkillId>, u32),
}

#[derive(Clone, Debug, Default)]
pub struct Backlog {
    teams: IdMap<TeamId, TeamBacklog>,
    entries: IdMap<SessionId, Entry>,
}

#[derive(Clone, Debug, Default)]
struct TeamBacklog {
    groups: HashMap<Demand, Group>,
    /// Free to be taken by hand, in the order of R7.2.
    takeable: BTreeSet<Place>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    steps: Vec<Vec<SkillId>>,
    waiting: BTreeSet<Place>,
    /// How many of them each rep has rejected: one who rejected all is done with the group at once.
    rejected: IdMap<UserId, u32>,
}

#[derive(Clone, Debug)]
struct Entry {
    team: TeamId,
    demand: Option<Demand>,
    place: Place,
    take_place: Place,
    rejected_by: Vec<UserId>,
}

/// A session that waits in a team's queue and is on offer to nobody.
#[derive(Debug)]
pub struct Free<'a> {
    pub team: TeamId,
    /// None: it is never offered, only taken by hand (R4.1).
    pub demand: Option<Demand>,
    pub place: Place,
    pub take_place: Place,
    pub rejected_by: &'a BTreeSet<UserId>,
}

impl Backlog {
    /// Puts a free session in its place; `steps` gives the steps of R4.6 allowed by its demand.
    pub fn put(&mut self, free: Free<'_>, steps: impl FnOnce() -> Vec<Vec<SkillId>>) {
        self.take(free.place.session);
        let team = self.teams.entry(free.team).or_default();
        team.takeable.insert(free.take_place);
        if let Some(demand) = &free.demand {
            let group = match team.groups.get_mut(demand) {
                Some(group) => group,
                None => team.groups.entry(demand.clone()).or_insert(Group { steps: steps(), ..Group::default() }),
            };
            group.waiting.insert(free.place);
            for user in free.rejected_by {
                *group.rejected.entry(*user).or_default() += 1;
            }
        }
        let rejected_by = free.rejected_by.iter().copied().collect();
        let entry =
            Entry { team: free.team, demand: free.demand, place: free.place, take_place: free.take_place, rejected_by };
        self.entries.insert(free.place.session, entry);
    }

    /// The session is free no more. True if it was.
    pub fn take(&mut self, session: SessionId) -> bool {
        let Some(entry) = self.entries.remove(&session) else { return false };
        let Some(team) = self.teams.get_mut(&entry.team) else { return true };
        team.takeable.remove(&entry.take_place);
        if let Some(demand) = &entry.demand
            && let Some(group) = team.groups.get_mut(demand)
        {
            group.waiting.remove(&entry.place);
            for user in &entry.rejected_by {
                if let Some(count) = group.rejected.get_mut(user) {
                    *count -= 1;
                    if *count == 0 {
                        group.rejected.remove(user);
                    }
                }
            }
            if group.waiting.is_empty() {
                team.groups.remove(demand);
            }
        }
        true
    }

    /// The place of a session that may be offered.
    pub fn place(&self, session: SessionId) -> Option<Place> {
        self.entries.get(&session).filter(|entry| entry.demand.is_some()).map(|entry| entry.place)
    }

    pub fn demand(&self, session: SessionId) -> Option<&Demand> {
        self.entries.get(&session)?.demand.as_ref()
    }

    /// R5.6: the first waiting session of the team that this rep, who is ready in it, may be offered.
    pub fn first_for(
        &self,
        team: TeamId,
        user: UserId,
        held: &Held,
        rejected: impl Fn(SessionId) -> bool,
    ) -> Option<Place> {
        let groups = &self.teams.get(&team)?.groups;
        let mut first: Option<Place> = None;
        for (demand, group) in groups {
            let fits = match demand {
                Demand::Anyone => true,
                Demand::Only(only) => *only == user,
                Demand::Skilled(..) => group.steps.iter().any(|asked| skills::matches(held, asked)),
            };
            if !fits || group.rejected.get(&user).is_some_and(|count| *count as usize == group.waiting.len()) {
                continue;
            }
            let may_reject = group.rejected.contains_key(&user);
            let found = group
                .waiting
                .iter()
                .take_while(|place| first.is_none_or(|first| **place < first))
                .find(|place| !may_reject || !rejected(place.session));
            first = found.copied().or(first);
        }
        first
    }

    /// R7.2: free sessions of the team in the order in which `get_next` takes them.
    pub fn takeable(&self, team: TeamId) -> impl Iterator<Item = Place> {
        self.teams.get(&team).into_iter().flat_map(|team| team.takeable.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::skills::Level;

    const NET: TeamId = TeamId(1);

    fn put(backlog: &mut Backlog, session: u64, priority: u8, demand: Option<Demand>, rejected: &[u32]) {
        let rejected_by = rejected.iter().copied().map(UserId).collect();
        let place = Place::new(priority, 0, Time(session), SessionId(session));
        let take_place = Place::by_age(Time(session), SessionId(session));
        let free = Free { team: NET, demand, place, take_place, rejected_by: &rejected_by };
        backlog.put(free, || vec![vec![SkillId(1)]]);
    }

    #[test]
    fn r5_6_priority_then_age_then_id_among_those_the_rep_may_have() {
        let mut backlog = Backlog::default();
        put(&mut backlog, 1, 50, Some(Demand::Anyone), &[7]);
        put(&mut backlog, 2, 50, Some(Demand::Anyone), &[]);
        put(&mut backlog, 3, 90, Some(Demand::Only(UserId(8))), &[]);
        put(&mut backlog, 4, 80, Some(Demand::Skilled(vec![SkillId(1)], 0)), &[]);
        put(&mut backlog, 5, 99, None, &[]);
        let first = |backlog: &Backlog, user: u32, held: &Held| {
            let rejected = |session: SessionId| user == 7 && session.0 == 1;
            backlog.first_for(NET, UserId(user), held, rejected).map(|place| place.session.0)
        };
        assert_eq!(first(&backlog, 7, &Held::new()), Some(2));
        assert_eq!(first(&backlog, 6, &Held::new()), Some(1));
        assert_eq!(first(&backlog, 8, &Held::new()), Some(3));
        assert_eq!(first(&backlog, 6, &Held::from([(SkillId(1), Level::Less)])), Some(4));
        assert!(backlog.take(SessionId(2)) && !backlog.take(SessionId(2)));
        assert_eq!(first(&backlog, 7, &Held::new()), None);
        assert_eq!(backlog.takeable(NET).next().map(|place| place.session.0), Some(1));
    }

    #[test]
    fn r5_6_priority_ages_with_waiting_where_the_site_says_so() {
        let old = Place::new(50, 1, Time(0), SessionId(1));
        let urgent = |at| Place::new(60, 1, Time(at), SessionId(2));
        assert!(urgent(9 * 60_000) < old);
        assert!(old < urgent(11 * 60_000));
    }
}

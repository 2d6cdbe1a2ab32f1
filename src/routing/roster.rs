//! Each team's ready reps in the order of R4.2: buckets by session count, each a linked list in the order of the last
//! change of that count. A change moves a rep to the tail of the next bucket, so the lists stay sorted by themselves;
//! only a rep who comes back with an older moment walks from the nearer end to its place.
//!
//! A team has one lane of all its ready reps and two for each skill (more and less preferred), so that the search of
//! R4.6 walks the rarest skill only. All of this is derived: [`Roster`] is rebuilt after loading.

use super::skills::{Held, Level};
use crate::{ids::*, time::Time};

/// A rep with this many sessions is never assigned to: R3.5 allows a limit of 1 to 10.
const BUCKETS: usize = 16;
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// By user number; numbers are dense.
    slots: Vec<Option<Box<Slot>>>,
    /// By user number, beside the slots so that many fit a cache: a bit for each skill held, some sharing one. Who lacks
    /// a bit lacks the skill, and is passed by at a glance.
    bits: Vec<[u64; 2]>,
    nodes: Vec<Node>,
    free: IdMap<u32, Vec<u32>>,
    lanes: Vec<Lane>,
    teams: IdMap<TeamId, TeamLanes>,
}

#[derive(Clone, Debug)]
struct Slot {
    count: u32,
    since: Time,
    held: Held,
    stays: Vec<Stay>,
}

/// One rep in one team: a run of nodes, the first in the lane of all.
#[derive(Clone, Debug)]
struct Stay {
    team: TeamId,
    first: u32,
    nodes: u32,
    ready: bool,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    since: Time,
    user: UserId,
    lane: u32,
    prev: u32,
    next: u32,
}

#[derive(Clone, Debug)]
struct Lane {
    /// Bit b: bucket b holds somebody.
    filled: u16,
    len: u32,
    ends: [(u32, u32); BUCKETS],
}

#[derive(Clone, Debug)]
struct TeamLanes {
    all: u32,
    skills: IdMap<SkillId, [u32; 2]>,
}

impl Roster {
    /// A rep comes, ready nowhere yet. `teams`: each with whether it is searched by skill.
    pub fn enrol(&mut self, user: UserId, teams: &[(TeamId, bool)], held: Held) {
        self.remove(user);
        let mut stays = Vec::with_capacity(teams.len());
        for &(team, by_skill) in teams {
            let lanes = self.lanes_of(team, if by_skill { Some(&held) } else { None });
            let nodes = lanes.len() as u32;
            let first = self.free.get_mut(&nodes).and_then(Vec::pop).unwrap_or_else(|| {
                let first = self.nodes.len() as u32;
                let blank = Node { since: Time(0), user, lane: NONE, prev: NONE, next: NONE };
                self.nodes.resize(self.nodes.len() + lanes.len(), blank);
                first
            });
            for (node, lane) in self.nodes[first as usize..].iter_mut().zip(&lanes) {
                *node = Node { since: Time(0), user, lane: *lane, prev: NONE, next: NONE };
            }
            stays.push(Stay { team, first, nodes, ready: false });
        }
        let at = user.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
            self.bits.resize(at + 1, [0; 2]);
        }
        self.bits[at] = bits_of(held.keys());
        self.slots[at] = Some(Box::new(Slot { count: 0, since: Time(0), held, stays }));
    }

    /// A rep is gone.
    pub fn remove(&mut self, user: UserId) {
        let Some(slot) = self.slots.get_mut(user.0 as usize).and_then(Option::take) else { return };
        for stay in &slot.stays {
            if stay.ready {
                self.unlink(stay, slot.count);
            }
            self.free.entry(stay.nodes).or_default().push(stay.first);
        }
    }

    /// Brings a rep's place up to date: sessions, since when, and in which of its teams it passes the tests of R3
    /// (`ready` is asked with the place of the team in the list given to [`Roster::enrol`]). True if the rep is ready
    /// in a team where it was not.
    pub fn update(&mut self, user: UserId, count: u32, since: Time, mut ready: impl FnMut(usize) -> bool) -> bool {
        let Some(mut slot) = self.slots.get_mut(user.0 as usize).and_then(Option::take) else { return false };
        let moved = slot.count != count || slot.since != since;
        let mut became_ready = false;
        for at in 0..slot.stays.len() {
            let stay = &mut slot.stays[at];
            let was = std::mem::replace(&mut stay.ready, ready(at) && (count as usize) < BUCKETS);
            if was && (moved || !stay.ready) {
                self.unlink(stay, slot.count);
            }
            if stay.ready && (moved || !was) {
                self.link(stay, count, since);
            }
            became_ready |= stay.ready && !was;
        }
        slot.count = count;
        slot.since = since;
        self.slots[user.0 as usize] = Some(slot);
        became_ready
    }

    pub fn held(&self, user: UserId) -> Option<&Held> {
        self.slot(user).map(|slot| &slot.held)
    }

    /// Teams in which this rep is ready.
    pub fn ready_teams(&self, user: UserId) -> impl Iterator<Item = TeamId> {
        self.slot(user).into_iter().flat_map(|slot| &slot.stays).filter(|stay| stay.ready).map(|stay| stay.team)
    }

    pub fn is_ready(&self, user: UserId, team: TeamId) -> bool {
        self.ready_teams(user).any(|ready| ready == team)
    }

    /// The team's ready reps in the order of R4.2.
    pub fn in_order(&self, team: TeamId) -> impl Iterator<Item = UserId> {
        self.teams.get(&team).into_iter().flat_map(|lanes| self.walk(lanes.all)).map(|node| node.user)
    }

    /// R4.2: the first ready rep in order that may have it.
    pub fn least_busy(&self, team: TeamId, may: impl Fn(UserId) -> bool) -> Option<UserId> {
        self.in_order(team).find(|user| may(*user))
    }

    /// One step of R4.6: of the ready reps who hold every skill asked for, the one who holds most of them as more
    /// preferred; among equals the first in the order of R4.2.
    pub fn best_skilled(&self, team: TeamId, asked: &[SkillId], may: impl Fn(UserId) -> bool) -> Option<UserId> {
        if asked.is_empty() {
            return self.least_busy(team, may);
        }
        let lanes = self.teams.get(&team)?;
        let mut rarest: Option<(u32, [u32; 2], SkillId)> = None;
        for skill in asked {
            let [more, less] = *lanes.skills.get(skill)?;
            let holders = self.lanes[more as usize].len + self.lanes[less as usize].len;
            if holders == 0 {
                return None;
            }
            if rarest.is_none_or(|(fewest, ..)| holders < fewest) {
                rarest = Some((holders, [more, less], *skill));
            }
        }
        let (_, [more, less], rarest) = rarest?;
        let wanted = bits_of(asked);
        let mut best: Option<(usize, u32, Time, UserId)> = None;
        for (lane, own, most) in [(more, 1, asked.len()), (less, 0, asked.len() - 1)] {
            for node in self.walk(lane) {
                if best.is_some_and(|(score, ..)| score > most) {
                    break;
                }
                let bits = self.bits[node.user.0 as usize];
                if wanted[0] & !bits[0] != 0 || wanted[1] & !bits[1] != 0 {
                    continue;
                }
                let Some(others) = self.score(node.user, asked, rarest) else { continue };
                if !may(node.user) {
                    continue;
                }
                let score = own + others;
                let slot = self.slot(node.user)?;
                let better = best.is_none_or(|(most, count, since, user)| {
                    score > most || score == most && (slot.count, slot.since, node.user) < (count, since, user)
                });
                if better {
                    best = Some((score, slot.count, slot.since, node.user));
                }
                if score == most {
                    break;
                }
            }
        }
        best.map(|(.., user)| user)
    }

    /// How many of the skills, but for one, the rep holds as more preferred; none if one is not held.
    fn score(&self, user: UserId, asked: &[SkillId], but: SkillId) -> Option<usize> {
        let held = &self.slot(user)?.held;
        let mut score = 0;
        for skill in asked.iter().filter(|skill| **skill != but) {
            score += usize::from(*held.get(skill)? == Level::More);
        }
        Some(score)
    }

    fn slot(&self, user: UserId) -> Option<&Slot> {
        self.slots.get(user.0 as usize)?.as_deref()
    }

    fn lanes_of(&mut self, team: TeamId, held: Option<&Held>) -> Vec<u32> {
        let lanes = &mut self.lanes;
        let mut lane = || {
            lanes.push(Lane { filled: 0, len: 0, ends: [(NONE, NONE); BUCKETS] });
            lanes.len() as u32 - 1
        };
        let team = self.teams.entry(team).or_insert_with(|| TeamLanes { all: lane(), skills: IdMap::default() });
        let mut mine = vec![team.all];
        for (skill, level) in held.into_iter().flatten() {
            let [more, less] = *team.skills.entry(*skill).or_insert_with(|| [lane(), lane()]);
            mine.push(if *level == Level::More { more } else { less });
        }
        mine
    }

    fn walk(&self, lane: u32) -> impl Iterator<Item = &Node> {
        let lane = &self.lanes[lane as usize];
        let mut filled = lane.filled;
        let mut next = NONE;
        std::iter::from_fn(move || {
            if next == NONE {
                if filled == 0 {
                    return None;
                }
                next = lane.ends[filled.trailing_zeros() as usize].0;
                filled &= filled - 1;
            }
            let node = &self.nodes[next as usize];
            next = node.next;
            Some(node)
        })
    }

    fn unlink(&mut self, stay: &Stay, count: u32) {
        for at in stay.first..stay.first + stay.nodes {
            let Node { lane, prev, next, .. } = self.nodes[at as usize];
            let lane = &mut self.lanes[lane as usize];
            let ends = &mut lane.ends[count as usize];
            match prev {
                NONE => ends.0 = next,
                prev => self.nodes[prev as usize].next = next,
            }
            match next {
                NONE => ends.1 = prev,
                next => self.nodes[next as usize].prev = prev,
            }
            if ends.0 == NONE {
                lane.filled &= !(1 << count);
            }
            lane.len -= 1;
        }
    }

    fn link(&mut self, stay: &Stay, count: u32, since: Time) {
        for at in stay.first..stay.first + stay.nodes {
            self.nodes[at as usize].since = since;
            let key = (since, self.nodes[at as usize].user);
            let lane = self.nodes[at as usize].lane as usize;
            let (head, tail) = self.lanes[lane].ends[count as usize];
            let prev = self.before(key, head, tail);
            let next = if prev == NONE { head } else { self.nodes[prev as usize].next };
            self.nodes[at as usize].prev = prev;
            self.nodes[at as usize].next = next;
            let lane = &mut self.lanes[lane];
            match prev {
                NONE => lane.ends[count as usize].0 = at,
                prev => self.nodes[prev as usize].next = at,
            }
            match next {
                NONE => lane.ends[count as usize].1 = at,
                next => self.nodes[next as usize].prev = at,
            }
            lane.filled |= 1 << count;
            lane.len += 1;
        }
    }

    /// The last node whose key is below this one, looked for from both ends at once.
    fn before(&self, key: (Time, UserId), head: u32, tail: u32) -> u32 {
        let (mut front, mut back) = (head, tail);
        loop {
            if back == NONE {
                return NONE;
            }
            let node = &self.nodes[back as usize];
            if (node.since, node.user) < key {
                return back;
            }
            back = node.prev;
            let node = &self.nodes[front as usize];
            if (node.since, node.user) > key {
                return node.prev;
            }
            front = node.next;
            debug_assert_ne!(front, NONE, "the walk from the tail ends first");
        }
    }
}

fn bits_of<'a>(skills: impl IntoIterator<Item = &'a SkillId>) -> [u64; 2] {
    let mut bits = [0; 2];
    for skill in skills {
        bits[(skill.0 / 64 % 2) as usize] |= 1 << (skill.0 % 64);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: TeamId = TeamId(1);

    fn roster(reps: &[(u32, u32, u64)]) -> Roster {
        let mut roster = Roster::default();
        for &(user, count, since) in reps {
            roster.enrol(UserId(user), &[(NET, false)], Held::new());
            roster.update(UserId(user), count, Time(since), |_| true);
        }
        roster
    }

    fn order(roster: &Roster) -> Vec<u32> {
        roster.in_order(NET).map(|user| user.0).collect()
    }

    #[test]
    fn r4_2_fewest_sessions_then_longest_unchanged_then_lowest_id() {
        let mut roster = roster(&[(3, 0, 50), (1, 1, 10), (2, 0, 50), (4, 0, 40), (5, 1, 5)]);
        assert_eq!(order(&roster), [4, 2, 3, 5, 1]);
        roster.update(UserId(4), 1, Time(60), |_| true);
        assert_eq!(order(&roster), [2, 3, 5, 1, 4]);
    }

    #[test]
    fn r4_2_who_comes_back_with_an_older_moment_is_put_in_its_place() {
        let mut roster = roster(&[(1, 0, 10), (2, 0, 20), (3, 0, 30), (4, 0, 40), (5, 0, 50)]);
        for user in [3, 1, 5] {
            roster.update(UserId(user), 0, Time(u64::from(user) * 10), |_| false);
        }
        assert_eq!(order(&roster), [2, 4]);
        for user in [3, 5, 1] {
            assert!(roster.update(UserId(user), 0, Time(u64::from(user) * 10), |_| true));
        }
        assert_eq!(order(&roster), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn r4_6_most_more_preferred_first_then_least_busy() {
        let (a, b) = (SkillId(1), SkillId(2));
        let mut roster = Roster::default();
        for (user, skills, since) in [
            (1, vec![(a, Level::Less), (b, Level::Less)], 1),
            (2, vec![(a, Level::More), (b, Level::Less)], 3),
            (3, vec![(a, Level::Less), (b, Level::More)], 2),
            (4, vec![(a, Level::More)], 0),
        ] {
            roster.enrol(UserId(user), &[(NET, true)], skills.into_iter().collect());
            roster.update(UserId(user), 0, Time(since), |_| true);
        }
        let pick =
            |asked: &[SkillId], but: u32| roster.best_skilled(NET, asked, |user| user.0 != but).map(|user| user.0);
        assert_eq!(pick(&[a, b], 0), Some(3));
        assert_eq!(pick(&[a, b], 3), Some(2));
        assert_eq!(pick(&[a], 0), Some(4));
        assert_eq!(pick(&[], 0), Some(4));
        assert_eq!(pick(&[SkillId(9)], 0), None);
    }
}

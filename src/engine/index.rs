//! What is derived from the state so that no decision scans: rosters, backlog, deadlines, who is where. Never stored;
//! two states are equal whatever their indices.

use super::{Queue, Session, State, deadlines::stay_time, reach::Reached, session::Waiting, tied::Tied};
use crate::{
    ids::*,
    routing::{
        Backlog, Demand, Place, Roster,
        backlog::Free,
        skills::{self, Held},
    },
    site::{Algorithm, Overdue, Site},
    time::{Span, Time},
};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub roster: Roster,
    pub backlog: Backlog,
    deadlines: BTreeSet<(Time, Subject)>,
    deadline_of: IdMap<Subject, Time>,
    /// Every waiting session by queue, in the order of age.
    queues: IdMap<Queue, BTreeSet<(Time, SessionId)>>,
    queue_of: IdMap<SessionId, (Queue, Time)>,
    /// Those that wait and came by a support button.
    by_button: Tied<ButtonId>,
    /// By the jump item that they run on, as long as they live.
    pub on_item: Tied<JumpItemId>,
    /// Sessions a rep is in, held ones too.
    in_sessions: IdMap<UserId, BTreeSet<SessionId>>,
    shapes: IdMap<UserId, Shape>,
    /// Reps logged in, by team (R8.3).
    logged_in: IdMap<TeamId, u32>,
    /// Seats taken, by pool; none: outside any (R11.1).
    seats: IdMap<Option<PoolId>, u32>,
    /// Who holds one of them: consoles, and extended availability without one.
    seat_of: IdMap<UserId, Option<PoolId>>,
    reached: Reached,
    /// Sessions that move as soon as this team is available (R6.3).
    move_due: IdMap<TeamId, BTreeSet<SessionId>>,
    /// What the last events may have made possible; the balance looks at nothing else (R5.6).
    pub fresh_reps: BTreeSet<UserId>,
    pub fresh_sessions: BTreeSet<SessionId>,
    touched_reps: Vec<UserId>,
    touched_sessions: Vec<SessionId>,
}

/// What has a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Subject {
    Rep(UserId),
    Session(SessionId),
}

/// What of a user's settings is asked at every change.
#[derive(Clone, Debug)]
struct Shape {
    teams: Vec<(TeamId, Span, Span)>,
}

impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Index {
    pub fn touch_rep(&mut self, user: UserId) {
        self.touched_reps.push(user);
    }

    pub fn touch_session(&mut self, session: SessionId) {
        self.touched_sessions.push(session);
    }

    pub fn entered(&mut self, user: UserId, session: SessionId) {
        self.in_sessions.entry(user).or_default().insert(session);
    }

    pub fn left(&mut self, user: UserId, session: SessionId) {
        if let Some(sessions) = self.in_sessions.get_mut(&user) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.in_sessions.remove(&user);
            }
        }
    }

    pub fn sessions_of(&self, user: UserId) -> impl Iterator<Item = SessionId> {
        self.in_sessions.get(&user).into_iter().flatten().copied()
    }

    /// Everything that waits in a queue, oldest first.
    pub fn waiting_in(&self, queue: Queue) -> impl ExactSizeIterator<Item = SessionId> {
        static EMPTY: BTreeSet<(Time, SessionId)> = BTreeSet::new();
        self.queues.get(&queue).unwrap_or(&EMPTY).iter().map(|(_, session)| *session)
    }

    /// Everything that waits in any queue, in no order.
    pub fn waiting(&self) -> impl Iterator<Item = SessionId> {
        self.queue_of.keys().copied()
    }

    /// How many wait who came by this button.
    pub fn waiting_by(&self, button: ButtonId) -> usize {
        self.by_button.count(button)
    }

    pub fn logged_in(&self, team: TeamId) -> u32 {
        self.logged_in.get(&team).copied().unwrap_or(0)
    }

    pub fn seats_taken(&self, pool: Option<PoolId>) -> u32 {
        self.seats.get(&pool).copied().unwrap_or(0)
    }

    pub fn move_due(&self, team: TeamId) -> Vec<SessionId> {
        self.move_due.get(&team).into_iter().flatten().copied().collect()
    }

    pub fn first_deadline(&self) -> Option<(Time, Subject)> {
        self.deadlines.first().copied()
    }

    fn refresh_reach(&mut self, site: &Site, id: SessionId, session: Option<&Session>) {
        let (before, after) = self.reached.refresh(site, id, session);
        before.into_iter().for_each(|pool| self.count_seat(Some(pool), None));
        after.into_iter().for_each(|pool| self.count_seat(None, Some(pool)));
    }

    fn set_deadline(&mut self, subject: Subject, due: Option<Time>) {
        let old = match due {
            Some(due) => self.deadline_of.insert(subject, due),
            None => self.deadline_of.remove(&subject),
        };
        if old == due {
            return;
        }
        if let Some(old) = old {
            self.deadlines.remove(&(old, subject));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, subject));
        }
    }

    fn enrol(&mut self, site: &Site, user_id: UserId) {
        let Some(user) = site.users.get(&user_id) else { return };
        let held: Held = skills::held(&site.skills, &user.skills);
        let teams = || user.teams.keys().filter_map(|id| site.teams.get(id).map(|team| (*id, team)));
        let by_skill: Vec<(TeamId, bool)> =
            teams().map(|(id, team)| (id, team.algorithm == Algorithm::SkillsLeastBusy)).collect();
        self.roster.enrol(user_id, &by_skill, held);
        let shape = Shape { teams: teams().map(|(id, team)| (id, team.defer_after_login, team.wrap_up)).collect() };
        for (team, ..) in &shape.teams {
            *self.logged_in.entry(*team).or_default() += 1;
        }
        self.take_seat(user_id, Some(user.pool));
        self.shapes.insert(user_id, shape);
    }

    /// Seats are counted once for each holder, however it comes to hold one (I7).
    fn take_seat(&mut self, user: UserId, pool: Option<Option<PoolId>>) {
        let before = match pool {
            Some(pool) => self.seat_of.insert(user, pool),
            None => self.seat_of.remove(&user),
        };
        self.count_seat(before, pool);
    }

    fn count_seat(&mut self, before: Option<Option<PoolId>>, after: Option<Option<PoolId>>) {
        if let Some(count) = before.and_then(|pool| self.seats.get_mut(&pool)) {
            *count -= 1;
        }
        if let Some(pool) = after {
            *self.seats.entry(pool).or_default() += 1;
        }
    }

    /// Requests for help in this session that wait.
    pub fn help_for(&self, session: SessionId) -> impl Iterator<Item = SessionId> {
        self.reached.help_for(session)
    }

    /// Sessions with an open invitation to this rep.
    pub fn invited_to(&self, user: UserId) -> impl Iterator<Item = SessionId> {
        self.reached.invited_to(user)
    }

    /// The session whose mailed invitation carries this token.
    pub fn mailed(&self, token: SecretHash) -> Option<SessionId> {
        self.reached.mailed(token)
    }

    /// `keeps`: the pool of the seat that the user holds on to.
    fn dismiss(&mut self, user: UserId, keeps: Option<Option<PoolId>>) {
        self.take_seat(user, keeps);
        self.roster.remove(user);
        self.set_deadline(Subject::Rep(user), None);
        self.fresh_reps.remove(&user);
        let Some(shape) = self.shapes.remove(&user) else { return };
        for (team, ..) in shape.teams {
            if let Some(count) = self.logged_in.get_mut(&team) {
                *count -= 1;
            }
        }
    }
}

impl State {
    /// Makes anew what is derived and not stored. Called after loading and when the site changes; everything may have
    /// become possible then.
    pub fn rebuild(&mut self) {
        self.next_session = self.next_session.max(1);
        self.index = Index::default();
        for (id, session) in &self.sessions {
            for participant in &session.participants {
                if let Party::Rep(user) = participant.party {
                    self.index.entered(user, *id);
                }
            }
        }
        self.index.touched_reps = self.consoles.keys().chain(&self.extended).copied().collect();
        self.index.touched_sessions = self.sessions.keys().copied().collect();
        self.refresh(self.now);
    }

    /// Brings the index up to date with what the last event touched.
    pub(super) fn refresh(&mut self, at: Time) {
        while let Some(user) = self.index.touched_reps.pop() {
            self.refresh_rep(user, at);
        }
        while let Some(session) = self.index.touched_sessions.pop() {
            self.refresh_session(session);
        }
    }

    fn refresh_rep(&mut self, user_id: UserId, at: Time) {
        let index = &mut self.index;
        let (Some(console), Some(user)) = (self.consoles.get(&user_id), self.site.users.get(&user_id)) else {
            let extended = self.site.users.get(&user_id).filter(|_| self.extended.contains(&user_id));
            return index.dismiss(user_id, extended.map(|user| user.pool));
        };
        if !index.shapes.contains_key(&user_id) {
            index.enrol(&self.site, user_id);
        }
        let shape = &index.shapes[&user_id];
        let free = console.is_free(user);
        let ready = |at_team: usize| {
            let (_, defer, wrap_up) = shape.teams[at_team];
            free && !console.waits(defer, wrap_up, at)
        };
        if index.roster.update(user_id, console.sessions, console.changed, ready) {
            index.fresh_reps.insert(user_id);
        }
        let waits = shape
            .teams
            .iter()
            .flat_map(|(_, defer, wrap_up)| {
                let defers = (!defer.is_zero()).then(|| console.deferred_until(*defer));
                [defers, (!wrap_up.is_zero()).then(|| console.wraps_until(*wrap_up))]
            })
            .flatten()
            .filter(|until| *until > console.checked)
            .min();
        let notice = || console.next_notice(self.wall_ms(console.login)).map(|(_, at)| at);
        let by_wall = [user.expires_ms, console.ends_ms, console.ends_ms.and_then(|_| notice())];
        let by_wall = by_wall.into_iter().flatten().min().map(|ms| self.at_wall_ms(ms));
        let idle = console.idle_since.filter(|_| !console.idled_out && !user.idle_limit.is_zero());
        let console_idle = console.idle_since.filter(|_| !user.console_idle.is_zero());
        let due = [
            waits,
            idle.map(|since| since + user.idle_limit),
            console_idle.map(|since| since + user.console_idle),
            console.lost_since.map(|since| since + self.site.options.reconnect_grace),
            by_wall,
            self.seat_times_out(user_id),
        ];
        let index = &mut self.index;
        index.set_deadline(Subject::Rep(user_id), due.into_iter().flatten().min());
    }

    fn refresh_session(&mut self, id: SessionId) {
        let session = self.sessions.get(&id);
        self.index.refresh_reach(&self.site, id, session);
        let due = session.and_then(|session| self.session_deadlines(session).first());
        let waiting = session.and_then(|session| Some((session, session.placed()?)));
        let button = session.filter(|session| session.waiting().is_some()).and_then(|session| session.ask.button);
        let item = session.and_then(|session| session.ask.item);
        let index = &mut self.index;
        index.set_deadline(Subject::Session(id), due);
        index.by_button.set(id, button);
        index.on_item.set(id, item);

        let queue = waiting.map(|(session, waiting)| (waiting.queue, session.first_queued));
        if index.queue_of.get(&id).copied() != queue {
            if let Some((queue, first)) = index.queue_of.remove(&id)
                && let Some(waiting) = index.queues.get_mut(&queue)
            {
                waiting.remove(&(first, id));
                if waiting.is_empty() {
                    index.queues.remove(&queue);
                }
            }
            for sessions in index.move_due.values_mut() {
                sessions.remove(&id);
            }
            index.move_due.retain(|_, sessions| !sessions.is_empty());
            if let Some((queue, first)) = queue {
                index.queues.entry(queue).or_default().insert((first, id));
                index.queue_of.insert(id, (queue, first));
            }
        }
        let Some((session, waiting)) = waiting else {
            index.backlog.take(id);
            index.fresh_sessions.remove(&id);
            return;
        };
        if waiting.move_due
            && let Queue::Team(team) = waiting.queue
            && let Some(Overdue::Transfer { to, .. }) = self.site.teams.get(&team).map(|team| team.overdue)
        {
            index.move_due.entry(to).or_default().insert(id);
        }
        match free(&self.site, session, waiting) {
            Some(free) => {
                let offerable = free.demand.is_some();
                let allowed = match &free.demand {
                    Some(Demand::Skilled(_, allowed)) => *allowed as usize + 1,
                    _ => 0,
                };
                let steps = || {
                    let mut steps = skills::steps(&self.site.skills, &session.skills);
                    steps.truncate(allowed);
                    steps
                };
                index.backlog.put(free, steps);
                if offerable {
                    index.fresh_sessions.insert(id);
                }
            }
            None => {
                index.backlog.take(id);
                index.fresh_sessions.remove(&id);
            }
        }
    }
}

/// R3.12: may this team serve the session's portal?
pub(super) fn portal_bars(site: &Site, session: &Session, team: TeamId) -> bool {
    is_barred(site, session.ask.portal, team)
}

pub(super) fn is_barred(site: &Site, portal: Option<PortalId>, team: TeamId) -> bool {
    let portal = portal.and_then(|portal| site.portals.get(&portal));
    portal.is_some_and(|portal| !portal.teams.is_empty() && !portal.teams.contains(&team))
}

/// The session as the backlog sees it, if it waits for a team and nothing keeps it from being taken.
fn free<'a>(site: &Site, session: &'a Session, waiting: &Waiting) -> Option<Free<'a>> {
    let Queue::Team(team_id) = waiting.queue else { return None };
    let team = site.teams.get(&team_id)?;
    if waiting.offer.is_some()
        || session.customer_lost.is_some()
        || session.must_agree()
        || portal_bars(site, session, team_id)
    {
        return None;
    }
    let demand = (team.algorithm != Algorithm::None).then(|| demand(site, session, waiting, team_id));
    let ageing = site.options.priority_ageing_per_min;
    let place = Place::new(session.priority, ageing, session.first_queued, session.id);
    let by_age = Place::by_age(session.first_queued, session.id);
    let take_place = if site.options.get_next_by_priority { place } else { by_age };
    Some(Free { team: team_id, demand, place, take_place, rejected_by: &session.rejected_by })
}

pub(super) fn demand(site: &Site, session: &Session, waiting: &Waiting, team: TeamId) -> Demand {
    if let Some((preferred, _)) = session.ask.preferred
        && !waiting.window_over
        && !session.rejected_by.contains(&preferred)
    {
        return Demand::Only(preferred);
    }
    match stay_time(site, session, team) {
        Some(stay) if !stay.is_zero() => {
            let last = skills::steps(&site.skills, &session.skills).len() as u32 - 1;
            if waiting.step >= last { Demand::Anyone } else { Demand::Skilled(session.skills.clone(), waiting.step) }
        }
        _ => Demand::Anyone,
    }
}

//! The rules again, by plain scanning: slow, short, and written without a look at the engine's own structures. What was
//! is taken from the checker's own memory; of the engine's state only what an event says by itself.

use crate::{
    calendar,
    check::{Checked, ensure},
    shadow::{Past, Shadow},
};
use equipoise::{
    engine::{Entry, Queue, Reason, Session, State, event::MoveRule, session::Waiting},
    ids::*,
    site::{Algorithm, Overdue, SessionKind, Site, StatusShown, User, UserPermission},
    time::Time,
};
use std::cmp::Reverse;

/// What the rules look at.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub state: &'a State,
    pub shadow: &'a Shadow,
    pub now: Time,
}

impl Moment<'_> {
    fn past(&self, session: SessionId) -> &Past {
        &self.shadow.sessions[&session]
    }

    /// R11.1, R11.2: may this rep be refused a login for this reason, or let in?
    pub fn judge_login(&self, rep: UserId, refused: Option<Reason>) -> Checked {
        let Some(user) = self.state.site.users.get(&rep) else {
            return ensure(refused.is_some(), || format!("{rep} is nobody"));
        };
        let is_new = !self.shadow.reps.contains_key(&rep);
        let schedule = user.schedule.as_ref();
        let open = schedule.is_none_or(|it| calendar::until(it, self.state.wall_ms(self.now)).is_some());
        let people = &self.shadow.people;
        let seats = user.pool.map_or(self.state.site.seats, |pool| self.state.site.pools[&pool].seats) as usize;
        let full = seats != 0 && people.seats(self.state, user.pool) >= seats && !people.extended.contains(&rep);
        let right = match refused {
            None => !is_new || open && !full,
            Some(Reason::OutsideSchedule) => is_new && !open,
            Some(Reason::NoSeat) => is_new && open && full,
            Some(_) => true,
        };
        ensure(right, || format!("R11.1, R11.2: refused {refused:?}, window open {open}, no seat free {full}"))
    }

    /// R3, for a session that waits in this team.
    pub fn eligible(&self, rep: UserId, team_id: TeamId, session: &Session) -> bool {
        let (Some(user), Some(console), Some(presence)) =
            (self.state.site.users.get(&rep), self.state.consoles.get(&rep), self.shadow.reps.get(&rep))
        else {
            return false;
        };
        let team = &self.state.site.teams[&team_id];
        let idle = console.idle_since.is_some_and(|since| self.now.since(since) >= user.idle_limit);
        user.enabled
            && console.lost_since.is_none()
            && !presence.must_prove
            && user.permissions.contains(&UserPermission::Support)
            && user.teams.contains_key(&team_id)
            && !console.opted_out
            && (user.idle_limit.is_zero() || !idle)
            && console.shown == StatusShown::Available
            && !self.past(session.id).rejected.contains(&rep)
            && self.now >= presence.login + team.defer_after_login
            && !user.exempt_from_assignment
            && presence.wrap_from.is_none_or(|from| self.now >= from + team.wrap_up)
            && portal_allows(&self.state.site, session, team_id)
            && !on_offer(self.state, rep)
            && presence.count < user.max_sessions as usize
    }

    /// R10.2, R10.3: its customer is not gone, and does not read the disclaimer.
    fn is_there(&self, session: &Session) -> bool {
        session.customer_lost.is_none() && !self.shadow.people.disclaimers.contains_key(&session.id)
    }

    /// R4: whom this session should be offered to at this moment; `avoid` only if nobody else can be asked.
    pub fn choice(&self, session: &Session, avoid: Option<UserId>) -> Option<UserId> {
        let waiting = session.waiting()?;
        let Queue::Team(team_id) = waiting.queue else { return None };
        let team = self.state.site.teams.get(&team_id)?;
        if waiting.offer.is_some() || !self.is_there(session) || team.algorithm == Algorithm::None {
            return None;
        }
        let reps = self.state.consoles.keys().copied();
        let able: Vec<UserId> = reps.filter(|rep| self.eligible(*rep, team_id, session)).collect();
        let past = self.past(session.id);
        if let Some((preferred, window)) = session.ask.preferred
            && self.now < past.first_queued + window
            && !past.rejected.contains(&preferred)
        {
            return able.into_iter().find(|rep| *rep == preferred);
        }
        let others: Vec<UserId> = able.iter().copied().filter(|rep| Some(*rep) != avoid).collect();
        self.best(session, team_id, &others).or_else(|| self.best(session, team_id, &able))
    }

    fn best(&self, session: &Session, team_id: TeamId, able: &[UserId]) -> Option<UserId> {
        let order = |rep: &UserId| {
            let presence = &self.shadow.reps[rep];
            (presence.count, presence.since, *rep)
        };
        let site = &self.state.site;
        if site.teams[&team_id].algorithm == Algorithm::LeastBusy {
            return able.iter().copied().min_by_key(order);
        }
        for asked in self.allowed_steps(session, team_id) {
            let matching = able.iter().copied().filter(|rep| asked.iter().all(|skill| holds(site, *rep, *skill)));
            let preferred = |rep: &UserId| asked.iter().filter(|skill| site.users[rep].skills.contains(skill)).count();
            if let Some(rep) = matching.min_by_key(|rep| (Reverse(preferred(rep)), order(rep))) {
                return Some(rep);
            }
        }
        None
    }

    /// R4.6 and R4.7: what is asked for at each step that may be taken at this moment.
    fn allowed_steps(&self, session: &Session, team: TeamId) -> Vec<Vec<SkillId>> {
        let site = &self.state.site;
        let issue = match session.ask.entry {
            Entry::Issue(issue) => site.issues.get(&issue).and_then(|issue| issue.relax_after),
            Entry::Queue(_) => None,
        };
        let stay = session.ask.relax_after.or(issue).unwrap_or(site.teams[&team].relax_after);
        let mut steps = steps(site, &session.skills);
        if !stay.is_zero() {
            steps.truncate(1 + (self.now.since(self.past(session.id).entered).0 / stay.0) as usize);
        }
        steps
    }

    /// R7.2: what `get_next` should take.
    pub fn next_for(&self, rep: UserId) -> Option<SessionId> {
        let site = &self.state.site;
        let mine = |session: &&Session| {
            let waiting = session.waiting();
            let Some(Queue::Team(team)) = waiting.map(|it| it.queue) else { return false };
            let free = offered(session).is_none_or(|to| to == rep);
            let member = site.users.get(&rep).is_some_and(|user| user.teams.contains_key(&team));
            free && member && self.is_there(session) && portal_allows(site, session, team)
        };
        let by_priority = site.options.get_next_by_priority;
        let order = |session: &&Session| {
            let age = (self.past(session.id).first_queued, session.id);
            (by_priority.then(|| self.urgency(session)), age)
        };
        self.state.sessions.values().filter(mine).min_by_key(order).map(|session| session.id)
    }

    /// R5.6: smaller is more urgent.
    pub fn urgency(&self, session: &Session) -> (Reverse<i128>, Time, SessionId) {
        let first = self.past(session.id).first_queued;
        let ageing = i128::from(self.state.site.options.priority_ageing_per_min);
        let aged = i128::from(session.priority) * 60_000 - ageing * i128::from(first.0);
        (Reverse(aged), first, session.id)
    }

    /// R8.2 rule 1: of the others in it, the one whose present stay began first.
    pub fn heir(&self, session: SessionId) -> Option<UserId> {
        let past = self.past(session);
        let others =
            past.stays.iter().filter(|(rep, _)| Some(**rep) != past.owner && self.shadow.reps.contains_key(rep));
        others.min_by_key(|(_, number)| **number).map(|(rep, _)| *rep)
    }

    /// R8.2 rules 2 to 4, R8.4, R8.5: where the fallback rules bring it.
    pub fn refuge(&self, session: SessionId) -> Option<(Queue, MoveRule)> {
        let past = self.past(session);
        let site = &self.state.site;
        let on = if past.kind == SessionKind::Jump { site.options.fallback_jump } else { site.options.fallback_normal };
        let waits = past.owner.is_none();
        let persistent =
            matches!(past.last, Some(Queue::Team(team)) if site.teams.get(&team).is_some_and(|it| it.persistent));
        let rules = [
            (MoveRule::Fallback2, past.last, !waits && (on[0] || persistent)),
            (MoveRule::Fallback3, past.first, on[1]),
            (MoveRule::Fallback4, site.options.fallback_team.map(Queue::Team), on[2]),
        ];
        for (rule, queue, applies) in rules {
            if let Some(queue) = queue.filter(|queue| applies && available(self.state, *queue)) {
                return Some((queue, rule));
            }
        }
        None
    }

    /// R6.1: when the rule for waiting sessions of its queue applies, and where it would bring it.
    pub fn waiting_rule(&self, session: SessionId) -> Option<(Time, Option<Queue>)> {
        let past = self.past(session);
        let Queue::Team(team) = past.last? else { return None };
        match self.state.site.teams.get(&team)?.overdue {
            Overdue::None => None,
            Overdue::Mark { after } => Some((past.entered + after, None)),
            Overdue::Transfer { after, to } => Some((past.entered + after, Some(Queue::Team(to)))),
        }
    }

    /// R6.1–R6.3: the queue to which the rule may move it at this moment.
    pub fn overflow(&self, session: SessionId, waiting: &Waiting) -> Option<Queue> {
        let (due, to) = self.waiting_rule(session)?;
        to.filter(|to| {
            due <= self.now
                && waiting.offer.is_none()
                && available(self.state, *to)
                && !self.past(session).been.contains(to)
        })
    }

    /// R10.1: how many would be offered before it, and itself.
    pub fn position(&self, session: &Session) -> usize {
        let queue = session.waiting().map(|waiting| waiting.queue);
        let mine = self.urgency(session);
        let before =
            |other: &&Session| other.waiting().map(|waiting| waiting.queue) == queue && self.urgency(other) <= mine;
        self.state.sessions.values().filter(before).count()
    }
}

/// R4.6: what is asked for at each step, until nothing is.
fn steps(site: &Site, skills: &[SkillId]) -> Vec<Vec<SkillId>> {
    let mut asked: Vec<SkillId> = Vec::new();
    for skill in skills {
        if !asked.contains(skill) && site.skills.contains_key(skill) {
            asked.push(*skill);
        }
    }
    let mut steps = vec![asked.clone()];
    while !asked.is_empty() {
        let lowest = asked.iter().map(|skill| site.skills[skill].rank).max();
        let last = asked.iter().rposition(|skill| Some(site.skills[skill].rank) == lowest).expect("there is one");
        let gone = asked.remove(last);
        if let Some(parent) = site.skills[&gone].parent
            && !asked.contains(&parent)
        {
            asked.insert(last, parent);
        }
        steps.push(asked.clone());
    }
    steps
}

/// Sessions the rep is in that count and are not held (R3.5).
pub fn busy(shadow: &Shadow, rep: UserId) -> usize {
    shadow.sessions.values().filter(|past| past.stays.contains_key(&rep) && past.counts() && !past.held).count()
}

pub fn on_offer(state: &State, rep: UserId) -> bool {
    state.sessions.values().filter_map(offered).any(|to| to == rep)
}

pub fn offered(session: &Session) -> Option<UserId> {
    session.waiting()?.offer.as_ref().map(|offer| offer.rep)
}

fn portal_allows(site: &Site, session: &Session, team: TeamId) -> bool {
    match session.ask.portal.and_then(|portal| site.portals.get(&portal)) {
        Some(portal) => portal.teams.is_empty() || portal.teams.contains(&team),
        None => true,
    }
}

/// R4.4: marked, or below a marked one.
pub fn holds(site: &Site, rep: UserId, skill: SkillId) -> bool {
    let mut at = Some(skill);
    while let Some(skill) = at {
        if site.users[&rep].skills.contains(&skill) {
            return true;
        }
        at = site.skills[&skill].parent;
    }
    false
}

/// R8.3.
pub fn available(state: &State, queue: Queue) -> bool {
    match queue {
        Queue::Personal(user) => {
            let supports = |user: &User| user.permissions.contains(&UserPermission::Support);
            state.consoles.contains_key(&user) && state.site.users.get(&user).is_some_and(supports)
        }
        Queue::Team(team) => state.site.teams.get(&team).is_some_and(|it| {
            let member = |user| state.site.users.get(user).is_some_and(|user| user.teams.contains_key(&team));
            it.persistent || state.consoles.keys().any(member)
        }),
    }
}

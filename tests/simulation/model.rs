//! The rules again, by plain scanning: slow, short, and written without a look at the engine's own structures.

use equipoise::{
    engine::{
        Queue, Session, State,
        session::{Stage, Waiting},
    },
    ids::*,
    site::{Algorithm, Site, StatusShown, UserPermission},
    time::Time,
};
use std::cmp::Reverse;

/// R3, for a session that waits in this team.
pub fn eligible(state: &State, rep: UserId, team_id: TeamId, session: &Session, now: Time) -> bool {
    let (Some(user), Some(console)) = (state.site.users.get(&rep), state.consoles.get(&rep)) else { return false };
    let team = &state.site.teams[&team_id];
    let idle = console.idle_since.is_some_and(|since| now.since(since) >= user.idle_limit);
    user.enabled
        && console.lost_since.is_none()
        && user.permissions.contains(&UserPermission::Support)
        && user.teams.contains_key(&team_id)
        && !console.opted_out
        && (user.idle_limit.is_zero() || !idle)
        && console.shown == StatusShown::Available
        && !session.rejected_by.contains(&rep)
        && now >= console.login + team.defer_after_login
        && !user.exempt_from_assignment
        && console.wrap_from.is_none_or(|from| now >= from + team.wrap_up)
        && portal_allows(&state.site, session, team_id)
        && !on_offer(state, rep)
        && busy(state, rep) < user.max_sessions as usize
}

/// Sessions the rep is in that count and are not held (R3.5).
pub fn busy(state: &State, rep: UserId) -> usize {
    let is_in = |session: &&Session| session.participants.iter().any(|it| it.party == Party::Rep(rep));
    let counts = |session: &&Session| session.counts() && !matches!(session.stage, Stage::Held { .. });
    state.sessions.values().filter(is_in).filter(counts).count()
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

/// R4: whom this session should be offered to at this moment; `avoid` only if nobody else can be asked.
pub fn choice(state: &State, session: &Session, now: Time, avoid: Option<UserId>) -> Option<UserId> {
    let waiting = session.waiting()?;
    let Queue::Team(team_id) = waiting.queue else { return None };
    let team = state.site.teams.get(&team_id)?;
    if waiting.offer.is_some() || session.customer_lost.is_some() || team.algorithm == Algorithm::None {
        return None;
    }
    let able: Vec<UserId> =
        state.consoles.keys().copied().filter(|rep| eligible(state, *rep, team_id, session, now)).collect();
    if let Some((preferred, window)) = session.ask.preferred
        && now < session.first_queued + window
        && !session.rejected_by.contains(&preferred)
    {
        return able.into_iter().find(|rep| *rep == preferred);
    }
    let others: Vec<UserId> = able.iter().copied().filter(|rep| Some(*rep) != avoid).collect();
    best(state, session, waiting, &others, now).or_else(|| best(state, session, waiting, &able, now))
}

fn best(state: &State, session: &Session, waiting: &Waiting, able: &[UserId], now: Time) -> Option<UserId> {
    let Queue::Team(team_id) = waiting.queue else { return None };
    let order = |rep: &UserId| {
        let console = &state.consoles[rep];
        (console.sessions, console.changed, *rep)
    };
    if state.site.teams[&team_id].algorithm == Algorithm::LeastBusy {
        return able.iter().copied().min_by_key(order);
    }
    for asked in allowed_steps(&state.site, session, waiting, team_id, now) {
        let matching = able.iter().copied().filter(|rep| asked.iter().all(|skill| holds(&state.site, *rep, *skill)));
        let preferred = |rep: &UserId| {
            let user = &state.site.users[rep];
            asked.iter().filter(|skill| user.skills.contains(skill)).count()
        };
        if let Some(rep) = matching.min_by_key(|rep| (Reverse(preferred(rep)), order(rep))) {
            return Some(rep);
        }
    }
    None
}

/// R4.4: marked, or below a marked one.
fn holds(site: &Site, rep: UserId, skill: SkillId) -> bool {
    let mut at = Some(skill);
    while let Some(skill) = at {
        if site.users[&rep].skills.contains(&skill) {
            return true;
        }
        at = site.skills[&skill].parent;
    }
    false
}

/// R4.6 and R4.7: what is asked for at each step that may be taken at this moment.
fn allowed_steps(site: &Site, session: &Session, waiting: &Waiting, team: TeamId, now: Time) -> Vec<Vec<SkillId>> {
    let issue = match session.ask.entry {
        equipoise::engine::Entry::Issue(issue) => site.issues.get(&issue).and_then(|issue| issue.relax_after),
        _ => None,
    };
    let stay = session.ask.relax_after.or(issue).unwrap_or(site.teams[&team].relax_after);
    let mut asked: Vec<SkillId> = Vec::new();
    for skill in &session.skills {
        if !asked.contains(skill) {
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
    if !stay.is_zero() {
        steps.truncate(1 + (now.since(waiting.since).0 / stay.0) as usize);
    }
    steps
}

/// R5.6: smaller is more urgent.
pub fn urgency(site: &Site, session: &Session) -> (Reverse<i128>, Time, SessionId) {
    let ageing = i128::from(site.options.priority_ageing_per_min);
    let aged = i128::from(session.priority) * 60_000 - ageing * i128::from(session.first_queued.0);
    (Reverse(aged), session.first_queued, session.id)
}

/// R8.3.
pub fn available(state: &State, queue: Queue) -> bool {
    match queue {
        Queue::Personal(user) => state.consoles.contains_key(&user),
        Queue::Team(team) => state.site.teams.get(&team).is_some_and(|it| {
            it.persistent || state.consoles.keys().any(|user| state.site.users[user].teams.contains_key(&team))
        }),
    }
}

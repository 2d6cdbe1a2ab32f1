//! What waiting customers are told (R10.1): position and estimate when they change, at most every five seconds; the
//! greeting, the periodic hold message, that nobody serves the queue, and the notices of the site.

use super::{Connection, Shared, views::push};
use crate::{
    engine::{Queue, Session, State, estimate::Estimate},
    ids::*,
    limits,
    site::Site,
    time::Span,
    wire::control::{Ev, WaitRange},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) struct WaitingRoom {
    shared: Arc<Shared>,
    told: HashMap<SessionId, Told>,
    /// Queues have moved since everybody was told.
    due: bool,
    told_at: Instant,
    /// Came with a new connection: hear everything soon.
    fresh: BTreeSet<SessionId>,
    /// When each hears its next hold message.
    holds: BTreeSet<(Instant, SessionId)>,
}

/// What one customer has heard.
#[derive(Default)]
struct Told {
    place: Option<(u32, Option<WaitRange>)>,
    greeted: bool,
    nobody: bool,
    notices: BTreeSet<NoticeId>,
    hold_at: Option<Instant>,
}

impl WaitingRoom {
    pub fn new(shared: Arc<Shared>) -> Self {
        let (told, fresh, holds) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { shared, told, due: false, told_at: Instant::now(), fresh, holds }
    }

    /// Something changed that positions, estimates or notices may follow.
    pub fn changed(&mut self) {
        self.due = true;
    }

    /// A new connection has heard nothing of where it stands.
    pub fn came(&mut self, session: SessionId) {
        if let Some(told) = self.told.get_mut(&session) {
            told.place = None;
            told.nobody = false;
            told.notices.clear();
        }
        self.fresh.insert(session);
    }

    pub fn left(&mut self, session: SessionId) {
        self.due = true;
        self.fresh.remove(&session);
        if let Some(at) = self.told.remove(&session).and_then(|told| told.hold_at) {
            self.holds.remove(&(at, session));
        }
    }

    /// A notice does not hold any more.
    pub fn notice_gone(&mut self, notice: NoticeId, head: Seq) {
        for (session, told) in &mut self.told {
            if told.notices.remove(&notice)
                && let Some(connection) = self.shared.directory.connection(Party::Customer(*session))
            {
                push(&connection, head, Ev::NoticeGone { notice: notice.0 });
            }
        }
    }

    /// When there is next something to tell.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let all = self.due.then(|| self.told_at.max(now));
        let fresh = (!self.fresh.is_empty()).then_some(now);
        [all, fresh, self.holds.first().map(|(at, _)| *at)].into_iter().flatten().min()
    }

    pub fn tell(&mut self, state: &State, head: Seq, now: Instant) {
        let mut whom = std::mem::take(&mut self.fresh);
        while let Some((at, session)) = self.holds.first().copied().filter(|(at, _)| *at <= now) {
            self.holds.remove(&(at, session));
            whom.insert(session);
        }
        if self.due && now >= self.told_at {
            self.due = false;
            self.told_at = now + Duration::from_millis(limits::POSITION_INTERVAL.0);
            whom.extend(state.waiting());
            // Those who are served meanwhile: should they wait again, they are told anew.
            let placed = self.told.iter().filter(|(_, told)| told.place.is_some());
            whom.extend(placed.map(|(session, _)| *session));
        }
        let mut queues: BTreeMap<Queue, BTreeMap<SessionId, (u32, u32)>> = BTreeMap::new();
        for id in whom {
            let Some(session) = state.session(id) else { continue };
            let Some(queue) = session.waiting().map(|waiting| waiting.queue).filter(|_| session.last_queue.is_some())
            else {
                if let Some(told) = self.told.get_mut(&id) {
                    told.place = None;
                }
                continue;
            };
            let Some(connection) = self.shared.directory.connection(Party::Customer(id)) else { continue };
            let places = queues.entry(queue).or_insert_with(|| places(state, queue));
            let Some((position, place)) = places.get(&id).copied() else { continue };
            let range = state.estimate(queue, place).map(tidy);
            self.tell_one(&connection, session, state, (queue, position, range), head, now);
        }
    }

    fn tell_one(
        &mut self,
        connection: &Connection,
        session: &Session,
        state: &State,
        (queue, position, range): (Queue, u32, Option<WaitRange>),
        head: Seq,
        now: Instant,
    ) {
        let (id, site) = (session.id, &state.site);
        let told = self.told.entry(id).or_default();
        let say = |kind: &str, text: &str, url: &str, notice: Option<NoticeId>| {
            let (kind, text, url) = (kind.to_owned(), text.to_owned(), url.to_owned());
            let notice = notice.map(|notice| notice.0);
            push(connection, head, Ev::Announcement { session: id.0, kind, text, url, notice });
        };
        let (greeting, hold) = texts(site, queue);
        if !std::mem::replace(&mut told.greeted, true) && !greeting.is_empty() {
            say("greeting", greeting, "", None);
        }
        if told.place != Some((position, range)) {
            told.place = Some((position, range));
            let name = site.options.rep_alias.clone();
            push(connection, head, Ev::Waiting { session: id.0, position, wait_s: range, name });
        }
        let nobody = matches!(queue, Queue::Team(team) if state.logged_in(team) == 0);
        if nobody && !std::mem::replace(&mut told.nobody, nobody) {
            let (text, url) = no_rep(site, session.ask.portal);
            say("no_rep", text, url, None);
        }
        told.nobody = nobody;
        for (notice, published) in state.notices.live() {
            if told.notices.insert(notice) {
                say("notice", &published.text, "", Some(notice));
            }
        }
        let every = Duration::from_millis(site.options.hold_message_every.0);
        if hold.is_empty() || every.is_zero() {
            return;
        }
        if told.hold_at.is_some_and(|at| at <= now) {
            say("hold", hold, "", None);
        }
        if told.hold_at.is_none_or(|at| at <= now) {
            told.hold_at = Some(now + every);
            self.holds.insert((now + every, id));
        }
    }
}

/// The position of everybody in a queue, and the place among those who are on offer to nobody.
fn places(state: &State, queue: Queue) -> BTreeMap<SessionId, (u32, u32)> {
    let mut unoffered = 0;
    let order = state.in_order(queue).into_iter().zip(1..);
    order
        .map(|(session, position)| {
            let place = unoffered + 1;
            unoffered += u32::from(state.is_unoffered(session));
            (session, (position, place))
        })
        .collect()
}

/// Greeting and hold message of a queue: the team's own, else the site's.
fn texts(site: &Site, queue: Queue) -> (&str, &str) {
    let team = match queue {
        Queue::Team(team) => site.teams.get(&team),
        Queue::Personal(_) => None,
    };
    (
        team.map(|team| team.greeting.as_str()).filter(|text| !text.is_empty()).unwrap_or(&site.options.greeting),
        team.map(|team| team.hold_message.as_str())
            .filter(|text| !text.is_empty())
            .unwrap_or(&site.options.hold_message),
    )
}

/// What a portal says when nobody serves a queue, and where it sends the customer.
pub(super) fn no_rep(site: &Site, portal: Option<PortalId>) -> (&str, &str) {
    let portal = portal.and_then(|portal| site.portals.get(&portal));
    let message = portal.map(|portal| portal.no_rep_message.as_str()).filter(|message| !message.is_empty());
    (message.unwrap_or("Nobody is available at the moment."), portal.map_or("", |portal| &portal.no_rep_url))
}

/// Whole tens of seconds, half minutes or minutes, so that a change that nobody would notice is none.
fn tidy(estimate: Estimate) -> WaitRange {
    let step = match estimate.high {
        Span(..=120_000) => 10,
        Span(..=600_000) => 30,
        _ => 60,
    };
    let steps = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(step);
    let of = |span: Span, more: u64| steps((span.0 + more) / (u64::from(step) * 1000));
    let whole = u64::from(step) * 1000;
    WaitRange { low: of(estimate.low, 0), about: of(estimate.about, whole / 2), high: of(estimate.high, whole - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_1_what_is_told_is_no_finer_than_people_can_use() {
        let estimate = |low, about, high| tidy(Estimate { low: Span(low), about: Span(about), high: Span(high) });
        assert_eq!(estimate(4_999, 15_000, 41_000), WaitRange { low: 0, about: 20, high: 50 });
        assert_eq!(estimate(62_000, 140_000, 301_000), WaitRange { low: 60, about: 150, high: 330 });
        assert_eq!(estimate(119_000, 700_000, 1_200_000), WaitRange { low: 60, about: 720, high: 1_200 });
    }
}

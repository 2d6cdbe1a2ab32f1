//! Metrics of sessions, offers and reps: they follow the one stream of events, after the commit, like every view.
//!
//! A follower remembers only what it needs to count: where each session stands and since when, and what each rep is.

use crate::{
    engine::{
        Event, Session, Stamped, State,
        event::{AcceptedHow, AnsweredHow},
        jobs::JobEnd,
        session::Stage,
    },
    ids::{SessionId, UserId},
    time::{Span, Time},
};
use metrics::{counter, gauge, histogram};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Told of every event in order, once it is durable. Belongs to the owner of one site.
#[derive(Default)]
pub struct Follower {
    sessions: HashMap<SessionId, Followed>,
    /// In which a rep shows its screen to another: they have no customer, and count for themselves.
    shows: HashSet<SessionId>,
    reps: HashMap<UserId, Console>,
}

struct Followed {
    asked: Time,
    served: bool,
    stage: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Waiting,
    Offered { since: Time },
    Active,
    Held,
}

#[derive(Clone, Copy, Default)]
struct Console {
    opted_out: bool,
    idle: bool,
}

impl At {
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered { .. } => "offered",
            Self::Active => "active",
            Self::Held => "held",
        }
    }
}

impl Console {
    fn name(self) -> &'static str {
        match self {
            Self { idle: true, .. } => "idle",
            Self { opted_out: true, .. } => "opted_out",
            _ => "available",
        }
    }
}

/// What the broker calls after each durable turn. The first call takes over what was recovered.
pub fn follower() -> impl FnMut(&[Stamped], &State) + Send + 'static {
    let mut follower: Option<Follower> = None;
    move |events, state| match &mut follower {
        Some(follower) => follower.observe(events),
        None => {
            // The state holds these events already: only what is counted, not where sessions stand, may follow.
            follower = Some(Follower::recovered(state.sessions.values()));
        }
    }
}

impl Follower {
    /// Takes over what was recovered: sessions that have not ended. Reps follow by their logins.
    pub fn recovered<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> Self {
        let mut follower = Self::default();
        for session in sessions {
            if session.is_show() {
                follower.show(session.id);
                continue;
            }
            let (stage, served) = match &session.stage {
                Stage::Waiting(waiting) => match &waiting.offer {
                    Some(offer) => (At::Offered { since: offer.since }, false),
                    None => (At::Waiting, false),
                },
                Stage::Active { .. } => (At::Active, true),
                Stage::Held { .. } => (At::Held, true),
            };
            follower.enter(session.id, Followed { asked: session.first_queued, served, stage });
        }
        follower
    }

    pub fn observe(&mut self, events: &[Stamped]) {
        for Stamped { at, event } in events {
            self.one(*at, event);
        }
    }

    fn one(&mut self, at: Time, event: &Event) {
        match event {
            Event::Asked { session, ask } if ask.shown_by.is_some() => {
                counter!("equipoise_shows_asked_total").increment(1);
                self.show(*session);
            }
            Event::Accepted { how: AcceptedHow::Show, .. } => {}
            Event::Ended { session, reason } if self.shows.remove(session) => {
                counter!("equipoise_shows_ended_total", "reason" => name(reason)).increment(1);
                gauge!("equipoise_shows").decrement(1.0);
            }
            Event::Asked { session, .. } => {
                counter!("equipoise_sessions_asked_total").increment(1);
                self.enter(*session, Followed { asked: at, served: false, stage: At::Waiting });
            }
            Event::Offered { session, .. } => {
                counter!("equipoise_offers_made_total").increment(1);
                self.place(*session, At::Offered { since: at });
            }
            Event::Accepted { session, how, .. } => self.accepted(at, *session, *how),
            Event::Rejected { session, .. } => self.offer_ended(*session, "rejected"),
            Event::OfferTimeout { session, .. } => self.offer_ended(*session, "timeout"),
            Event::OfferWithdrawn { session, .. } => self.offer_ended(*session, "withdrawn"),
            Event::Overdue { .. } => counter!("equipoise_overdue_total").increment(1),
            Event::Queued { session, .. } => self.place(*session, At::Waiting),
            Event::Moved { session, rule, .. } => {
                counter!("equipoise_moves_total", "rule" => name(rule)).increment(1);
                self.place(*session, At::Waiting);
            }
            Event::OwnerChanged { session, rule, .. } => {
                counter!("equipoise_owner_changes_total", "rule" => name(rule)).increment(1);
                self.place(*session, At::Active);
            }
            Event::Held { session } => self.place(*session, At::Held),
            Event::Resumed { session } => self.place(*session, At::Active),
            Event::Ended { session, reason } => {
                counter!("equipoise_sessions_ended_total", "reason" => name(reason)).increment(1);
                self.ended(at, *session);
            }
            Event::LoggedIn { user } => {
                counter!("equipoise_rep_logins_total").increment(1);
                self.console(*user, Some(Console::default()));
            }
            Event::LoggedOut { user, reason } => {
                counter!("equipoise_rep_logouts_total", "reason" => name(reason)).increment(1);
                self.console(*user, None);
            }
            Event::OptedIn { user } => self.change(*user, |console| console.opted_out = false),
            Event::OptedOut { user } => self.change(*user, |console| console.opted_out = true),
            Event::WentIdle { user, .. } => self.change(*user, |console| console.idle = true),
            Event::WentActive { user } => self.change(*user, |console| console.idle = false),
            Event::PromptAnswered { allow, how, .. } => {
                let outcome = match how {
                    AnsweredHow::Customer if *allow => "allowed",
                    AnsweredHow::Customer => "denied",
                    AnsweredHow::Timeout => "timeout",
                    AnsweredHow::Disconnected => "disconnected",
                    AnsweredHow::Nobody => "nobody",
                    AnsweredHow::Withdrawn => "withdrawn",
                };
                counter!("equipoise_prompts_total", "outcome" => outcome).increment(1);
            }
            Event::Opened { .. } => counter!("equipoise_opens_total", "outcome" => "opened").increment(1),
            Event::OpenRefused { cause, .. } => {
                counter!("equipoise_opens_total", "outcome" => "refused").increment(1);
                if let Some(cause) = cause {
                    counter!("equipoise_refusals_total", "tool" => cause.tool.name()).increment(1);
                }
            }
            Event::JobMade { items, .. } => {
                counter!("equipoise_jobs_made_total").increment(1);
                items.iter().filter(|item| item.refused.is_some()).for_each(|_| job_ended("refused"));
            }
            Event::JobEnded { how, .. } => match how {
                JobEnd::Done(0) => job_ended("done"),
                JobEnd::Done(_) | JobEnd::Failed(_) => job_ended("failed"),
                JobEnd::Cancelled => job_ended("cancelled"),
                JobEnd::Refused(_) => job_ended("refused"),
                JobEnd::Expired => job_ended("expired"),
            },
            Event::JobCancelled { waited, .. } => waited.iter().for_each(|_| job_ended("cancelled")),
            Event::JobExpired { waited, .. } => waited.iter().for_each(|_| job_ended("expired")),
            Event::JobsRefused { count, .. } => {
                counter!("equipoise_refusals_total", "tool" => "canned_scripts").increment(u64::from(*count));
            }
            Event::Refused { tool, count, .. } => {
                counter!("equipoise_refusals_total", "tool" => tool.name()).increment(u64::from(*count));
            }
            _ => {}
        }
    }

    fn accepted(&mut self, at: Time, session: SessionId, how: AcceptedHow) {
        counter!("equipoise_assignments_total", "how" => name(&how)).increment(1);
        let Some(followed) = self.sessions.get_mut(&session) else { return };
        if !std::mem::replace(&mut followed.served, true) {
            wait("accepted", at.since(followed.asked));
        }
        if let (AcceptedHow::Offer, At::Offered { since }) = (how, followed.stage) {
            counter!("equipoise_offers_total", "outcome" => "accepted").increment(1);
            histogram!("equipoise_offer_accept_seconds").record(seconds(at.since(since)));
        }
        self.place(session, At::Active);
    }

    fn offer_ended(&mut self, session: SessionId, outcome: &'static str) {
        counter!("equipoise_offers_total", "outcome" => outcome).increment(1);
        self.place(session, At::Waiting);
    }

    fn show(&mut self, session: SessionId) {
        gauge!("equipoise_shows").increment(1.0);
        self.shows.insert(session);
    }

    fn enter(&mut self, session: SessionId, followed: Followed) {
        gauge!("equipoise_sessions", "state" => followed.stage.name()).increment(1.0);
        self.sessions.insert(session, followed);
    }

    fn place(&mut self, session: SessionId, stage: At) {
        let Some(followed) = self.sessions.get_mut(&session) else { return };
        let before = std::mem::replace(&mut followed.stage, stage);
        if before.name() != stage.name() {
            gauge!("equipoise_sessions", "state" => before.name()).decrement(1.0);
            gauge!("equipoise_sessions", "state" => stage.name()).increment(1.0);
        }
    }

    fn ended(&mut self, at: Time, session: SessionId) {
        let Some(followed) = self.sessions.remove(&session) else { return };
        gauge!("equipoise_sessions", "state" => followed.stage.name()).decrement(1.0);
        if !followed.served {
            wait("ended", at.since(followed.asked));
        }
    }

    fn console(&mut self, user: UserId, console: Option<Console>) {
        let before = match console {
            Some(console) => {
                gauge!("equipoise_reps", "state" => console.name()).increment(1.0);
                self.reps.insert(user, console)
            }
            None => self.reps.remove(&user),
        };
        if let Some(before) = before {
            gauge!("equipoise_reps", "state" => before.name()).decrement(1.0);
        }
    }

    fn change(&mut self, user: UserId, change: impl FnOnce(&mut Console)) {
        let Some(mut console) = self.reps.get(&user).copied() else { return };
        change(&mut console);
        self.console(user, Some(console));
    }
}

/// What this follower showed goes with it: an owner that rebuilds from the journal begins again.
impl Drop for Follower {
    fn drop(&mut self) {
        for followed in self.sessions.values() {
            gauge!("equipoise_sessions", "state" => followed.stage.name()).decrement(1.0);
        }
        gauge!("equipoise_shows").decrement(self.shows.len() as f64);
        for console in self.reps.values() {
            gauge!("equipoise_reps", "state" => console.name()).decrement(1.0);
        }
    }
}

/// On one item.
fn job_ended(outcome: &'static str) {
    counter!("equipoise_job_runs_total", "outcome" => outcome).increment(1);
}

fn wait(outcome: &'static str, span: Span) {
    histogram!("equipoise_session_wait_seconds", "outcome" => outcome).record(seconds(span));
}

fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1000.0
}

/// The name that serde gives a word of a closed list: the same in events, simulations and labels.
fn name(word: &impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(name)) => name,
        _ => unreachable!("the words of events are unit variants"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        Queue, Reason, Refusal,
        command::{Ask, Entry},
        event::{Cause, EndReason, LogoutReason, MoveRule, OwnerRule},
        jobs::JobItem,
    };
    use crate::ids::*;
    use crate::policy::Tool;
    use metrics_exporter_prometheus::PrometheusBuilder;

    const QUEUE: Queue = Queue::Team(TeamId(1));

    fn asked(session: u64) -> Event {
        let ask = Ask::of(Entry::Queue(QUEUE));
        Event::Asked { session: SessionId(session), ask: Box::new(ask) }
    }

    fn after(events: Vec<(u64, Event)>) -> String {
        let recorder = PrometheusBuilder::new().set_buckets(&[20.0]).expect("one bucket").build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let mut follower = Follower::default();
            let events: Vec<Stamped> =
                events.into_iter().map(|(s, event)| Stamped { at: Time(s * 1000), event }).collect();
            follower.observe(&events);
            let text = recorder.handle().render();
            drop(follower);
            text
        })
    }

    #[track_caller]
    fn says(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|served| served == *line), "{line} is not in\n{text}");
        }
    }

    fn offered(session: u64) -> Event {
        Event::Offered {
            session: SessionId(session),
            rep: UserId(1),
            team: TeamId(1),
            expires_at: Time(60_000),
            step: 0,
            count: 0,
            rule: None,
        }
    }

    fn accepted(session: u64, how: AcceptedHow) -> Event {
        Event::Accepted { session: SessionId(session), rep: UserId(1), participant: ParticipantId(1), how }
    }

    #[test]
    fn offers_made_are_those_that_ended_and_those_that_are_open() {
        let (rep, reason) = (UserId(1), String::new());
        let text = after(vec![
            (0, asked(1)),
            (0, asked(2)),
            (1, offered(1)),
            (9, Event::OfferTimeout { session: SessionId(1), rep }),
            (10, offered(1)),
            (12, Event::Rejected { session: SessionId(1), rep }),
            (12, offered(1)),
            (13, Event::OfferWithdrawn { session: SessionId(1), rep, reason }),
            (14, offered(1)),
            (18, accepted(1, AcceptedHow::Offer)),
            (20, offered(2)),
        ]);
        says(
            &text,
            &[
                "equipoise_offers_made_total 5",
                "equipoise_offers_total{outcome=\"accepted\"} 1",
                "equipoise_offers_total{outcome=\"rejected\"} 1",
                "equipoise_offers_total{outcome=\"timeout\"} 1",
                "equipoise_offers_total{outcome=\"withdrawn\"} 1",
                "equipoise_sessions{state=\"offered\"} 1",
                "equipoise_sessions{state=\"active\"} 1",
                "equipoise_sessions{state=\"waiting\"} 0",
                "equipoise_assignments_total{how=\"offer\"} 1",
                "equipoise_session_wait_seconds_sum{outcome=\"accepted\"} 18",
                "equipoise_offer_accept_seconds_sum 4",
            ],
        );
    }

    #[test]
    fn a_session_is_in_one_state_until_it_ends() {
        let session = SessionId(1);
        let text = after(vec![
            (0, asked(1)),
            (1, accepted(1, AcceptedHow::Take)),
            (2, Event::Held { session }),
            (3, Event::Resumed { session }),
            (4, Event::Moved { session, from: None, to: QUEUE, rule: MoveRule::Fallback3 }),
            (5, Event::OwnerChanged { session, from: None, to: UserId(2), rule: OwnerRule::TakeOver }),
            (6, Event::Ended { session, reason: EndReason::ByRep }),
            (7, asked(2)),
            (9, Event::Ended { session: SessionId(2), reason: EndReason::LeftQueue }),
        ]);
        says(
            &text,
            &[
                "equipoise_sessions{state=\"waiting\"} 0",
                "equipoise_sessions{state=\"active\"} 0",
                "equipoise_sessions{state=\"held\"} 0",
                "equipoise_sessions_asked_total 2",
                "equipoise_sessions_ended_total{reason=\"by_rep\"} 1",
                "equipoise_moves_total{rule=\"fallback_3\"} 1",
                "equipoise_owner_changes_total{rule=\"take_over\"} 1",
                "equipoise_session_wait_seconds_sum{outcome=\"accepted\"} 1",
                "equipoise_session_wait_seconds_sum{outcome=\"ended\"} 2",
            ],
        );
    }

    #[test]
    fn a_rep_is_in_one_state_while_logged_in() {
        let (ana, bo) = (UserId(1), UserId(2));
        let text = after(vec![
            (0, Event::LoggedIn { user: ana }),
            (0, Event::LoggedIn { user: bo }),
            (1, Event::OptedOut { user: ana }),
            (2, Event::WentIdle { user: ana, since: Time(1) }),
            (3, Event::WentActive { user: ana }),
            (4, Event::LoggedOut { user: bo, reason: LogoutReason::Lost }),
        ]);
        says(
            &text,
            &[
                "equipoise_reps{state=\"available\"} 0",
                "equipoise_reps{state=\"opted_out\"} 1",
                "equipoise_reps{state=\"idle\"} 0",
                "equipoise_rep_logouts_total{reason=\"lost\"} 1",
            ],
        );
    }

    #[test]
    fn p6_3_refusals_count_by_tool() {
        let (session, participant, source) = (SessionId(1), ParticipantId(1), "policy:house".to_owned());
        let cause = Some(Cause { tool: Tool::Shell, source: source.clone() });
        let refused = |cause| {
            let (code, reason) = ("denied".to_owned(), String::new());
            Event::OpenRefused { session, open: OpenId(1), code, reason, cause }
        };
        let text = after(vec![
            (0, Event::Refused { session, participant, tool: Tool::Reboot, count: 7, source: source.clone() }),
            (1, Event::Refused { session, participant, tool: Tool::Shell, count: 2, source }),
            (2, refused(cause)),
            (3, refused(None)),
        ]);
        says(
            &text,
            &[
                "equipoise_refusals_total{tool=\"reboot\"} 7",
                "equipoise_refusals_total{tool=\"shell\"} 3",
                "equipoise_opens_total{outcome=\"refused\"} 2",
            ],
        );
    }

    #[test]
    fn p8_8_jobs_count_by_how_they_ended_on_each_item_and_refused_requests_as_of_scripts() {
        let refusal = Box::new(Refusal::new(Reason::NotPermitted, "P8.1", "no"));
        let item = |at: u32, refused| JobItem { item: JumpItemId(at), code: "srv".to_owned(), refused };
        let (job, by) = (JobId(1), UserId(1));
        let made = Event::JobMade {
            job,
            by,
            template: None,
            script: "true".to_owned(),
            timeout: Span::seconds(1),
            expires_at: Time(9),
            items: vec![item(1, None), item(2, None), item(3, Some(refusal.clone()))],
        };
        let ended = |how| Event::JobEnded { job, item: JumpItemId(1), how, output: String::new() };
        let ends = [
            JobEnd::Done(0),
            JobEnd::Done(1),
            JobEnd::Failed(String::new()),
            JobEnd::Cancelled,
            JobEnd::Refused(refusal),
        ];
        let ends = ends.into_iter().map(|how| (1, ended(how)));
        let refused = Event::JobsRefused { by, count: 4, source: "user:ana".to_owned() };
        let cancelled = Event::JobCancelled { job, by, waited: vec![JumpItemId(1), JumpItemId(2)] };
        let expired = Event::JobExpired { job, waited: vec![JumpItemId(2)] };
        let text = after([(0, made), (2, refused), (3, cancelled), (4, expired)].into_iter().chain(ends).collect());
        says(
            &text,
            &[
                "equipoise_jobs_made_total 1",
                "equipoise_job_runs_total{outcome=\"done\"} 1",
                "equipoise_job_runs_total{outcome=\"failed\"} 2",
                "equipoise_job_runs_total{outcome=\"cancelled\"} 3",
                "equipoise_job_runs_total{outcome=\"expired\"} 1",
                "equipoise_job_runs_total{outcome=\"refused\"} 2",
                "equipoise_refusals_total{tool=\"canned_scripts\"} 4",
            ],
        );
    }

    #[test]
    fn a_rebuilt_owner_does_not_count_twice() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let mut follower = Follower::default();
            follower.observe(&[Stamped { at: Time(0), event: asked(1) }]);
            drop(follower);
        });
        says(&recorder.handle().render(), &["equipoise_sessions{state=\"waiting\"} 0"]);
    }
}

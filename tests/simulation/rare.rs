//! What should come about now and then, and how often it did: a simulation that never gets there proves nothing.

use crate::{
    calendar,
    model::{self, Moment},
    sometimes::SOMETIMES,
};
use equipoise::{
    engine::{
        Command, Event, Queue, Reason, Request, State,
        command::InvitationAnswer,
        event::{AcceptedHow, EndReason, LogoutReason, MoveRule, OwnerRule},
        session::Stage,
    },
    ids::*,
    site::SessionKind,
    time::Time,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    pub fn sometimes(&mut self, name: &'static str) {
        debug_assert!(SOMETIMES.contains(&name), "`{name}` is not in the list");
        *self.0.entry(name).or_default() += 1;
    }

    fn when(&mut self, name: &'static str, holds: bool) {
        if holds {
            self.sometimes(name);
        }
    }

    pub fn add(&mut self, other: Self) {
        for (name, times) in other.0 {
            *self.0.entry(name).or_default() += times;
        }
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.0
    }

    pub fn never(&self) -> Vec<&'static str> {
        SOMETIMES.iter().copied().filter(|name| !self.0.contains_key(name)).collect()
    }

    /// What was asked and refused.
    pub fn refused(&mut self, moment: Moment<'_>, request: &Request, reason: Reason) {
        self.sometimes("refused");
        if let (Command::Login { user, .. }, Reason::OutsideSchedule) = (&request.command, reason) {
            let names = [
                "outside the schedule in the hour that comes twice",
                "outside the schedule just after the skipped hour",
            ];
            self.clocks(moment, *user, names);
        }
        let name = match (&request.command, reason) {
            (Command::Accept { .. }, Reason::OfferGone) => "a late accept",
            (Command::Reject { .. }, Reason::OfferGone) => "a late reject",
            (Command::AnswerInvitation { .. }, Reason::KeyGone) => "a link of a mail was followed too late",
            (Command::RedeemInvite { .. }, Reason::KeyGone) => "an external rep came with a key that was gone",
            (Command::RedeemInvite { .. }, Reason::NoSeat) => "no seat was free for an external rep",
            (_, Reason::Reauthenticate) => "a shared seat refused a new act",
            (_, Reason::HardCap) => "the hard cap refused",
            (_, Reason::QueueFull) => "the queue was full",
            (_, Reason::NoRepAvailable) => "nobody was available",
            (_, Reason::OpenSessions) => "open sessions refused a logout",
            (_, Reason::NoSeat) => "no seat was free",
            (_, Reason::OutsideSchedule) => "outside the schedule",
            (_, Reason::SecondFactorRequired) => "a second factor was missing",
            (_, Reason::BadSite) => "a site was refused",
            _ => return,
        };
        self.sometimes(name);
    }

    /// An event, seen before it is applied; `avoid` is the rep whose offer of this session just ran out.
    pub fn event(&mut self, moment: Moment<'_>, event: &Event, avoid: Option<UserId>) {
        let state = moment.state;
        match event {
            Event::Offered { session, rep, .. } => self.offered(moment, *session, *rep, avoid),
            Event::Relaxed { session, step } => {
                let over = state.sessions[session].waiting().is_some_and(|waiting| waiting.step == *step);
                self.sometimes(if over { "the preferred rep's window ran out" } else { "relaxed" });
            }
            Event::Rejected { session, rep } => {
                self.sometimes("rejected");
                self.when("rejected by everybody who could", nobody_left(state, *session, *rep));
            }
            Event::OfferTimeout { session, rep } => {
                self.sometimes("timed out");
                let counts = state.site.options.offer_timeout_is_rejection;
                self.when("timed out without that being a rejection", !counts);
                let lost = state.consoles.get(rep).is_some_and(|console| console.lost_since == Some(moment.now));
                self.when("the console was lost during an offer", lost);
                let ran_out = |id: &&SessionId| **id != *session && runs_out(state, **id, moment.now);
                self.when("two offers ran out at one moment", state.sessions.keys().filter(ran_out).count() > 0);
            }
            Event::OfferWithdrawn { reason, .. } => {
                self.sometimes("withdrawn");
                self.when("taken from an offer to another", reason == "taken");
                self.when("the customer was lost during an offer", reason == "customer_lost");
                self.when("a team was deleted during an offer", reason == "team_deleted");
                self.when("a disclaimer was shown during an offer", reason == "disclaimer");
            }
            Event::Overdue { .. } => self.sometimes("marked overdue"),
            Event::Moved { session, to, rule, .. } => self.moved(moment, *session, *to, *rule),
            Event::Ended { session, reason } => self.ended(moment, *session, *reason),
            Event::Attached { party: Party::JumpClient(_), .. } => self.sometimes("an endpoint stood by"),
            Event::Attached { party: Party::Customer(session), presented: None, .. } => {
                let on_item = state.sessions.get(session).is_some_and(|session| session.ask.item.is_some());
                self.when("an endpoint took a session up", on_item);
            }
            Event::Accepted { how: AcceptedHow::Jump, .. } => self.sometimes("jumped"),
            Event::Joined { .. } => self.sometimes("joined"),
            Event::InviteGone { reason, .. } => {
                self.when("an invitation ran out", reason == "expired");
                self.when("a mail failed", reason == "mail_failed");
            }
            Event::Invited { mailed: Some(_), .. } => self.sometimes("invited by mail"),
            Event::InviteAccepted { to: Queue::Personal(user), .. } => {
                let here = state.consoles.contains_key(user);
                self.sometimes(if here {
                    "accepted by mail and joined at once"
                } else {
                    "accepted by mail before the login"
                });
            }
            Event::ExtendedSet { user, on: false } => {
                self.when("extended availability was taken away", !state.consoles.contains_key(user));
            }
            Event::ExternalJoined { .. } => self.sometimes("an external rep came"),
            Event::ExternalLeft { reason, .. } => match reason.as_str() {
                "no_internal_rep" => self.sometimes("an external rep left with the last rep"),
                "not_vouched_for" => self.sometimes("an external rep lost who vouched"),
                "lost" => self.sometimes("an external rep did not come back"),
                _ => {}
            },
            Event::Asked { ask, .. } => self.when("asked for help", ask.helps.is_some()),
            Event::DisclaimerShown { .. } => self.sometimes("a disclaimer was shown"),
            Event::DisclaimerAgreed { .. } => self.sometimes("agreed to the disclaimer"),
            Event::NoticeGone { reason, .. } => {
                let withdrawn = reason == "withdrawn";
                self.sometimes(if withdrawn { "a notice was withdrawn" } else { "a notice ran out" });
            }
            Event::LoggedIn { user } => {
                let names = ["logged in in the hour that comes twice", "logged in just after the skipped hour"];
                self.clocks(moment, *user, names);
            }
            Event::LogoutNotice { .. } => self.sometimes("a notice before a forced logout"),
            Event::Attached { party: Party::Rep(user), presented: None, .. } => {
                let again = moment.shadow.reps.get(user).is_some_and(|presence| presence.must_prove);
                self.when("a shared seat was proved again", again);
            }
            Event::OwnerChanged { rule, .. } => {
                self.sometimes(if *rule == OwnerRule::Fallback1 { "heir" } else { "took over" });
            }
            Event::SeatTimedOut { .. } => self.sometimes("a shared seat ran out"),
            Event::DataMoved { .. } => self.sometimes("inactivity held off by data"),
            Event::Departed { reason, .. } => self.when("removed for inactivity", reason == "inactive"),
            Event::Held { .. } => self.sometimes("held"),
            Event::BecameReady { .. } => self.sometimes("became ready"),
            Event::ReachedIdleLimit { .. } => self.sometimes("idle limit"),
            Event::LoggedOut { user, reason } => self.logged_out(moment, *user, *reason),
            Event::Attached { party, presented: Some(_), .. } => match party {
                Party::Rep(user) => {
                    let lost = state.consoles.get(user).is_some_and(|console| console.lost_since.is_some());
                    self.when("came back within the grace", lost);
                }
                Party::Customer(session) => {
                    let lost = state.sessions.get(session).is_some_and(|it| it.customer_lost.is_some());
                    self.when("the customer came back", lost);
                }
                Party::External(session, participant) => {
                    let external = moment.shadow.people.externals.get(&(*session, *participant));
                    self.when("an external rep came back", external.is_some_and(|it| it.lost.is_some()));
                }
                // No endpoint stands by in these histories: a jump's customer is there as in a scenario.
                Party::JumpClient(_) => {}
            },
            Event::KeyUsed { key } => self.when("a key led to a session", state.keys.get(*key).is_some()),
            Event::KeyExpired { .. } => self.sometimes("a key ran out"),
            Event::SiteApplied { site } => {
                self.sometimes("site edited");
                let lowered = state.consoles.iter().any(|(user, console)| {
                    let name = &state.site.users[user].username;
                    let raw = site.user.iter().find(|raw| raw.username == *name);
                    raw.is_some_and(|raw| raw.max_sessions < console.load())
                });
                self.when("a limit was lowered below the load", lowered);
            }
            Event::CivilTime { ms } => self.when("the wall clock was set back", *ms < state.wall_ms(moment.now)),
            Event::ConnectionsLost => self.sometimes("restart"),
            _ => {}
        }
    }

    /// The whole state, after a step.
    pub fn state(&mut self, state: &State) {
        let alone = |queue: Queue| match queue {
            Queue::Team(team) => state.logged_in(team) == 0,
            Queue::Personal(_) => false,
        };
        let waits = state.sessions.values().filter_map(|session| session.waiting());
        self.when("waited in a persistent queue with nobody there", waits.into_iter().any(|it| alone(it.queue)));
        let away = state.extended.iter().any(|user| !state.consoles.contains_key(user));
        self.when("extended availability held a seat without a console", away);
    }

    /// What was asked and done.
    pub fn done(&mut self, command: &Command) {
        match command {
            Command::AnswerInvitation { answer: InvitationAnswer::Decline, .. } => self.sometimes("declined by mail"),
            Command::AnswerInvitation { answer: InvitationAnswer::DeclineAndSwitchOff, .. } => {
                self.sometimes("declined by mail and switched off");
            }
            Command::AnswerDisclaimer { agree: false, .. } => self.sometimes("declined the disclaimer"),
            _ => {}
        }
    }

    /// Whose schedule it is, at a moment when the clocks change: in the hour that comes twice, or just after the one
    /// that is skipped.
    fn clocks(&mut self, moment: Moment<'_>, user: UserId, names: [&'static str; 2]) {
        let Some(schedule) = moment.state.site.users.get(&user).and_then(|user| user.schedule.as_ref()) else { return };
        let wall_ms = moment.state.wall_ms(moment.now);
        self.when(names[0], calendar::is_shown_twice(&schedule.timezone, wall_ms));
        self.when(names[1], calendar::has_just_skipped(&schedule.timezone, wall_ms));
    }

    fn offered(&mut self, moment: Moment<'_>, id: SessionId, rep: UserId, avoid: Option<UserId>) {
        let state = moment.state;
        let session = &state.sessions[&id];
        let skills = !session.skills.is_empty();
        self.when("offered by skill", skills);
        let given_up = skills && session.skills.iter().all(|skill| !model::holds(&state.site, rep, *skill));
        self.when("offered with every skill given up", given_up);
        let window = session.window_ends().is_some_and(|end| moment.now < end);
        self.when("offered to the preferred rep", window && session.ask.preferred.is_some_and(|it| it.0 == rep));
        self.when("asked again because nobody else was there", avoid == Some(rep));
        let overtaken = state.sessions.values().any(|other| {
            other.priority > session.priority
                && other.waiting().map(|it| it.queue) == session.waiting().map(|it| it.queue)
                && moment.choice(other, None).is_some()
        });
        self.when("ageing overtook priority", overtaken);
    }

    fn moved(&mut self, moment: Moment<'_>, id: SessionId, to: Queue, rule: MoveRule) {
        let (state, past) = (moment.state, &moment.shadow.sessions[&id]);
        let session = &state.sessions[&id];
        match rule {
            MoveRule::Transfer => {
                let full = |user: UserId| {
                    let most = state.site.users.get(&user).map_or(0, |user| user.max_sessions as usize);
                    model::busy(moment.shadow, user) >= most
                };
                return self
                    .when("transferred to a rep at the limit", matches!(to, Queue::Personal(user) if full(user)));
            }
            MoveRule::Overdue => {
                self.sometimes("moved overdue");
                let waiting = session.waiting();
                self.when("overflowed twice", past.been.len() > 1);
                let late = waiting.is_some_and(|waiting| waiting.overdue);
                let open = |at: Time| at == moment.now;
                let came = state.consoles.values().any(|console| open(console.login));
                self.when("moved when the queue became available", late && came);
                self.when("moved as the offer ended", late && !came);
                return self.when("a request for help moved", session.ask.helps.is_some());
            }
            MoveRule::Fallback2 => self.sometimes("fell back to the last queue"),
            MoveRule::Fallback3 => self.sometimes("fell back to the first queue"),
            MoveRule::Fallback4 => self.sometimes("fell back to the designated queue"),
        }
        self.when("a request for help moved", session.ask.helps.is_some());
        self.when("a jump session fell back", past.kind == SessionKind::Jump);
        self.when("fell back while waiting", past.owner.is_none());
        let off = !state.site.options.fallback_normal[0] && past.kind != SessionKind::Jump;
        self.when("taken back by a persistent queue with its rule off", off && rule == MoveRule::Fallback2);
    }

    fn ended(&mut self, moment: Moment<'_>, id: SessionId, reason: EndReason) {
        let (state, now) = (moment.state, moment.now);
        let session = &state.sessions[&id];
        match reason {
            EndReason::Orphaned => self.sometimes("orphaned"),
            EndReason::WaitTimeout => self.sometimes("wait timeout"),
            EndReason::LeftQueue => self.sometimes("left the queue"),
            EndReason::Helped => self.sometimes("helped"),
            EndReason::HelpOver => self.sometimes("help was not needed any more"),
            EndReason::Declined => {
                self.when("nobody answered the disclaimer", session.disclaimer.is_some_and(|until| until <= now));
            }
            EndReason::HoldExpired => self.sometimes("held for too long"),
            EndReason::ByCustomer => self.when("the customer did not come back", session.customer_lost.is_some()),
            _ => {}
        }
    }

    fn logged_out(&mut self, moment: Moment<'_>, user: UserId, reason: LogoutReason) {
        let busy = model::busy(moment.shadow, user) > 0;
        match reason {
            LogoutReason::Lost => self.sometimes("lost beyond the grace"),
            LogoutReason::Schedule => {
                self.sometimes("logged out by the schedule");
                let names = ["logged out in the hour that comes twice", "logged out just after the skipped hour"];
                self.clocks(moment, user, names);
            }
            LogoutReason::ConsoleIdle => self.sometimes("logged out when the console was idle"),
            LogoutReason::TwoFactor => self.sometimes("logged out for a second factor"),
            LogoutReason::Expired => self.sometimes("an account ran out"),
            LogoutReason::Disabled => self.when("disabled with sessions", busy),
            LogoutReason::Deleted => self.when("deleted with sessions", busy),
            _ => {}
        }
    }
}

fn runs_out(state: &State, id: SessionId, now: Time) -> bool {
    match &state.sessions[&id].stage {
        Stage::Waiting(waiting) => waiting.offer.as_ref().is_some_and(|offer| offer.expires_at <= now),
        _ => false,
    }
}

/// Has everybody of the team who is logged in rejected it, once `rep` has?
fn nobody_left(state: &State, id: SessionId, rep: UserId) -> bool {
    let session = &state.sessions[&id];
    let Some(Queue::Team(team)) = session.waiting().map(|waiting| waiting.queue) else { return false };
    let member = |user: &UserId| state.site.users[user].teams.contains_key(&team);
    state.consoles.keys().filter(|user| member(user)).all(|user| *user == rep || session.rejected_by.contains(user))
}

//! A rep's console: login, logout, presence, status (R3, R7.8, R11.1).

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped,
    command::Ask,
    event::{AcceptedHow, LogoutReason},
    refusal::refuse,
};
use crate::{
    ids::*,
    site::{User, UserPermission},
    time::Time,
    wire::control::ClientInfo,
};

impl Engine {
    /// R11.1, R11.2. A rep who is logged in already comes back to the same console with a new connection.
    pub(super) fn log_in(
        &mut self,
        now: Time,
        user_id: UserId,
        version: u32,
        resume: SecretHash,
        client: &ClientInfo,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let wall_ms = self.state.wall_ms(now);
        let user = self.proven(user_id, version, wall_ms)?;
        self.recent_enough(user, client)?;
        self.has_what_it_needs(user_id, wall_ms)?;
        let is_back = self.state.consoles.contains_key(&user_id);
        if !is_back {
            if user.schedule.as_ref().is_some_and(|schedule| !schedule.permits(wall_ms)) {
                return refuse(Reason::OutsideSchedule, "R11.2", "the login schedule does not allow it at this time");
            }
            // Extended availability holds the seat already (R7.4).
            if !self.state.extended.contains(&user_id) {
                self.seat_free(user.pool)?;
            }
            self.emit(now, Event::LoggedIn { user: user_id }, out);
        }
        let party = Party::Rep(user_id);
        let epoch = self.attach(now, party, resume, client.clone(), out);
        self.auto_start(now, user_id, is_back, out);
        Ok(Outcome::Attached { party, epoch })
    }

    /// The account is alive, and what was proven is its password as it is, which still is one.
    pub(super) fn proven(&self, id: UserId, version: u32, wall_ms: u64) -> Result<&User, Refusal> {
        let user = self.user(id)?;
        if !user.enabled || user.expires_ms.is_some_and(|expires| wall_ms >= expires) {
            return refuse(Reason::AccountDisabled, "R3.1", "this account is disabled or expired");
        }
        if self.credential_version(id) != version {
            return refuse(Reason::Stale, "W5.7", "the credential has changed since it was checked");
        }
        if self.state.must_reset_password(id, wall_ms) {
            let message = "this password is over: sign in with a new one beside it";
            return refuse(Reason::PasswordResetRequired, "", message);
        }
        Ok(user)
    }

    /// R11.1: a seat of this pool, or of those outside any.
    pub(super) fn seat_free(&self, pool: Option<PoolId>) -> Result<(), Refusal> {
        let seats = match pool {
            Some(pool) => self.state.site.pools.get(&pool).map_or(0, |pool| pool.seats),
            None => self.state.site.seats,
        };
        if seats != 0 && self.state.index.seats_taken(pool) >= seats {
            return refuse(Reason::NoSeat, "R11.1", "every seat of the pool is taken");
        }
        Ok(())
    }

    /// R11.5: a rep in exactly one team gets an attended session at login.
    fn auto_start(&mut self, now: Time, user: UserId, is_back: bool, out: &mut Vec<Stamped>) {
        let starts = self.state.site.options.auto_start && self.state.supports(user);
        if is_back || !starts || self.user_teams(user).count() != 1 {
            return;
        }
        let ask = Ask::of(Entry::Queue(Queue::Personal(user)));
        self.start_with(now, user, ask, AcceptedHow::AutoStart, out);
    }

    pub(super) fn ask_to_log_out(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if !self.administers(actor) && actor.rep()? != user {
            return refuse(Reason::NotPermitted, "R7.8", "only the rep logs out here");
        }
        self.user(user)?;
        if !self.state.consoles.contains_key(&user) {
            return refuse(Reason::NotLoggedIn, "", "this rep is not logged in");
        }
        let serves = |id| self.state.session(id).is_some_and(|session| !session.is_show());
        let open =
            self.state.sessions_of(user).any(serves) || self.state.waiting_in(Queue::Personal(user)).next().is_some();
        if self.state.site.options.require_closed_sessions && open {
            return refuse(Reason::OpenSessions, "R7.8", "end or transfer the open sessions first");
        }
        self.log_out(now, user, LogoutReason::Asked, out);
        Ok(Outcome::Done)
    }

    pub(super) fn lose_for_good(
        &mut self,
        now: Time,
        user: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.user(user)?;
        if !self.state.consoles.contains_key(&user) {
            return refuse(Reason::NotLoggedIn, "", "this rep is not logged in");
        }
        self.log_out(now, user, LogoutReason::Lost, out);
        Ok(Outcome::Done)
    }

    /// Logs a rep out, whatever stands open: an offer ends, sessions fall back (R8), queues that have nobody left are
    /// cleared (R8.5).
    pub(super) fn log_out(&mut self, at: Time, user: UserId, reason: LogoutReason, out: &mut Vec<Stamped>) {
        let Some(console) = self.state.consoles.get(&user) else { return };
        if let Some(session) = console.offer {
            let gone = match reason {
                LogoutReason::Lost => Event::OfferTimeout { session, rep: user },
                _ => Event::OfferWithdrawn { session, rep: user, reason: "logged_out".to_owned() },
            };
            self.emit(at, gone, out);
        }
        self.emit(at, Event::LoggedOut { user, reason }, out);
        self.leave_sessions(at, user, reason, out);
        let teams: Vec<TeamId> = self.user_teams(user).collect();
        for queue in teams.into_iter().map(Queue::Team).chain([Queue::Personal(user)]) {
            self.clear_unavailable(at, queue, out);
        }
    }

    pub(super) fn opt(
        &mut self,
        now: Time,
        actor: Actor,
        is_in: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let user = self.console_of(actor)?;
        if !is_in && !self.may(user, UserPermission::OptOut) {
            return refuse(Reason::NotPermitted, "R3.4", "opting out needs its permission");
        }
        if self.state.consoles[&user].opted_out == is_in {
            let event = if is_in { Event::OptedIn { user } } else { Event::OptedOut { user } };
            self.emit(now, event, out);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn set_status(
        &mut self,
        now: Time,
        actor: Actor,
        code: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let user = self.console_of(actor)?;
        if self.state.site.options.status_shown(code).is_none() {
            return refuse(Reason::Malformed, "R3.7", "the site has no such status");
        }
        if self.state.consoles[&user].status != code {
            self.emit(now, Event::StatusSet { user, code: code.to_owned() }, out);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn go_idle(
        &mut self,
        now: Time,
        actor: Actor,
        since: Time,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let user = self.console_of(actor)?;
        let since = since.min(now);
        let limit = self.user(user)?.idle_limit;
        self.emit(now, Event::WentIdle { user, since }, out);
        if !limit.is_zero() && since + limit <= now {
            self.emit(now, Event::ReachedIdleLimit { user }, out);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn go_active(&mut self, now: Time, actor: Actor, out: &mut Vec<Stamped>) -> Result<Outcome, Refusal> {
        let user = self.console_of(actor)?;
        if self.state.consoles[&user].idle_since.is_some() {
            self.emit(now, Event::WentActive { user }, out);
        }
        Ok(Outcome::Done)
    }

    /// Fires the first thing that is due for a console.
    pub(super) fn fire_console(&mut self, at: Time, user_id: UserId, out: &mut Vec<Stamped>) {
        let state = &self.state;
        let (Some(console), Some(user)) = (state.consoles.get(&user_id), state.site.users.get(&user_id)) else {
            return;
        };
        let grace = state.site.options.reconnect_grace;
        if console.lost_since.is_some_and(|since| since + grace <= at) {
            return self.log_out(at, user_id, LogoutReason::Lost, out);
        }
        let wall_ms = state.wall_ms(at);
        if user.expires_ms.is_some_and(|expires| wall_ms >= expires) {
            return self.shut_out(at, user_id, LogoutReason::Expired, out);
        }
        if console.ends_ms.is_some_and(|ends| wall_ms >= ends) {
            return self.log_out(at, user_id, LogoutReason::Schedule, out);
        }
        if let Some(minutes) = console.due_notice(state.wall_ms(console.login), wall_ms) {
            return self.emit(at, Event::LogoutNotice { user: user_id, minutes }, out);
        }
        if state.seat_times_out(user_id).is_some_and(|due| due <= at) {
            return self.time_seat_out(at, user_id, out);
        }
        let idle =
            |limit: crate::time::Span| !limit.is_zero() && console.idle_since.is_some_and(|since| since + limit <= at);
        if idle(user.console_idle) {
            return self.log_out(at, user_id, LogoutReason::ConsoleIdle, out);
        }
        if !console.idled_out && idle(user.idle_limit) {
            return self.emit(at, Event::ReachedIdleLimit { user: user_id }, out);
        }
        if console.checked < at {
            self.emit(at, Event::BecameReady { user: user_id }, out);
        }
    }
}

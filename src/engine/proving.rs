//! What a rep must prove beyond the password: a recent enough client and a second factor where they are demanded
//! (R11.3), and itself again after the minutes of a shared seat (R11.4).

use super::{Actor, Command, Engine, Event, Reason, Refusal, Stamped, State, event::LogoutReason, refusal::refuse};
use crate::{
    ids::*,
    limits,
    site::{self, Problem, Site, User},
    time::{Span, Time},
    wire::control::ClientInfo,
};

impl State {
    /// R11.3: of the user itself, or of everybody once the date has come.
    pub fn requires_second_factor(&self, user: UserId, wall_ms: u64) -> bool {
        let own = self.site.users.get(&user).is_some_and(|user| user.two_factor);
        own || self.site.options.two_factor.from_ms.is_some_and(|from| wall_ms >= from)
    }

    /// When everybody has to have a second factor, until that was done (R11.3).
    pub(super) fn two_factor_due(&self) -> Option<Time> {
        let from = self.site.options.two_factor.from_ms?;
        (self.two_factor_since != Some(from)).then(|| self.at_wall_ms(from))
    }

    /// R11.4: when this rep has to prove itself again; none where the seat is its own, and once it has to.
    pub(super) fn seat_times_out(&self, user: UserId) -> Option<Time> {
        let console = self.consoles.get(&user)?;
        let minutes = self.shared_seat(user)?;
        (!console.must_prove).then(|| console.proved.max(console.login) + minutes)
    }

    fn shared_seat(&self, user: UserId) -> Option<Span> {
        let pool = self.site.pools.get(&self.site.users.get(&user)?.pool?)?;
        Some(pool.reauthenticate_after).filter(|minutes| !minutes.is_zero())
    }
}

impl Engine {
    /// R11.3, RA-022: of a console and of who administers, before the second factor. A technician group may ask for more
    /// than the site does (RA-018).
    pub(super) fn recent_enough(&self, user: &User, client: &ClientInfo) -> Result<(), Refusal> {
        let site = &self.state.site;
        let Some((least, group)) = site.least_client(user.technician_group) else { return Ok(()) };
        if site::version(&client.version) >= site::version(least) {
            return Ok(());
        }
        let by = group.map(|at| format!(", by technician_group:{}", site.technician_groups[at].code));
        let by = by.unwrap_or_default();
        let message = format!("this client is too old: {least} is the least that is let in{by}");
        Err(Refusal::new(Reason::ClientTooOld, "R11.3", message))
    }

    /// R11.3, BU-022: a second factor where one is demanded.
    pub(super) fn has_what_it_needs(&self, user: UserId, wall_ms: u64) -> Result<(), Refusal> {
        if self.state.requires_second_factor(user, wall_ms) && !self.state.accounts.has_second_factor(user) {
            let message = "this account needs a second factor: enrol one, then sign in with it";
            return refuse(Reason::SecondFactorRequired, "R11.3", message);
        }
        Ok(())
    }

    /// The date has come: every rep is logged out, running sessions included, and needs a second factor to come back.
    pub(super) fn tick_two_factor(&mut self, at: Time, out: &mut Vec<Stamped>) {
        if self.state.two_factor_due().is_none_or(|due| due > at) {
            return;
        }
        let Some(from_ms) = self.state.site.options.two_factor.from_ms else { return };
        self.emit(at, Event::TwoFactorRequired { from_ms }, out);
        let reps: Vec<UserId> = self.state.consoles.keys().copied().collect();
        for rep in reps {
            self.log_out(at, rep, LogoutReason::TwoFactor, out);
        }
    }

    /// R11.4: the minutes of a shared seat are over; nothing is offered until the rep has proved itself again.
    pub(super) fn time_seat_out(&mut self, at: Time, user: UserId, out: &mut Vec<Stamped>) {
        if let Some(session) = self.state.consoles.get(&user).and_then(|console| console.offer) {
            self.withdraw(at, session, "seat_timed_out", out);
        }
        self.emit(at, Event::SeatTimedOut { user }, out);
    }

    /// R11.4: what runs goes on and may be ended; nothing new begins at a seat whose minutes are over. BU-053: nor does
    /// support without its permission.
    pub(super) fn may_act(&self, actor: Actor, command: &Command) -> Result<(), Refusal> {
        let Actor::Party(Party::Rep(user)) = actor else { return Ok(()) };
        let must_prove = self.state.consoles.get(&user).is_some_and(|console| console.must_prove);
        if must_prove && !goes_on(command) {
            return refuse(Reason::Reauthenticate, "R11.4", "this seat is shared: sign in again to go on");
        }
        self.may_support(actor, command)
    }
}

/// What ends or lessens something, or belongs to what runs already.
fn goes_on(command: &Command) -> bool {
    matches!(
        command,
        Command::Logout { .. }
            | Command::OptOut
            | Command::Idle { .. }
            | Command::Active
            | Command::Reject { .. }
            | Command::Depart { .. }
            | Command::Hold { .. }
            | Command::End { .. }
            | Command::CancelJob { .. }
            | Command::GiveControl { on: false, .. }
            | Command::SetChat { on: false, .. }
            | Command::RefuseOpen { .. }
            | Command::Note { .. }
    )
}

/// R11.3: the account-wide date is at most 14 days ahead. The one check of a site that needs to know the day.
pub fn too_far(site: &Site, wall_ms: u64) -> Option<Problem> {
    let from = site.options.two_factor.from_ms?;
    (from > wall_ms + limits::TWO_FACTOR_AHEAD.0).then(|| Problem {
        key: "options.two_factor.required_from".to_owned(),
        line: None,
        message: "is more than 14 days ahead (R11.3)".to_owned(),
    })
}

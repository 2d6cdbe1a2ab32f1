//! A rep's console as routing sees it, and the named tests of R3.

use crate::{
    ids::*,
    site::{StatusShown, Team, User, UserPermission},
    time::{Span, Time},
};
use serde::{Deserialize, Serialize};

/// Minutes before a forced logout at which the rep is told (R11.2).
const NOTICES_MIN: [u32; 4] = [15, 10, 5, 1];

/// A logged-in rep; one whose connection is lost stays until its grace is over (R8.1).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Console {
    pub login: Time,
    pub lost_since: Option<Time>,
    pub opted_out: bool,
    pub status: String,
    pub shown: StatusShown,
    pub idle_since: Option<Time>,
    /// The idle limit is reached (R3.6).
    pub idled_out: bool,
    pub offer: Option<SessionId>,
    /// Sessions with a customer that the rep is in and that are not held (R3.5); an open offer is not in it.
    pub sessions: u32,
    /// When `sessions` last changed; the login at first (R4.2).
    pub changed: Time,
    /// The end of the last session (R3.11).
    pub wrap_from: Option<Time>,
    /// Waits of R3.10 and R3.11 that ended by this moment have been looked at.
    pub checked: Time,
    /// When a forced schedule ends the login: milliseconds since 1970 UTC (R11.2).
    #[serde(default)]
    pub ends_ms: Option<u64>,
    /// Minutes of the last notice before it.
    #[serde(default)]
    pub noticed: Option<u32>,
    /// When the rep last proved itself by more than a resume token, and whether it has to again (R11.4).
    #[serde(default)]
    pub proved: Time,
    #[serde(default)]
    pub must_prove: bool,
}

/// The tests of R3 by name, in the order of the rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    Offline,
    NotSupport,
    NotMember,
    OptedOut,
    Busy,
    Idle,
    Status,
    Rejected,
    OfferOpen,
    Deferred,
    Exempt,
    WrapUp,
    Portal,
    Lens,
}

impl Test {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::NotSupport => "not_support",
            Self::NotMember => "not_member",
            Self::OptedOut => "opted_out",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Status => "status",
            Self::Rejected => "rejected",
            Self::OfferOpen => "offer_open",
            Self::Deferred => "deferred",
            Self::Exempt => "exempt",
            Self::WrapUp => "wrap_up",
            Self::Portal => "portal",
            Self::Lens => "lens",
        }
    }
}

impl Console {
    pub fn new(login: Time) -> Self {
        Self {
            login,
            lost_since: None,
            opted_out: false,
            status: "available".to_owned(),
            shown: StatusShown::Available,
            idle_since: None,
            idled_out: false,
            offer: None,
            sessions: 0,
            changed: login,
            wrap_from: None,
            checked: login,
            ends_ms: None,
            noticed: None,
            proved: login,
            must_prove: false,
        }
    }

    /// R3.5: what counts against the rep's limit.
    pub fn load(&self) -> u32 {
        self.sessions + u32::from(self.offer.is_some())
    }

    /// The tests that concern neither a team nor a session, each with whether it fails.
    fn own_tests(&self, user: &User) -> [(Test, bool); 8] {
        [
            (Test::Offline, self.lost_since.is_some() || self.must_prove || !user.enabled),
            (Test::NotSupport, !user.permissions.contains(&UserPermission::Support)),
            (Test::OptedOut, self.opted_out),
            (Test::Busy, self.load() >= user.max_sessions),
            (Test::Idle, self.idled_out && !user.idle_limit.is_zero()),
            (Test::Status, self.shown != StatusShown::Available),
            (Test::OfferOpen, self.offer.is_some()),
            (Test::Exempt, user.exempt_from_assignment),
        ]
    }

    /// Does the rep pass every test that concerns neither a team nor a session?
    pub fn is_free(&self, user: &User) -> bool {
        self.own_tests(user).iter().all(|(_, fails)| !fails)
    }

    /// R11.2: the notice to give at this moment; of several that came due at once only the last.
    pub fn due_notice(&self, login_ms: u64, wall_ms: u64) -> Option<u32> {
        let (mut console, mut due) = (self.clone(), None);
        while let Some((minutes, _)) = console.next_notice(login_ms).filter(|(_, notice)| *notice <= wall_ms) {
            (due, console.noticed) = (Some(minutes), Some(minutes));
        }
        due
    }

    /// R11.2: the next notice before a forced logout, in minutes and milliseconds since 1970 UTC; none once all are
    /// given. A login shortly before the end skips those that were due before it.
    pub fn next_notice(&self, login_ms: u64) -> Option<(u32, u64)> {
        let ends = self.ends_ms?;
        let at = |minutes: u32| (minutes, ends.saturating_sub(u64::from(minutes) * 60_000));
        let given = self.noticed.unwrap_or(u32::MAX);
        NOTICES_MIN.into_iter().filter(|minutes| *minutes < given).map(at).find(|(_, at)| *at >= login_ms)
    }

    /// R3.10: the end of the team's wait after login.
    pub fn deferred_until(&self, defer: Span) -> Time {
        self.login + defer
    }

    /// R3.11: the end of the team's wait after the last session.
    pub fn wraps_until(&self, wrap_up: Span) -> Time {
        self.wrap_from.map_or(Time(0), |from| from + wrap_up)
    }

    pub fn waits(&self, defer: Span, wrap_up: Span, now: Time) -> bool {
        now < self.deferred_until(defer) || now < self.wraps_until(wrap_up)
    }
}

/// What a session adds to the tests: R3.8, R3.12, and R1.4 of a camera.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionTests {
    pub rejected: bool,
    pub portal_bars: bool,
    pub lens_bars: bool,
}

/// The first test that keeps this rep from being offered a session in this team; none: eligible (R3).
pub fn first_failed(
    user: &User,
    team_id: TeamId,
    team: &Team,
    console: Option<&Console>,
    session: SessionTests,
    now: Time,
) -> Option<Test> {
    let Some(console) = console else { return Some(Test::Offline) };
    let others = [
        (Test::NotMember, !user.teams.contains_key(&team_id)),
        (Test::Rejected, session.rejected),
        (Test::Deferred, now < console.deferred_until(team.defer_after_login)),
        (Test::WrapUp, now < console.wraps_until(team.wrap_up)),
        (Test::Portal, session.portal_bars),
        (Test::Lens, session.lens_bars),
    ];
    console.own_tests(user).into_iter().chain(others).filter(|(_, fails)| *fails).map(|(test, _)| test).min()
}

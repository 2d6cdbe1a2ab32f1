//! A scenario as its file says it, read and checked. Names are looked up as the run goes on: a step that names nobody
//! is refused like any other.

use crate::{
    limits,
    site::{Problem, SessionKind, Site},
    time::{Span, Time},
};
use serde::Deserialize;
use serde_json::Value;

/// What to run. Made by [`Scenario::parse`] only.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub site: Site,
    /// Milliseconds since 1970 UTC at time 0; left out: 1970 itself.
    pub start_ms: u64,
    pub auto: Auto,
    pub plan: Plan,
    /// Answered within this counts for the service level.
    pub target: Span,
}

#[derive(Clone, Debug)]
pub enum Plan {
    /// In the order in which they run.
    Steps {
        steps: Vec<Step>,
        until: Time,
    },
    Arrivals {
        arrivals: Vec<Arrivals>,
        staff: Vec<Shift>,
    },
}

/// What happens by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auto {
    pub answer_after: Option<Span>,
    pub handle: Option<Span>,
}

/// One step with what it names; which of it a verb needs is in `Verb::needs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(deserialize_with = "time")]
    pub at: Time,
    #[serde(rename = "do")]
    pub verb: Verb,
    pub rep: Option<String>,
    pub by: Option<String>,
    pub session: Option<String>,
    pub queue: Option<String>,
    pub to: Option<String>,
    pub item: Option<String>,
    pub team: Option<String>,
    pub code: Option<String>,
    #[serde(default)]
    pub skills: Vec<String>,
    pub priority: Option<u8>,
    #[serde(default)]
    pub kind: SessionKind,
    pub portal: Option<String>,
    #[serde(default, deserialize_with = "maybe_span")]
    pub relax_after_s: Option<Span>,
    pub preferred: Option<Preferred>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferred {
    pub rep: String,
    #[serde(deserialize_with = "span")]
    pub window_s: Span,
}

macro_rules! verbs {
    ($($variant:ident $name:literal),* $(,)?) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
        pub enum Verb { $(#[serde(rename = $name)] $variant),* }

        impl Verb {
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

verbs! {
    Login "login", Logout "logout", Lose "lose", OptOut "opt_out", OptIn "opt_in", Status "status", Idle "idle",
    Active "active", Ask "ask", Leave "leave", Jump "jump", Accept "accept", Reject "reject", Take "take",
    GetNext "get_next", Transfer "transfer", Share "share", Join "join", Depart "depart", TakeOver "take_over",
    Hold "hold", Resume "resume", End "end", Disable "disable", DeleteTeam "delete_team",
}

/// Customers who come by chance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    pub queue: String,
    /// Of a Poisson process.
    pub rate_per_h: f64,
    pub handle_mean_s: f64,
    /// None: they wait for ever.
    #[serde(default)]
    pub patience_mean_s: Option<f64>,
    /// Of handling and patience.
    #[serde(default)]
    pub distribution: Distribution,
    #[serde(default)]
    pub seed: u64,
    pub hours: f64,
    #[serde(default)]
    pub skills: Vec<String>,
    pub priority: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    #[default]
    Exponential,
    Fixed,
}

/// A rep logged in from one moment to another, or throughout.
#[derive(Clone, Debug)]
pub struct Shift {
    pub rep: String,
    pub from: Time,
    pub to: Option<Time>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("not a scenario: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("{place}: {message}")]
    Wrong { place: String, message: String },
    #[error("site: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Site(Vec<Problem>),
    #[error("site: {0}")]
    SiteFile(String),
}

impl Arrivals {
    /// No customer comes after this.
    pub fn horizon(&self) -> Time {
        Time((self.hours * 3_600_000.0) as u64)
    }
}

impl Scenario {
    /// Nothing is looked at after this.
    pub fn horizon(&self) -> Time {
        match &self.plan {
            Plan::Steps { until, .. } => *until,
            Plan::Arrivals { arrivals, .. } => arrivals.iter().map(Arrivals::horizon).max().unwrap_or_default(),
        }
    }

    /// Reads a scenario. A site that stands in a file of its own is asked for by the path that the scenario gives.
    pub fn parse(text: &str, site_file: impl FnOnce(&str) -> Result<Site, String>) -> Result<Self, ScenarioError> {
        let raw: Raw = serde_json::from_str(text)?;
        let site = match &raw.site {
            Value::String(path) => site_file(path).map_err(ScenarioError::SiteFile)?,
            inline => Site::from_text(&inline.to_string(), None).map_err(ScenarioError::Site)?,
        };
        let start_ms = match &raw.start {
            Some(start) => {
                wall_ms(start).ok_or_else(|| wrong("start", "a time like 2026-03-02T08:00:00Z, from 1970 on"))?
            }
            None => 0,
        };
        let span = |place: &str, seconds: Option<f64>| {
            seconds.map(|s| milliseconds(s).map(Span).map_err(|message| wrong(place, message))).transpose()
        };
        let auto = Auto {
            answer_after: span("auto.answer_after_s", raw.auto.answer_after_s)?,
            handle: span("auto.handle_s", raw.auto.handle_s)?,
        };
        let target = span("target_s", raw.target_s)?.unwrap_or(limits::SERVICE_TARGET);
        let plan = match (raw.steps, raw.arrivals) {
            (Some(steps), None) => {
                if !raw.staff.is_empty() {
                    return Err(wrong("staff", "stands beside arrivals; steps log in by themselves"));
                }
                steps_of(steps, span("until_s", raw.until_s)?, &site)?
            }
            (None, Some(arrivals)) => {
                if raw.until_s.is_some() {
                    return Err(wrong("until_s", "arrivals say their own hours"));
                }
                planning(arrivals, raw.staff, &site)?
            }
            _ => return Err(wrong("steps", "a scenario has either steps or arrivals")),
        };
        Ok(Self { site, start_ms, auto, plan, target })
    }
}

/// The file, key for key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    site: Value,
    start: Option<String>,
    until_s: Option<f64>,
    #[serde(default)]
    auto: RawAuto,
    steps: Option<Vec<Step>>,
    arrivals: Option<Vec<Arrivals>>,
    #[serde(default)]
    staff: Vec<RawShift>,
    target_s: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawAuto {
    answer_after_s: Option<f64>,
    handle_s: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawShift {
    Throughout(String),
    Shift(RawHours),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    rep: String,
    #[serde(default)]
    from_s: f64,
    to_s: Option<f64>,
}

impl Verb {
    /// The keys without which the verb means nothing.
    const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Login | Self::Logout | Self::Lose | Self::OptOut | Self::OptIn | Self::Idle | Self::Active => {
                &["rep"]
            }
            Self::Disable | Self::GetNext => &["rep"],
            Self::Status => &["rep", "code"],
            Self::Ask => &["session", "queue"],
            Self::Leave => &["session"],
            Self::Jump => &["rep", "item", "session"],
            Self::Accept | Self::Reject | Self::Take | Self::Join | Self::Depart | Self::TakeOver => {
                &["rep", "session"]
            }
            Self::Transfer | Self::Share => &["session", "to", "by"],
            Self::Hold | Self::Resume => &["rep", "session"],
            Self::End => &["session", "by"],
            Self::DeleteTeam => &["team"],
        }
    }
}

impl Step {
    fn has(&self, key: &str) -> bool {
        match key {
            "rep" => self.rep.is_some(),
            "by" => self.by.is_some() || (self.verb != Verb::End && self.rep.is_some()),
            "session" => self.session.is_some(),
            "queue" => self.queue.is_some(),
            "to" => self.to.is_some(),
            "item" => self.item.is_some(),
            "team" => self.team.is_some(),
            _ => self.code.is_some(),
        }
    }
}

fn steps_of(mut steps: Vec<Step>, until: Option<Span>, site: &Site) -> Result<Plan, ScenarioError> {
    for (at, step) in steps.iter().enumerate() {
        let place = format!("steps[{at}] {}", step.verb.name());
        if let Some(key) = step.verb.needs().iter().find(|key| !step.has(key)) {
            return Err(wrong(&place, format!("needs `{key}`")));
        }
        if step.verb == Verb::End && !matches!(step.by.as_deref(), Some("rep" | "customer")) {
            return Err(wrong(&place, "`by` is rep or customer"));
        }
        if let Some(portal) =
            step.portal.as_ref().filter(|portal| !site.codes.portals.contains_key(&portal.to_lowercase()))
        {
            return Err(wrong(&place, format!("no portal {portal}")));
        }
    }
    steps.sort_by_key(|step| step.at);
    let last = steps.last().map_or(Time(0), |step| step.at);
    Ok(Plan::Steps { steps, until: until.map_or(last, |until| Time(0) + until) })
}

fn planning(arrivals: Vec<Arrivals>, staff: Vec<RawShift>, site: &Site) -> Result<Plan, ScenarioError> {
    let mut expected = 0.0;
    for (at, it) in arrivals.iter().enumerate() {
        let place = |key: &str| format!("arrivals[{at}].{key}");
        let given = [("rate_per_h", it.rate_per_h), ("handle_mean_s", it.handle_mean_s), ("hours", it.hours)];
        let given = given.into_iter().chain(it.patience_mean_s.map(|mean| ("patience_mean_s", mean)));
        for (key, value) in given {
            if !(value.is_finite() && value >= 0.0) {
                return Err(wrong(&place(key), "a number that is not negative"));
            }
        }
        milliseconds(it.hours * 3600.0).map_err(|message| wrong(&place("hours"), message))?;
        expected += it.rate_per_h * it.hours;
    }
    if expected > limits::SIMULATED_ARRIVALS_MAX as f64 {
        return Err(wrong("arrivals", format!("more than {} customers to expect", limits::SIMULATED_ARRIVALS_MAX)));
    }
    let mut shifts = Vec::new();
    for (at, shift) in staff.into_iter().enumerate() {
        let place = format!("staff[{at}]");
        let time = |seconds| milliseconds(seconds).map(Time).map_err(|message| wrong(&place, message));
        let shift = match shift {
            RawShift::Throughout(rep) => Shift { rep, from: Time(0), to: None },
            RawShift::Shift(RawHours { rep, from_s, to_s }) => {
                Shift { rep, from: time(from_s)?, to: to_s.map(time).transpose()? }
            }
        };
        if !site.codes.users.contains_key(&shift.rep.to_lowercase()) {
            return Err(wrong(&place, format!("no user {}", shift.rep)));
        }
        shifts.push(shift);
    }
    Ok(Plan::Arrivals { arrivals, staff: shifts })
}

fn wrong(place: &str, message: impl Into<String>) -> ScenarioError {
    ScenarioError::Wrong { place: place.to_owned(), message: message.into() }
}

/// Milliseconds since 1970 UTC of an RFC 3339 time.
fn wall_ms(text: &str) -> Option<u64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok()
}

fn milliseconds(seconds: f64) -> Result<u64, &'static str> {
    if !(0.0..=limits::SIMULATION_MAX.0 as f64 / 1000.0).contains(&seconds) {
        return Err("seconds from 0 to those of ten years");
    }
    Ok((seconds * 1000.0).round() as u64)
}

fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    span(deserializer).map(|span| Time(span.0))
}

fn span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    milliseconds(f64::deserialize(deserializer)?).map(Span).map_err(serde::de::Error::custom)
}

fn maybe_span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    seconds.map(milliseconds).transpose().map(|ms| ms.map(Span)).map_err(serde::de::Error::custom)
}

//! Every metric by name, with its kind, unit, labels and equation, in one table. `docs/operations.md` repeats it for
//! people and a test holds the two together. Labels hold words of closed lists only, never ids or names (I-M6).
//!
//! Whoever counts names the metric in a literal of the `metrics` macros, or keeps a handle where a frame passes; a test
//! holds that each name is in the table and that each entry of the table is counted somewhere.

use crate::limits;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    Counter,
    Gauge,
    Histogram,
}

pub struct Metric {
    pub name: &'static str,
    pub kind: Type,
    pub unit: &'static str,
    /// Each with all its values.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    pub help: &'static str,
    /// What adds up, where something does.
    pub equation: &'static str,
}

const TRANSPORTS: (&str, &[&str]) = ("transport", &["ws", "wss", "quic"]);
/// Of a leg's reader; `none` while it has no connection.
const LEGS: (&str, &[&str]) = ("transport", &["ws", "wss", "quic", "none"]);
const ROLES: (&str, &[&str]) = ("role", &["rep", "customer", "jump_client", "service", "admin"]);
/// Those whose channels count apart (`broker::meter`).
const TOOLS: (&str, &[&str]) = (
    "tool",
    &[
        "screen",
        "show_my_screen",
        "clipboard",
        "file_transfer",
        "file_manager",
        "shell",
        "system_info",
        "system_info_actions",
        "registry",
        "canned_scripts",
        "embedded_scripts",
        "annotations",
        "chat",
        "chat_files",
        "screen_capture",
        "webcam",
        "voice",
        "document_share",
        "document_download",
        "mobile_settings",
        "other",
    ],
);
/// All of P3, for what is refused.
const EVERY_TOOL: (&str, &[&str]) = (
    "tool",
    &[
        "screen",
        "show_my_screen",
        "clipboard",
        "customer_restrictions",
        "app_sharing_prompt",
        "annotations",
        "file_transfer",
        "customer_paths",
        "rep_paths",
        "file_manager",
        "shell",
        "system_info",
        "system_info_actions",
        "registry",
        "canned_scripts",
        "script_deploy",
        "embedded_scripts",
        "elevation",
        "elevated_tools",
        "reboot",
        "pin_jump_client",
        "deploy",
        "chat",
        "push_url",
        "chat_files",
        "record",
        "screen_capture",
        "credentials",
        "hold",
        "transfer",
        "collaborate",
        "invite_external",
        "private_sessions",
        "unattended",
        "connect_on_lan",
        "lens",
        "mobile_settings",
        "cobrowse_click",
        "cobrowse_type",
        "cobrowse_domains",
        "webcam",
        "voice",
        "document_share",
        "document_download",
        "custom_fields",
        "external_key",
        "termination",
    ],
);

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
    equation: &'static str,
) -> Metric {
    Metric { name, kind: Type::Counter, unit, labels, help, equation }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
    equation: &'static str,
) -> Metric {
    Metric { name, kind: Type::Gauge, unit, labels, help, equation }
}

const fn histogram(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
    equation: &'static str,
) -> Metric {
    Metric { name, kind: Type::Histogram, unit: "seconds", labels, help, equation }
}

pub const TABLE: &[Metric] = &[
    gauge(
        "equipoise_sessions",
        "sessions",
        &[("state", &["waiting", "offered", "active", "held"])],
        "Sessions that have not ended.",
        "sum = at start + asked − ended",
    ),
    counter("equipoise_sessions_asked_total", "sessions", &[], "Sessions that began to be.", ""),
    counter(
        "equipoise_sessions_ended_total",
        "sessions",
        &[(
            "reason",
            &[
                "by_rep",
                "by_customer",
                "left_queue",
                "orphaned",
                "wait_timeout",
                "hold_expired",
                "declined",
                "by_admin",
            ],
        )],
        "Sessions that ended.",
        "",
    ),
    gauge(
        "equipoise_shows",
        "sessions",
        &[],
        "Reps who show their screen to another, or ask one to look.",
        "= at start + asked − ended",
    ),
    counter("equipoise_shows_asked_total", "sessions", &[], "Times a rep began to show its screen to another.", ""),
    counter(
        "equipoise_shows_ended_total",
        "sessions",
        &[("reason", &["by_rep", "orphaned", "declined", "by_admin"])],
        "Times that ended.",
        "",
    ),
    counter("equipoise_jobs_made_total", "jobs", &[], "Jobs of endpoint automation that were made.", ""),
    counter(
        "equipoise_job_runs_total",
        "items",
        &[("outcome", &["done", "failed", "cancelled", "expired", "refused"])],
        "Items on which a job ended: with exit code 0, otherwise, by who cancelled it, because it waited for too long, or because it may not run there (P8.8).",
        "",
    ),
    histogram(
        "equipoise_session_wait_seconds",
        &[("outcome", &["accepted", "ended"])],
        "From the first queue until a rep accepted, or until the session ended unserved.",
        "count{accepted} = sessions accepted for the first time since the start",
    ),
    histogram(
        "equipoise_offer_accept_seconds",
        &[],
        "From the offer until the rep accepted it.",
        "count = equipoise_offers_total{accepted}",
    ),
    counter("equipoise_offers_made_total", "offers", &[], "Sessions put to a rep.", ""),
    counter(
        "equipoise_offers_total",
        "offers",
        &[("outcome", &["accepted", "rejected", "timeout", "withdrawn"])],
        "Offers that came to an end.",
        "sum + equipoise_sessions{offered} = made + offered at start",
    ),
    counter(
        "equipoise_assignments_total",
        "sessions",
        &[("how", &["offer", "take", "get_next", "jump", "auto_start"])],
        "Sessions that got an owner from a queue or a jump.",
        "{offer} = equipoise_offers_total{accepted}",
    ),
    counter(
        "equipoise_moves_total",
        "moves",
        &[("rule", &["transfer", "overdue", "fallback_2", "fallback_3", "fallback_4"])],
        "Sessions moved to another queue, by the rule that moved them (R6, R8).",
        "",
    ),
    counter(
        "equipoise_owner_changes_total",
        "changes",
        &[("rule", &["fallback_1", "take_over"])],
        "Sessions that got another owner without a queue (R7.6, R8).",
        "",
    ),
    counter("equipoise_overdue_total", "sessions", &[], "Sessions marked overdue in a queue (R6.1).", ""),
    gauge(
        "equipoise_reps",
        "reps",
        &[("state", &["available", "opted_out", "idle"])],
        "Reps logged in; one who is idle counts as idle, whether opted in or not.",
        "sum = at start + logins − logouts",
    ),
    counter("equipoise_rep_logins_total", "logins", &[], "Consoles that logged in.", ""),
    counter(
        "equipoise_rep_logouts_total",
        "logouts",
        &[(
            "reason",
            &[
                "asked",
                "lost",
                "schedule",
                "two_factor",
                "console_idle",
                "shared_seat",
                "disabled",
                "expired",
                "deleted",
                "replaced",
            ],
        )],
        "Consoles that logged out or were logged out.",
        "",
    ),
    counter(
        "equipoise_prompts_total",
        "prompts",
        &[("outcome", &["allowed", "denied", "timeout", "disconnected", "nobody", "withdrawn"])],
        "Questions to customers that were answered, by themselves or for them (P4).",
        "",
    ),
    counter(
        "equipoise_opens_total",
        "requests",
        &[("outcome", &["opened", "refused"])],
        "Tools asked for that were opened or refused.",
        "",
    ),
    counter(
        "equipoise_refusals_total",
        "requests",
        &[EVERY_TOOL],
        "Requests that a permission refused, or a change of it while they waited, and frames sent without it (P6.3); those stopped on their way are in equipoise_relay_frames_total.",
        "",
    ),
    counter(
        "equipoise_relay_frames_total",
        "frames",
        &[TOOLS, ("outcome", &["forwarded", "refused", "replaced", "duplicate", "purged"]), LEGS],
        "What became of frames meant for a leg: written, stopped by the gate, dropped for a newer picture, had already, or left behind by a leg that ended; `none` where it never reached a connection.",
        "offered = sum + waiting",
    ),
    counter(
        "equipoise_relay_frames_offered_total",
        "frames",
        &[TOOLS],
        "Data frames meant for a leg; one with several readers counts for each.",
        "",
    ),
    counter("equipoise_relay_frames_read_total", "frames", &[TOOLS], "Data frames read from their writers.", ""),
    counter("equipoise_relay_bytes_read_total", "bytes", &[TOOLS], "Payload bytes read from their writers.", ""),
    counter("equipoise_relay_bytes_total", "bytes", &[TOOLS, TRANSPORTS], "Payload bytes of the frames forwarded.", ""),
    counter(
        "equipoise_relay_credit_stalls_total",
        "stalls",
        &[TOOLS, TRANSPORTS],
        "Times a leg ran out of its reader's credit while frames waited.",
        "",
    ),
    counter("equipoise_relay_lagged_total", "legs", &[TOOLS], "Legs left behind beside others (W1.7).", ""),
    counter(
        "equipoise_relay_faults_total",
        "channels",
        &[TOOLS],
        "Channels closed because a peer broke the rules.",
        "",
    ),
    counter(
        "equipoise_copies_total",
        "datagrams",
        &[("what", &["sent", "mended"])],
        "Copies of small frames on QUIC lines that lose: that left, and that came before what they repeat.",
        "",
    ),
    gauge(
        "equipoise_connections",
        "connections",
        &[TRANSPORTS],
        "Connections that said who they are.",
        "= attached, but for those about to go",
    ),
    gauge("equipoise_attached", "connections", &[ROLES], "Connections that speak for somebody.", ""),
    counter(
        "equipoise_connections_refused_total",
        "connections",
        &[("reason", &["strangers", "address", "files"])],
        "Sockets turned away at once: too many before their hello, too many from one address, or no file descriptor left.",
        "",
    ),
    counter(
        "equipoise_connections_closed_total",
        "connections",
        &[
            (
                "code",
                &[
                    "normal",
                    "protocol_error",
                    "unsupported",
                    "invalid_text",
                    "too_big",
                    "internal",
                    "restart",
                    "overloaded",
                    "token_expired",
                    "slow",
                    "moved",
                    "timeout",
                    "storage",
                    "rate_limited",
                    "session_ended",
                    "unauthenticated",
                    "forbidden",
                    "not_found",
                    "replaced",
                    "gone",
                    "too_large",
                    "version",
                    "bad_message",
                    "other",
                ],
            ),
            TRANSPORTS,
        ],
        "Connections that ended, by the name of their close code (W4.2); `other` where the peer vanished or made one up.",
        "",
    ),
    counter("equipoise_sign_in_failures_total", "attempts", &[], "Passwords that were not right.", ""),
    counter(
        "equipoise_key_failures_total",
        "attempts",
        &[("reason", &["wrong", "limited", "work"])],
        "Session keys that led nowhere: unknown, used or expired, one try too many from there, or shown without the work that the open breaker asks for.",
        "",
    ),
    counter(
        "equipoise_mails_total",
        "letters",
        &[("outcome", &["sent", "failed", "dropped"])],
        "Letters that the mail server took, that it did not take in all tries, or for which too many were on their way.",
        "sum + on their way = invitations by mail",
    ),
    histogram(
        "equipoise_turn_seconds",
        &[],
        "For how long the owner was at work before it looked again at who waits: deciding and telling, without the wait for the journal.",
        "",
    ),
    histogram(
        "equipoise_journal_commit_seconds",
        &[],
        "From handing a turn to the journal until it is durable.",
        "count = turns committed",
    ),
    histogram(
        "equipoise_journal_lag_seconds",
        &[],
        "From taking a turn's first command until all that follows it was done.",
        "≥ commit time",
    ),
    counter("equipoise_journal_failures_total", "failures", &[], "Turns that could not be made durable.", ""),
    gauge(
        "equipoise_insecure_settings",
        "settings",
        &[],
        "Settings weaker than their defaults; `equipoise config check` names them.",
        "",
    ),
    gauge("equipoise_ready", "", &[], "1 while every check of /readyz passes, else 0.", ""),
    gauge("equipoise_start_time_seconds", "seconds", &[], "When the process started, since 1970 UTC.", ""),
];

/// Waiting times: service levels are asked for at these seconds.
const WAIT_BUCKETS_S: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];
/// Turns and their commits: from a fast disk's sync to one that is in trouble.
const COMMIT_BUCKETS_S: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What `/metrics` is served from.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
    gather: Arc<dyn Fn() + Send + Sync>,
}

impl Recorder {
    /// Called before each scrape, for what is counted elsewhere and only read here.
    pub fn gathering(self, gather: impl Fn() + Send + Sync + 'static) -> Self {
        Self { gather: Arc::new(gather), ..self }
    }

    pub fn render(&self) -> String {
        (self.gather)();
        self.handle.render()
    }

    /// Histograms grow until they are folded, whether or not anybody scrapes.
    pub async fn keep_up(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_millis(limits::METRICS_UPKEEP.0));
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            self.handle.run_upkeep();
        }
    }
}

/// The process's recorder; the first call installs it. All brokers of one process (as in tests) share it.
pub fn recorder() -> Recorder {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let recorder = build();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, declare);
        // Somebody else's recorder stays; ours then serves only what was declared.
        let _ = metrics::set_global_recorder(recorder);
        handle
    });
    Recorder { handle: handle.clone(), gather: Arc::new(|| {}) }
}

fn build() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE.iter().filter(|metric| metric.kind == Type::Histogram) {
        let of_turns = metric.name.contains("_journal_") || metric.name == "equipoise_turn_seconds";
        let buckets = if of_turns { COMMIT_BUCKETS_S } else { WAIT_BUCKETS_S };
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
            .expect("bucket lists are not empty");
    }
    builder.build_recorder()
}

/// Describes every metric and shows each of its series from the start, at zero: what never happened yet is a zero,
/// not a hole.
fn declare() {
    for metric in TABLE {
        match metric.kind {
            Type::Counter => metrics::describe_counter!(metric.name, metric.help),
            Type::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Type::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
        for labels in series(metric.labels) {
            match metric.kind {
                Type::Counter => metrics::counter!(metric.name, &labels).increment(0),
                Type::Gauge => metrics::gauge!(metric.name, &labels).increment(0.0),
                Type::Histogram => drop(metrics::histogram!(metric.name, &labels)),
            }
        }
    }
}

type Labels = Vec<(&'static str, &'static str)>;

/// Every combination of the labels' values.
fn series(labels: &[(&'static str, &'static [&'static str])]) -> Vec<Labels> {
    labels.iter().fold(vec![Vec::new()], |made, (name, values)| {
        made.iter()
            .flat_map(|before: &Labels| {
                values.iter().map(move |value| before.iter().copied().chain([(*name, *value)]).collect())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn served() -> String {
        let recorder = build();
        metrics::with_local_recorder(&recorder, declare);
        recorder.handle().render()
    }

    #[test]
    fn every_metric_of_the_table_is_served_from_the_start_and_no_other() {
        let text = served();
        let types: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let expected: BTreeMap<&str, &str> = TABLE
            .iter()
            .map(|metric| {
                let kind = match metric.kind {
                    Type::Counter => "counter",
                    Type::Gauge => "gauge",
                    Type::Histogram => "histogram",
                };
                (metric.name, kind)
            })
            .collect();
        assert_eq!(types, expected);
    }

    #[test]
    fn the_document_says_what_the_table_says() {
        let document = include_str!("../../docs/operations.md");
        let written: Vec<&str> = document.lines().filter(|line| line.starts_with("| `equipoise_")).collect();
        let expected: Vec<String> = TABLE.iter().map(row).collect();
        assert!(written == expected, "the rows of docs/operations.md should read:\n{}", expected.join("\n"));
    }

    fn row(metric: &Metric) -> String {
        let labels: Vec<String> =
            metric.labels.iter().map(|(name, values)| format!("`{name}`: {}", values.join(", "))).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let cells =
            [&format!("`{}`", metric.name), &kind, metric.unit, &labels.join("; "), metric.help, metric.equation];
        format!("| {} |", cells.map(|cell| if cell.is_empty() { "–" } else { cell }).join(" | "))
    }

    #[test]
    fn every_close_code_has_its_label() {
        let closed = TABLE.iter().find(|metric| metric.name == "equipoise_connections_closed_total").unwrap();
        let codes = crate::wire::CloseCode::ALL.map(crate::wire::CloseCode::name);
        assert_eq!(closed.labels[0].1, [&codes[..], &["other"]].concat());
    }

    #[test]
    fn p6_3_every_tool_has_its_label() {
        let refusals = TABLE.iter().find(|metric| metric.name == "equipoise_refusals_total").unwrap();
        let tools: Vec<&str> = crate::policy::Tool::ALL.iter().map(|tool| tool.name()).collect();
        assert_eq!(refusals.labels[0].1, tools);
    }

    #[test]
    fn i_m6_there_are_at_most_2000_series() {
        let lines = served().lines().filter(|line| line.starts_with("equipoise_")).count();
        assert!(lines <= 2_000, "{lines} series");
    }

    #[test]
    fn waiting_times_have_the_service_level_buckets() {
        let recorder = build();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("equipoise_session_wait_seconds", "outcome" => "accepted").record(18.0);
        });
        let text = recorder.handle().render();
        for (bucket, count) in [("15", 0), ("20", 1), ("3600", 1)] {
            let line = format!("equipoise_session_wait_seconds_bucket{{outcome=\"accepted\",le=\"{bucket}\"}} {count}");
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }

    /// A name counted but not declared has no help and no zero; one declared and never counted is a lie.
    #[test]
    fn what_is_counted_is_declared() {
        let declared: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
        let counted = counted();
        let undeclared: Vec<&String> = counted.iter().filter(|name| !declared.contains(name.as_str())).collect();
        assert!(undeclared.is_empty(), "counted but not in the table: {undeclared:?}");
        let uncounted: Vec<&&str> = declared.iter().filter(|name| !counted.contains(**name)).collect();
        assert!(uncounted.is_empty(), "in the table but never counted: {uncounted:?}");
    }

    /// The names in the sources outside this file.
    fn counted() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("ops/metrics.rs") {
                    let text = std::fs::read_to_string(path).unwrap();
                    let text = text.split("#[cfg(test)]").next().expect("a split has a first part");
                    for piece in text.split("\"equipoise_").skip(1) {
                        let name: String = piece.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                        names.insert(format!("equipoise_{name}"));
                    }
                }
            }
        }
        names
    }
}

//! Endpoint automation: jobs as they are asked for, shown, and given to the endpoints that run them (P8.7, P8.8).

use super::answers::Refused;
use serde::{Deserialize, Serialize};

/// A script to run on these items: of a template, as it is, or, from an administrator of automation, its own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MakeJob {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// For how long `script` may run on an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    pub items: Vec<String>,
    /// For how long it waits for endpoints that are away; left out: a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives_s: Option<u64>,
}

/// How a job ended on an item, as its endpoint says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JobEnded {
    pub job: u64,
    /// Of the script; left out: it did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u32>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The end of what it wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// What an endpoint that stands by has to do about a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobCall {
    /// It waits: take it.
    Take,
    /// You took it: say how it ended, unless it runs.
    Tell,
    /// It is cancelled: end it, and say so.
    Stop,
}

/// A script of which jobs are made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JobTemplateView {
    pub template: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub timeout_s: u64,
}

/// A job, and on how many items it stands how.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JobView {
    pub job: u64,
    pub by: String,
    /// Left out: the script was given with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    pub made_at_ms: u64,
    pub expires_at_ms: u64,
    pub waiting: u32,
    pub running: u32,
    pub done: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub expired: u32,
    pub refused: u32,
}

/// A job on one item.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JobTargetView {
    pub item: String,
    /// `waiting`, `running`, `done`, `failed`, `cancelled`, `expired` or `refused`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u32>,
    /// Of one that failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Of one that may not run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<Refused>>,
}

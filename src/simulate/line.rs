//! The lines of a run, with the names and fields of contract C2, as JSON and for people.

use crate::time::Time;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;

/// One thing that happened. Times are seconds from the start, to a millisecond.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Line {
    #[serde(serialize_with = "seconds")]
    pub at: Time,
    #[serde(flatten)]
    pub happening: Happening,
}

/// Reps are usernames, sessions have the scenario's names, queues are addresses, teams are codes.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    LoggedIn {
        rep: String,
    },
    LoggedOut {
        rep: String,
        reason: Value,
    },
    Queued {
        session: String,
        queue: String,
    },
    Offered {
        session: String,
        rep: String,
        team: String,
        #[serde(serialize_with = "seconds")]
        expires_at: Time,
    },
    Accepted {
        session: String,
        rep: String,
    },
    Rejected {
        session: String,
        rep: String,
    },
    OfferTimeout {
        session: String,
        rep: String,
    },
    OfferWithdrawn {
        session: String,
        rep: String,
        reason: String,
    },
    Overdue {
        session: String,
        queue: String,
    },
    /// A jump session came from no queue.
    Moved {
        session: String,
        from: Option<String>,
        to: String,
        rule: Value,
    },
    Joined {
        session: String,
        rep: String,
    },
    Departed {
        session: String,
        rep: String,
    },
    OwnerChanged {
        session: String,
        from: Option<String>,
        to: String,
        rule: Value,
    },
    Held {
        session: String,
    },
    Resumed {
        session: String,
    },
    Ended {
        session: String,
        reason: Value,
    },
    Refused(Refused),
}

/// A step that changed nothing: the reason, and what the step named.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Refused {
    #[serde(rename = "do")]
    pub verb: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rep: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

impl Line {
    /// One JSON object, without a line end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a line is plain data")
    }
}

/// For people: the time, the event, then its fields.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = serde_json::to_value(&self.happening).expect("a line is plain data");
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let event = value.get("event").map(text).unwrap_or_default();
        write!(f, "{:>12}  {event:<16}", format!("{} s", self.at.0 as f64 / 1000.0))?;
        let order =
            ["do", "session", "rep", "by", "queue", "item", "from", "to", "team", "rule", "reason", "expires_at"];
        for name in order {
            match value.get(name) {
                None | Some(Value::Null) => {}
                Some(field) if matches!(name, "session" | "rep" | "do" | "queue" | "reason") => {
                    write!(f, " {}", text(field))?
                }
                Some(field) => write!(f, " {name} {}", text(field))?,
            }
        }
        Ok(())
    }
}

/// A whole number of seconds is written as one.
pub(super) fn seconds<S: Serializer>(at: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    match at.0 % 1000 {
        0 => serializer.serialize_u64(at.0 / 1000),
        _ => serializer.serialize_f64(at.0 as f64 / 1000.0),
    }
}

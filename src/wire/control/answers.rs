//! What a request is answered with: done, not done, or why it is as it is.

use super::{
    jobs::{JobTargetView, JobTemplateView, JobView},
    pushes::Opened,
    views::{RepView, SessionView, TeamView},
};
use crate::wire::Hidden;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Done, and there is nothing to add.
    Yes {},
    Asked {
        session: u64,
        /// The customer's own way in.
        join: Hidden,
    },
    Key {
        key: Hidden,
        expires_at_ms: u64,
    },
    /// Its token, shown once, is good like a link's, again and again.
    Button {
        button: u32,
        key: Hidden,
    },
    Buttons {
        /// The oldest first.
        buttons: Vec<ButtonView>,
        /// There are more, after the last of these.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    /// Teams and reps, each in the order of the site file.
    Targets {
        teams: Vec<TeamView>,
        reps: Vec<RepView>,
        /// There may be more, from here on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u32>,
    },
    JumpItems {
        /// In the order of the site file.
        items: Vec<JumpItemView>,
        /// There may be more: ask again with this as `after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u32>,
    },
    JobTemplates {
        /// By their codes.
        templates: Vec<JobTemplateView>,
        /// There are more, after the last of these.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    Jobs {
        /// The newest first.
        jobs: Vec<JobView>,
        /// There are more, before the last of these.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    Job {
        job: Box<JobView>,
        targets: Vec<JobTargetView>,
        /// There are more: ask again with this as `after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u32>,
    },
    /// The endpoint runs this, once, and ends it when the time is over.
    JobTaken {
        job: u64,
        script: String,
        timeout_s: u64,
    },
    Session(Box<SessionView>),
    /// The request waits for the other end, or first for the customer's answer; `opened` or `refused_open` follows.
    Opening {
        open: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<u32>,
    },
    Opened(Opened),
    /// No byte past these offsets arrives any more (W2.2).
    Revoked {
        epoch: u32,
        finals: Vec<FinalOffset>,
    },
    RepList {
        reps: Vec<ListedRep>,
        /// There are more than are listed.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    Explained(Box<Explained>),
    History {
        /// The newest first.
        sessions: Vec<PastSession>,
        /// There are more: ask with this as `before`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
    },
    Site {
        /// The text, or as much of it as fits.
        toml: String,
        #[serde(default)]
        version: u64,
        /// Where the rest begins; left out at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
    },
    /// The site is the new one. No byte past these offsets arrives any more (W2.2).
    Applied {
        version: u64,
        /// Sessions in which somebody's permissions changed, and legs that ended.
        sessions: u32,
        legs: u32,
        /// The first 1,000 of them.
        finals: Vec<FinalOffset>,
        /// What the file says that its author may not mean (P3.32).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    Notice {
        notice: u32,
    },
    Notices {
        /// The oldest first.
        notices: Vec<NoticeView>,
    },
}

/// A support button.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ButtonView {
    pub button: u32,
    pub queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Who made it.
    pub by: String,
    pub made_at_ms: u64,
}

/// A jump item, as somebody may see it at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JumpItemView {
    /// Its code, which `jump` takes.
    pub item: String,
    pub method: String,
    /// The jump group that it is in, or whose own list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// An endpoint is there that takes a session up.
    pub stands_by: bool,
    /// What runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Its method's permission, the role on it and on the local network `connect_on_lan` allow it.
    pub may_start: bool,
    /// Somebody at the endpoint said yes to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentView>,
}

/// That reps may come to an endpoint when nobody is there (P3.25).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsentView {
    /// In which it was given, and who asked for it there.
    pub session: u64,
    pub rep: String,
    pub at_ms: u64,
}

/// A notice to the customers who wait (R10.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoticeView {
    pub notice: u32,
    pub text: String,
    /// Who published it.
    pub by: String,
    /// Left out: until it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// One of the reps that a portal shows: ask for `queue` to have them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListedRep {
    pub queue: String,
    /// As customers see it (R10.2).
    pub name: String,
}

/// A session that has ended, as it was at that moment (BU-048, RA-013). Also what is stored of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PastSession {
    pub session: u64,
    pub kind: String,
    /// `jump`, `button`, `ask` (by an integrator) or `key`.
    pub began: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub button: Option<u32>,
    /// The jump item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Where it was last accepted from or waited; its team is the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The primary rep: who owned it when it ended, or last before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_owner: Option<String>,
    /// Who took part, the customer aside, in the order of coming.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PastPerson>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub people_left_out: u32,
    /// As given, unverified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub customer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_key: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    pub asked_at_ms: u64,
    /// By its first owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at_ms: Option<u64>,
    pub ended_at_ms: u64,
    /// In queues, served, and held; together the whole.
    pub waited_ms: u64,
    pub served_ms: u64,
    pub held_ms: u64,
    /// When it ended: `waiting`, `active` or `held`.
    pub state: String,
    /// Of the end, as `ended` says it.
    pub reason: String,
}

/// Who took part in a session that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PastPerson {
    /// A username; of an external rep the mail address it was invited at.
    pub name: String,
    /// The highest it had: `owner`, `sharer`, `monitor` or `external`.
    pub role: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinalOffset {
    pub channel: u32,
    /// The reader of the leg.
    pub participant: u16,
    pub offset: u64,
}

/// Why something was not done (W4.2, P6.3). It never closes anything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// One of the documented names.
    pub code: String,
    /// The rule it follows, such as `R7.1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    pub message: String,
    /// The field or place that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The layer that gave the permission's value, such as `portal:main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// R9: why a session was offered to whom it was, or why it waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Explained {
    /// 0 in a dry run.
    pub session: u64,
    pub queue: String,
    /// `none`, `least_busy` or `skills_least_busy`; empty for a rep's own queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub algorithm: String,
    /// Skills still asked for at this step of R4.6.
    pub skills: Vec<String>,
    pub step: u32,
    /// In the order they would be offered.
    pub candidates: Vec<String>,
    /// Sessions each candidate is in (R4.2).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<String, u32>,
    /// There are more candidates than are listed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Would pass every test of R3, but a better match or the preferred rep is waited for (R4.7, R4.8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<String>,
    /// When that wait is over for the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widens_at_ms: Option<u64>,
    /// The first failed test of R3 for each rep left out, not of all where they are many.
    pub rejected: BTreeMap<String, String>,
    /// How many reps failed each test.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The rule that brought it into this queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub moved_by: String,
    /// Of a dry run: why it would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<Refused>>,
    /// What was decided about it, the newest last, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// Older ones that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decisions_left_out: u32,
}

/// One thing that was decided, or done by hand, about a session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Decision {
    pub at_ms: u64,
    /// `queued`, `offered`, `accepted`, `rejected`, `offer_timeout`, `offer_withdrawn`, `overdue`, `moved`, `relaxed`,
    /// `owner_changed`, `held`, `resumed` or `ended`.
    pub event: String,
    /// Of an offer: its number, from 1, by which its full list is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rep: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of an offer: the rule that had brought the session into the queue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The step of R4.6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Sessions the rep was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

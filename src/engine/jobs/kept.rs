//! Jobs as they are kept: how they stand on each item, what their endpoints are called to do, and what is over (P8.8).
//! Nothing here decides.

use super::super::{Event, Refusal};
use crate::{
    ids::*,
    limits,
    time::{Span, Time},
    wire::control::JobCall,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Those that are not over, and the latest of those that are.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Jobs {
    all: BTreeMap<JobId, Job>,
    pub(super) last: u64,
    /// On each item what waits or runs there, the oldest first.
    pub(super) on_item: BTreeMap<JumpItemId, BTreeSet<JobId>>,
    /// In the order in which they were over.
    over: VecDeque<JobId>,
    over_bytes: usize,
    pub(super) due: BTreeSet<(Time, JobId)>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    pub by: UserId,
    /// The code of its template; none: the script was given with it.
    pub template: Option<String>,
    pub script: String,
    /// For how long it may run on an item.
    pub timeout: Span,
    pub made: Time,
    /// Until when it waits for endpoints.
    pub expires: Time,
    pub targets: BTreeMap<JumpItemId, Target>,
    over: Option<Time>,
    due: Time,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The item's code when the job was made.
    pub item: String,
    pub started: Option<Time>,
    /// It was cancelled while it ran: the endpoint is to end it.
    pub stops: bool,
    pub ended: Option<Ended>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub at: Time,
    pub how: JobEnd,
    pub output: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// The script came to its end, with this exit code.
    Done(u32),
    Failed(String),
    Cancelled,
    Expired,
    Refused(Box<Refusal>),
}

/// One item of a job that is made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobItem {
    pub item: JumpItemId,
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<Refusal>>,
}

impl Target {
    fn new(at: Time, item: &JobItem) -> Self {
        let refused = item.refused.clone().map(JobEnd::Refused);
        let ended = refused.map(|how| Ended { at, how, output: String::new() });
        Self { item: item.code.clone(), started: None, stops: false, ended }
    }

    pub fn waits(&self) -> bool {
        self.started.is_none() && self.ended.is_none()
    }

    pub fn runs(&self) -> bool {
        self.started.is_some() && self.ended.is_none()
    }

    fn end(&mut self, at: Time, how: JobEnd, output: String) {
        self.ended.get_or_insert(Ended { at, how, output });
    }
}

impl Job {
    fn end_on(&mut self, at: Time, items: &[JumpItemId], how: &JobEnd) {
        for item in items {
            if let Some(target) = self.targets.get_mut(item) {
                target.end(at, how.clone(), String::new());
            }
        }
    }

    /// Where it is not begun.
    pub fn waits_on(&self) -> Vec<JumpItemId> {
        self.targets.iter().filter(|(_, target)| target.waits()).map(|(item, _)| *item).collect()
    }

    /// Waits or runs somewhere.
    pub fn is_live(&self) -> bool {
        self.over.is_none()
    }

    /// Items on which it waits or runs.
    pub(super) fn live_targets(&self) -> usize {
        self.targets.values().filter(|target| target.ended.is_none()).count()
    }

    fn next_due(&self) -> Time {
        if let Some(over) = self.over {
            return over + limits::JOB_KEPT;
        }
        let of = |target: &Target| match (target.started, &target.ended) {
            (None, None) => Some(self.expires),
            (Some(started), None) => Some(started + self.timeout + limits::JOB_TOLD_WITHIN),
            _ => None,
        };
        self.targets.values().filter_map(of).min().unwrap_or(self.expires)
    }

    fn bytes(&self) -> usize {
        let said = |target: &Target| target.ended.as_ref().map_or(0, |ended| ended.output.len()) + 512;
        self.script.len() + self.targets.values().map(said).sum::<usize>()
    }
}

impl Jobs {
    pub fn get(&self, job: JobId) -> Option<&Job> {
        self.all.get(&job)
    }

    /// The newest first, of those before one.
    pub fn before(&self, before: JobId) -> impl Iterator<Item = (JobId, &Job)> {
        self.all.range(..before).rev().map(|(id, job)| (*id, job))
    }

    /// What the endpoint of this item has to do; one that has come may not know of what it took.
    pub fn call(&self, item: JumpItemId, has_come: bool) -> Option<(JobId, JobCall)> {
        let there = self.on_item.get(&item)?;
        let target = |job: &JobId| self.all.get(job)?.targets.get(&item);
        match there.iter().find_map(|job| target(job).filter(|target| target.runs()).map(|target| (*job, target))) {
            Some((job, target)) if target.stops => Some((job, JobCall::Stop)),
            Some((job, _)) => has_come.then_some((job, JobCall::Tell)),
            None => there.first().map(|job| (*job, JobCall::Take)),
        }
    }

    pub(in crate::engine) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Job> {
        self.all.values().filter(|job| job.is_live())
    }

    pub(in crate::engine) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::JobMade { job: id, by, template, script, timeout, expires_at, items } => {
                self.last = self.last.max(id.0);
                let job = Job {
                    by: *by,
                    template: template.clone(),
                    script: script.clone(),
                    timeout: *timeout,
                    made: at,
                    expires: *expires_at,
                    targets: items.iter().map(|item| (item.item, Target::new(at, item))).collect(),
                    over: None,
                    due: *expires_at,
                };
                self.all.insert(*id, job);
                self.change(at, *id, |_| {});
            }
            Event::JobStarted { job, item } => self.change_target(at, *job, *item, |target| target.started = Some(at)),
            Event::JobEnded { job, item, how, output } => {
                self.change_target(at, *job, *item, |target| target.end(at, how.clone(), output.clone()));
            }
            Event::JobCancelled { job, waited, .. } => self.change(at, *job, |job| {
                job.end_on(at, waited, &JobEnd::Cancelled);
                for target in job.targets.values_mut().filter(|target| target.runs()) {
                    target.stops = true;
                }
            }),
            Event::JobExpired { job, waited } => self.change(at, *job, |job| job.end_on(at, waited, &JobEnd::Expired)),
            Event::JobForgotten { job } => self.forget(*job),
            _ => {}
        }
    }

    fn change_target(&mut self, at: Time, job: JobId, item: JumpItemId, change: impl FnOnce(&mut Target)) {
        self.change(at, job, |job| {
            if let Some(target) = job.targets.get_mut(&item) {
                change(target);
            }
        });
    }

    fn change(&mut self, at: Time, id: JobId, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.all.get_mut(&id) else { return };
        self.due.remove(&(job.due, id));
        change(job);
        for (item, target) in &job.targets {
            if target.ended.is_none() {
                self.on_item.entry(*item).or_default().insert(id);
            } else if let Some(there) = self.on_item.get_mut(item) {
                there.remove(&id);
                if there.is_empty() {
                    self.on_item.remove(item);
                }
            }
        }
        if job.is_live() && job.targets.values().all(|target| target.ended.is_some()) {
            job.over = Some(at);
            self.over.push_back(id);
            self.over_bytes += job.bytes();
        }
        job.due = job.next_due();
        self.due.insert((job.due, id));
        while (self.over.len() > limits::JOBS_KEPT || self.over_bytes > limits::JOBS_KEPT_BYTES)
            && let Some(oldest) = self.over.front().copied()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, id: JobId) {
        let Some(job) = self.all.remove(&id) else { return };
        self.due.remove(&(job.due, id));
        self.over.retain(|over| *over != id);
        self.over_bytes = self.over_bytes.saturating_sub(job.bytes());
    }
}

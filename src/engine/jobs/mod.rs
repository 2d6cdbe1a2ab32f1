//! Endpoint automation: scripts that run on jump items without a session, on the endpoints that stand by (P8.7, P8.8).
//!
//! A target runs at most once: `job_started` is durable before its endpoint is handed the script, is decided once for each
//! target, and nothing leads from there back to waiting. Whoever took it and does not know how it went has lost it.

mod kept;

pub use kept::{Ended, Job, JobEnd, JobItem, Jobs, Target};

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, State, refusal::refuse};
use crate::{
    ids::*,
    limits,
    policy::{Tool, automation},
    site::AutomationRole,
    time::{Span, Time},
    wire::control::JobCall,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewJob {
    pub of: JobOf,
    pub items: Vec<JumpItemId>,
    pub lives: Span,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOf {
    /// By its code, in lower case.
    Template(String),
    Script {
        text: String,
        timeout: Span,
    },
}

impl State {
    /// P8.7: whoever makes jobs of templates, or with `own_script` gives the script itself.
    pub fn may_automate(&self, user: UserId, own_script: bool) -> Result<(), Refusal> {
        let (role, source) = automation::role(&self.site, user);
        let needed = if own_script { AutomationRole::Administrator } else { AutomationRole::User };
        if role >= needed {
            return Ok(());
        }
        let message = match role {
            AutomationRole::NotAllowed => "endpoint automation is not allowed",
            _ => "a user of automation runs templates as they are: an administrator of automation gives scripts",
        };
        Err(Refusal::new(Reason::NotPermitted, "P8.7", message).of_tool(Tool::CannedScripts, source.name(&self.site)))
    }

    /// Whoever looks at jobs and templates; never at a seat whose minutes are over (R11.4).
    pub fn reads_jobs(&self, actor: Actor) -> Result<UserId, Refusal> {
        let (Actor::Party(Party::Rep(user)) | Actor::Admin(user)) = actor else {
            return refuse(Reason::NotPermitted, "P8.7", "jobs are for reps and administrators");
        };
        self.may_automate(user, false)?;
        let must_prove = matches!(actor, Actor::Party(_)) && self.console(user).is_some_and(|it| it.must_prove);
        match must_prove {
            true => refuse(Reason::Reauthenticate, "R11.4", "this seat is shared: sign in again first"),
            false => Ok(user),
        }
    }

    /// P8.8: where this user may start a session and run a canned script without a question. Whether somebody sits there is
    /// as the endpoint says; nobody does where none is connected.
    pub fn may_run_on(&self, user: UserId, item: JumpItemId) -> Result<(), Refusal> {
        self.may_jump(user, item).map_err(|refusal| {
            let source = refusal.source.clone().unwrap_or_default();
            refusal.of_tool(Tool::CannedScripts, source)
        })?;
        match automation::barred(&self.site, user, item, self.somebody_at(item)) {
            None => Ok(()),
            Some(barred) => {
                let source = barred.source().name(&self.site);
                let refusal = Refusal::new(Reason::NotPermitted, "P8.8", barred.said());
                Err(refusal.of_tool(Tool::CannedScripts, source))
            }
        }
    }

    /// One's own, and everybody's for an administrator of automation (BU-091). One that may not be seen answers as one that
    /// is not there.
    pub fn job_seen_by(&self, user: UserId, id: JobId) -> Result<&Job, Refusal> {
        let own = |job: &&Job| job.by == user || self.may_automate(user, true).is_ok();
        self.jobs.get(id).filter(own).ok_or_else(job_gone)
    }
}

fn job_gone() -> Refusal {
    Refusal::new(Reason::JobGone, "P8.8", "there is no such job, or nothing of it is left to do")
}

impl Engine {
    /// Each item is judged by itself; where none is left nothing is made.
    pub(super) fn make_job(
        &mut self,
        now: Time,
        actor: Actor,
        new: &NewJob,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let by = self.console_of(actor)?;
        self.state.may_automate(by, matches!(new.of, JobOf::Script { .. }))?;
        let (template, script, timeout) = self.script(&new.of)?;
        if new.lives.is_zero() || new.lives > limits::JOB_LIFE_MAX {
            return refuse(Reason::Malformed, "P8.8", "a job waits from one second to 31 days");
        }
        let several: BTreeSet<JumpItemId> = new.items.iter().copied().collect();
        if several.len() != new.items.len() || several.is_empty() || several.len() > limits::JOB_ITEMS_MAX {
            let message = format!("a job is for 1 to {} items, each named once", limits::JOB_ITEMS_MAX);
            return Err(Refusal::new(Reason::Malformed, "P8.8", message));
        }
        self.has_room_for_job(by, several.len())?;
        let judged = new.items.iter().map(|item| JobItem {
            item: *item,
            code: self.state.site.jump_items.get(item).map_or_else(String::new, |item| item.code.clone()),
            refused: self.state.may_run_on(by, *item).err().map(Box::new),
        });
        let items: Vec<JobItem> = judged.collect();
        if let Some(refused) = items.iter().find_map(|item| item.refused.clone())
            && items.iter().all(|item| item.refused.is_some())
        {
            return Err(*refused);
        }
        let job = JobId(self.state.jobs.last + 1);
        let made = Event::JobMade { job, by, template, script, timeout, expires_at: now + new.lives, items };
        self.emit(now, made, out);
        Ok(Outcome::Job(job))
    }

    fn script(&self, of: &JobOf) -> Result<(Option<String>, String, Span), Refusal> {
        match of {
            JobOf::Template(code) => {
                let script = self.state.site.scripts.get(code);
                match script.and_then(|script| Some((script, script.template.as_ref()?))) {
                    Some((script, template)) => Ok((Some(code.clone()), script.text.clone(), template.timeout)),
                    None => refuse(Reason::UnknownTemplate, "P8.7", "there is no template of jobs with this code"),
                }
            }
            JobOf::Script { text, timeout } => {
                let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
                if text.trim().is_empty() || text.len() > limits::SCRIPT_BYTES_MAX || text.chars().any(odd) {
                    let most = limits::SCRIPT_BYTES_MAX;
                    let message = format!("a script has 1 to {most} bytes and no control characters");
                    return Err(Refusal::new(Reason::Malformed, "P8.7", message));
                }
                if timeout.is_zero() || *timeout > limits::JOB_TIMEOUT_MAX {
                    return refuse(Reason::Malformed, "P8.7", "a script runs from one second to a day");
                }
                Ok((None, text.clone(), *timeout))
            }
        }
    }

    fn has_room_for_job(&self, by: UserId, items: usize) -> Result<(), Refusal> {
        let jobs = &self.state.jobs;
        let targets: usize = jobs.on_item.values().map(BTreeSet::len).sum();
        let own = jobs.live().filter(|job| job.by == by);
        let (own, own_targets) = own.fold((0, items), |(own, there), job| (own + 1, there + job.live_targets()));
        let message = if own >= limits::JOBS_LIVE_PER_USER || own_targets > limits::JOB_TARGETS_LIVE_PER_USER {
            "so many jobs of yours wait or run: cancel some"
        } else if jobs.live().count() >= limits::JOBS_LIVE_MAX || targets + items > limits::JOB_TARGETS_LIVE_MAX {
            "so many jobs wait or run: try again later"
        } else {
            return Ok(());
        };
        refuse(Reason::LimitReached, "P8.8", message)
    }

    /// What waits is not begun, and what runs is ended by its endpoint. One's own job may always be cancelled.
    pub(super) fn cancel_job(
        &mut self,
        now: Time,
        actor: Actor,
        id: JobId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let by = match actor {
            Actor::Admin(user) => user,
            actor => self.console_of(actor)?,
        };
        let job = self.state.job_seen_by(by, id)?;
        if job.targets.values().any(|target| target.ended.is_none() && !target.stops) {
            let waited = job.waits_on();
            self.emit(now, Event::JobCancelled { job: id, by, waited }, out);
        }
        Ok(Outcome::Done)
    }

    /// The endpoint is there: the job is judged again, for what was allowed when it was made may not be now (P8.8).
    pub(super) fn take_job(
        &mut self,
        now: Time,
        actor: Actor,
        id: JobId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (item, job) = self.job_of_endpoint(actor, id)?;
        if self.state.jobs.call(item, true) != Some((id, JobCall::Take)) {
            return Err(job_gone());
        }
        match self.still_may(job, item) {
            Ok(()) => {
                self.emit(now, Event::JobStarted { job: id, item }, out);
                Ok(Outcome::JobTaken(id))
            }
            Err(refusal) => {
                let how = JobEnd::Refused(Box::new(refusal));
                self.emit(now, Event::JobEnded { job: id, item, how, output: String::new() }, out);
                Ok(Outcome::Done)
            }
        }
    }

    fn still_may(&self, job: &Job, item: JumpItemId) -> Result<(), Refusal> {
        self.state.may_automate(job.by, job.template.is_none())?;
        if let Some(template) = &job.template {
            let script = self.state.site.scripts.get(template).filter(|script| script.template.is_some());
            if script.is_none_or(|script| script.text != job.script) {
                return refuse(Reason::UnknownTemplate, "P8.7", "its template is gone or says something else");
            }
        }
        self.state.may_run_on(job.by, item)
    }

    /// The endpoint says how it went; without an exit code it did not come to its end.
    pub(super) fn job_ended(
        &mut self,
        now: Time,
        actor: Actor,
        id: JobId,
        exit: Option<u32>,
        (reason, output): (&str, &str),
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let (item, job) = self.job_of_endpoint(actor, id)?;
        let target = job.targets.get(&item).filter(|target| target.runs()).ok_or_else(job_gone)?;
        let how = match exit {
            Some(exit) => JobEnd::Done(exit),
            None if target.stops => JobEnd::Cancelled,
            None => JobEnd::Failed(reason.to_owned()),
        };
        self.emit(now, Event::JobEnded { job: id, item, how, output: output.to_owned() }, out);
        Ok(Outcome::Done)
    }

    fn job_of_endpoint(&self, actor: Actor, id: JobId) -> Result<(JumpItemId, &Job), Refusal> {
        let Actor::Party(Party::JumpClient(item)) = actor else {
            return refuse(Reason::NotPermitted, "P8.8", "only the endpoint that stands by for an item does this");
        };
        let job = self.state.jobs.get(id).filter(|job| job.targets.contains_key(&item));
        Ok((item, job.ok_or_else(job_gone)?))
    }

    /// Of items that the site has no more: nobody is left to begin it, or to tell.
    pub(super) fn end_jobs_of_items(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let State { jobs, site, .. } = &self.state;
        let gone = jobs.on_item.iter().filter(|(item, _)| !site.jump_items.contains_key(item));
        let gone: Vec<_> = gone.flat_map(|(item, jobs)| jobs.iter().map(|job| (*job, *item))).collect();
        for (job, item) in gone {
            let runs = self.state.jobs.get(job).and_then(|job| job.targets.get(&item)).is_some_and(Target::runs);
            let message = "the jump item is gone";
            let how = match runs {
                true => JobEnd::Failed(message.to_owned()),
                false => JobEnd::Refused(Box::new(Refusal::new(Reason::UnknownItem, "P8.8", message))),
            };
            self.emit(at, Event::JobEnded { job, item, how, output: String::new() }, out);
        }
    }

    /// Jobs that waited for too long, that nobody was heard of, that were kept for long enough.
    pub(super) fn tick_jobs(&mut self, at: Time, out: &mut Vec<Stamped>) {
        while let Some((_, id)) = self.state.jobs.due.first().copied().filter(|(due, _)| *due <= at) {
            let Some(job) = self.state.jobs.get(id) else { return };
            if !job.is_live() {
                self.emit(at, Event::JobForgotten { job: id }, out);
                continue;
            }
            let untold = |target: &Target| {
                let started = target.started.filter(|_| target.runs());
                started.is_some_and(|started| started + job.timeout + limits::JOB_TOLD_WITHIN <= at)
            };
            let untold: Vec<_> = job.targets.iter().filter(|(_, it)| untold(it)).map(|(item, _)| *item).collect();
            let waited = if job.expires <= at { job.waits_on() } else { Vec::new() };
            if !waited.is_empty() {
                self.emit(at, Event::JobExpired { job: id, waited }, out);
            }
            for item in untold {
                let how = JobEnd::Failed("the endpoint did not come back to tell how it ended".to_owned());
                self.emit(at, Event::JobEnded { job: id, item, how, output: String::new() }, out);
            }
        }
    }
}

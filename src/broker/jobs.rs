//! Endpoint automation between the wire and the engine: what is asked for, and what each may see of it (P8.7, P8.8).

use super::{
    port::refused_by,
    resolve::{seen_item, viewer},
    text::{bounded, lines, malformed},
};
use crate::{
    engine::{
        Actor, Command, Refusal, State,
        jobs::{Job, JobEnd, JobOf, NewJob, Target},
    },
    ids::*,
    limits,
    site::JobTemplate,
    time::Span,
    wire::control::{Done, JobEnded, JobTargetView, JobTemplateView, JobView, MakeJob},
};
use std::ops::Bound;

/// What is looked at: the state after the turn answers.
pub enum Look {
    Templates { after: String },
    List { viewer: UserId, before: JobId },
    One { job: JobId, after: u32 },
}

pub fn make(state: &State, actor: Actor, asked: MakeJob) -> Result<Command, Refusal> {
    let MakeJob { template, script, timeout_s, items, lives_s } = asked;
    let of = match (template, script) {
        (Some(template), None) if timeout_s.is_none() => JobOf::Template(template.to_lowercase()),
        (Some(_), None) => return Err(malformed("timeout_s", "a template says for how long its jobs run")),
        (None, Some(text)) => {
            let timeout = timeout_s.map_or(limits::JOB_TIMEOUT, Span::seconds);
            JobOf::Script { text: lines("script", text, limits::SCRIPT_BYTES_MAX)?, timeout }
        }
        _ => return Err(malformed("template", "a job is of a template, or has a script of its own")),
    };
    if items.len() > limits::JOB_ITEMS_MAX {
        return Err(malformed("items", format!("a job is for {} items at most", limits::JOB_ITEMS_MAX)));
    }
    // Whoever may make none learns nothing of items.
    state.may_automate(viewer(actor)?, matches!(of, JobOf::Script { .. }))?;
    let items = items.iter().map(|code| seen_item(state, actor, code)).collect::<Result<_, _>>()?;
    Ok(Command::MakeJob(NewJob { of, items, lives: lives_s.map_or(limits::JOB_LIFE, Span::seconds) }))
}

pub fn ended(said: JobEnded) -> Result<Command, Refusal> {
    let JobEnded { job, exit, reason, output } = said;
    let reason = bounded("reason", reason, limits::NAME_BYTES_MAX)?;
    if output.len() > limits::JOB_OUTPUT_BYTES {
        return Err(malformed("output", format!("longer than {} bytes", limits::JOB_OUTPUT_BYTES)));
    }
    Ok(Command::JobEnded { job: JobId(job), exit, reason, output })
}

pub fn look_at_templates(state: &State, actor: Actor, after: String) -> Result<Look, Refusal> {
    state.reads_jobs(actor)?;
    Ok(Look::Templates { after })
}

pub fn look_at_list(state: &State, actor: Actor, before: Option<u64>) -> Result<Look, Refusal> {
    Ok(Look::List { viewer: state.reads_jobs(actor)?, before: JobId(before.unwrap_or(u64::MAX)) })
}

pub fn look_at_one(state: &State, actor: Actor, job: u64, after: u32) -> Result<Look, Refusal> {
    state.job_seen_by(state.reads_jobs(actor)?, JobId(job))?;
    Ok(Look::One { job: JobId(job), after })
}

pub fn done(state: &State, look: Look) -> Done {
    match look {
        Look::Templates { after } => templates(state, after),
        Look::List { viewer, before } => list(state, viewer, before),
        Look::One { job, after } => one(state, job, after),
    }
}

fn templates(state: &State, after: String) -> Done {
    let rest = state.site.scripts.range::<String, _>((Bound::Excluded(after), Bound::Unbounded));
    let view = |code: &String, template: &JobTemplate| JobTemplateView {
        template: code.clone(),
        name: template.name.clone(),
        description: template.description.clone(),
        timeout_s: template.timeout.0 / 1000,
    };
    let rest = rest.filter_map(|(code, script)| Some(view(code, script.template.as_ref()?)));
    let bytes = |view: &JobTemplateView| view.template.len() + view.name.len() + view.description.len() + 64;
    let (templates, more) = page(rest, bytes);
    Done::JobTemplates { templates, more }
}

fn list(state: &State, viewer: UserId, before: JobId) -> Done {
    let all = state.may_automate(viewer, true).is_ok();
    let theirs = state.jobs.before(before).filter(|(_, job)| all || job.by == viewer);
    let (jobs, more) = page(theirs.map(|(id, job)| summary(state, id, job)), |_| 512);
    Done::Jobs { jobs, more }
}

/// As many as fit a message, at least one; and whether there are more.
fn page<T>(all: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let (mut found, mut room) = (Vec::new(), limits::JOBS_PAGE_BYTES);
    for one in all {
        if found.len() == limits::JOBS_LISTED || (!found.is_empty() && bytes(&one) > room) {
            return (found, true);
        }
        room = room.saturating_sub(bytes(&one));
        found.push(one);
    }
    (found, false)
}

/// One that is not kept any more when its maker is answered has nothing to show.
pub fn one(state: &State, id: JobId, after: u32) -> Done {
    let Some(job) = state.jobs.get(id) else { return Done::Yes {} };
    let rest = job.targets.values().skip(after as usize).map(target);
    let bytes = |view: &JobTargetView| {
        let refused = view.refused.as_ref().map_or(0, |refused| refused.message.len() + refused.rule.len() + 256);
        view.item.len() + view.output.len() + view.reason.len() + refused + 256
    };
    let (targets, more) = page(rest, bytes);
    let next = more.then(|| after.saturating_add(u32::try_from(targets.len()).unwrap_or(u32::MAX)));
    Done::Job { job: Box::new(summary(state, id, job)), targets, next }
}

pub fn summary(state: &State, id: JobId, job: &Job) -> JobView {
    let mut view = JobView {
        job: id.0,
        by: state.site.username(job.by),
        template: job.template.clone(),
        made_at_ms: job.made.0,
        expires_at_ms: job.expires.0,
        ..JobView::default()
    };
    for target in job.targets.values() {
        let count = match target.ended.as_ref().map(|ended| &ended.how) {
            None if target.started.is_some() => &mut view.running,
            None => &mut view.waiting,
            Some(JobEnd::Done(_)) => &mut view.done,
            Some(JobEnd::Failed(_)) => &mut view.failed,
            Some(JobEnd::Cancelled) => &mut view.cancelled,
            Some(JobEnd::Expired) => &mut view.expired,
            Some(JobEnd::Refused(_)) => &mut view.refused,
        };
        *count += 1;
    }
    view
}

fn target(target: &Target) -> JobTargetView {
    let view = JobTargetView {
        item: target.item.clone(),
        state: if target.started.is_some() { "running" } else { "waiting" }.to_owned(),
        started_at_ms: target.started.map(|at| at.0),
        ..JobTargetView::default()
    };
    let Some(ended) = &target.ended else { return view };
    let view = JobTargetView { ended_at_ms: Some(ended.at.0), output: ended.output.clone(), ..view };
    let state = |state: &str| state.to_owned();
    match &ended.how {
        JobEnd::Done(exit) => JobTargetView { state: state("done"), exit: Some(*exit), ..view },
        JobEnd::Failed(reason) => JobTargetView { state: state("failed"), reason: reason.clone(), ..view },
        JobEnd::Cancelled => JobTargetView { state: state("cancelled"), ..view },
        JobEnd::Expired => JobTargetView { state: state("expired"), ..view },
        JobEnd::Refused(refusal) => {
            let refused = Some(Box::new(refused_by((**refusal).clone())));
            JobTargetView { state: state("refused"), refused, ..view }
        }
    }
}

/// What an endpoint that took a job runs; nothing where it was cancelled meanwhile.
pub fn taken(state: &State, id: JobId) -> Done {
    match state.jobs.get(id) {
        Some(job) => Done::JobTaken { job: id.0, script: job.script.clone(), timeout_s: job.timeout.0 / 1000 },
        None => Done::Yes {},
    }
}

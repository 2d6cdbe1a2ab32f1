//! Endpoints that stand by, and jobs on them: what is asked, and a plain account of what became of each (P8.8).

use crate::{
    check::{Checked, ensure},
    history::History,
    rare::Seen,
    world::{Act, Step},
};
use equipoise::{
    engine::{
        Actor, Command, Event, State,
        command::Customer,
        jobs::{JobEnd, JobOf, NewJob, Target},
    },
    ids::*,
    limits,
    time::{Span, Time},
    wire::control::ClientInfo,
};
use std::collections::BTreeMap;

/// The step's act, by this rep; none where there is nothing to do it to.
pub fn request(history: &mut History<'_>, step: &Step, user: UserId) -> Option<(Actor, Command)> {
    let rep = Actor::Party(Party::Rep(user));
    let items: Vec<JumpItemId> = history.state().site.codes.jump_items.values().copied().collect();
    let item = *items.get(step.session % items.len().max(1))?;
    let endpoint = Party::JumpClient(item);
    Some(match step.act {
        Act::StandBy => {
            let Some(key) = history.item_keys.get(&item).copied().filter(|_| !step.dice.is_multiple_of(11)) else {
                let key = history.secret(None);
                history.item_keys.insert(item, key);
                return Some((Actor::System, Command::MakeItemKey { item, key }));
            };
            let there = history.state().parties.get(endpoint).filter(|it| it.connected);
            let (epoch, client) = (there.map(|it| it.epoch), ClientInfo { present: false, ..ClientInfo::default() });
            match (epoch, step.dice % 4) {
                (Some(epoch), 0) => (Actor::System, Command::Lost { party: endpoint, epoch }),
                // It takes up the session that runs on its item, if one does.
                (Some(_), 1) => {
                    let on_it = history.state().sessions_on(item).next_back();
                    let resume = history.secret(on_it.map(Party::Customer));
                    let customer = Customer { client, ..Customer::default() };
                    (Actor::System, Command::Redeem { key, portal: None, customer, resume })
                }
                _ => {
                    let resume = history.secret(Some(endpoint));
                    (Actor::System, Command::StandBy { key, client, resume })
                }
            }
        }
        Act::MakeJob => {
            let of = match step.dice % 5 {
                0 => JobOf::Script { text: "df -h".to_owned(), timeout: Span(1 + step.dice % 90_000) },
                1 => JobOf::Template("lost".to_owned()),
                _ => JobOf::Template("tidy".to_owned()),
            };
            let items = if step.dice.is_multiple_of(3) { items } else { vec![item] };
            (rep, Command::MakeJob(NewJob { of, items, lives: Span(1 + step.dice % 120_000) }))
        }
        Act::TakeJob => {
            (Actor::Party(endpoint), Command::TakeJob { job: some(history, step, |it| it == Stage::Waits)? })
        }
        Act::EndJob => {
            let job = some(history, step, |it| it == Stage::Runs)?;
            // It is told by the endpoint that runs it, most of the time.
            let runs =
                |(key, it): (&(JobId, JumpItemId), &Stage)| (key.0 == job && *it == Stage::Runs).then_some(key.1);
            let on = history.checker.jobs.targets.iter().find_map(runs).filter(|_| !step.dice.is_multiple_of(5));
            let exit = [Some(0), Some(3), None][(step.dice % 3) as usize];
            let (reason, output) = ("it was stopped".to_owned(), "42\n".to_owned());
            (Actor::Party(Party::JumpClient(on.unwrap_or(item))), Command::JobEnded { job, exit, reason, output })
        }
        Act::CancelJob => {
            let job = some(history, step, |it| it != Stage::Over)?;
            let by = history.state().jobs.get(job).map(|job| job.by).filter(|_| !step.dice.is_multiple_of(3));
            (by.map_or(rep, |by| Actor::Party(Party::Rep(by))), Command::CancelJob { job })
        }
        _ => return None,
    })
}

/// A job that is so somewhere, now and then any or none.
fn some(history: &History<'_>, step: &Step, is: impl Fn(Stage) -> bool) -> Option<JobId> {
    let meant = |(_, stage): &(&(JobId, JumpItemId), &Stage)| is(**stage) != step.dice.is_multiple_of(7);
    let jobs: Vec<JobId> = history.checker.jobs.targets.iter().filter(meant).map(|(key, _)| key.0).collect();
    jobs.get(step.session % jobs.len().max(1)).copied()
}

/// Where a job stands on one item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Waits,
    Runs,
    Over,
}

/// Each item of each job that was not forgotten.
#[derive(Default)]
pub struct Jobs {
    pub targets: BTreeMap<(JobId, JumpItemId), Stage>,
}

impl Jobs {
    /// P8.8: begun at most once, over once, and forgotten when it is over everywhere.
    pub fn follow(&mut self, event: &Event, seen: &mut Seen) -> Checked {
        match event {
            Event::JobMade { job, items, .. } => {
                seen.sometimes("a job was made");
                ensure(self.of(*job).next().is_none(), || format!("P8.8: {job} was made twice"))?;
                for item in items {
                    let stage = if item.refused.is_some() { Stage::Over } else { Stage::Waits };
                    self.targets.insert((*job, item.item), stage);
                }
                Ok(())
            }
            Event::JobStarted { job, item } => {
                seen.sometimes("a job began");
                self.goes(*job, *item, &[Stage::Waits], Stage::Runs)
            }
            Event::JobEnded { job, item, how, .. } => {
                if matches!(how, JobEnd::Done(_)) {
                    seen.sometimes("a job was done");
                    return self.goes(*job, *item, &[Stage::Runs], Stage::Over);
                }
                self.goes(*job, *item, &[Stage::Waits, Stage::Runs], Stage::Over)
            }
            Event::JobCancelled { job, waited, .. } => {
                seen.sometimes("a job was cancelled");
                self.over(*job, waited)
            }
            Event::JobExpired { job, waited } => {
                seen.sometimes("a job waited for too long");
                ensure(!waited.is_empty(), || format!("P8.8: {job} expired nowhere"))?;
                self.over(*job, waited)
            }
            Event::JobForgotten { job } => {
                seen.sometimes("a job was forgotten");
                let live = self.of(*job).any(|stage| stage != Stage::Over);
                ensure(!live, || format!("P8.8: {job} was forgotten and goes on"))?;
                self.targets.retain(|(known, _), _| known != job);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// It is over wherever it waited, and nowhere else by this.
    fn over(&mut self, job: JobId, waited: &[JumpItemId]) -> Checked {
        waited.iter().try_for_each(|item| self.goes(job, *item, &[Stage::Waits], Stage::Over))?;
        let waits = self.of(job).any(|stage| stage == Stage::Waits);
        ensure(!waits, || format!("P8.8: {job} waits on where it should not"))
    }

    fn goes(&mut self, job: JobId, item: JumpItemId, from: &[Stage], to: Stage) -> Checked {
        let stage = self.targets.get_mut(&(job, item)).ok_or_else(|| format!("P8.8: {job} is not for {item}"))?;
        ensure(from.contains(stage), || format!("P8.8: {job} on {item} went from {stage:?} to {to:?}"))?;
        *stage = to;
        Ok(())
    }

    fn of(&self, job: JobId) -> impl Iterator<Item = Stage> {
        self.targets.iter().filter(move |(key, _)| key.0 == job).map(|(_, stage)| *stage)
    }

    /// What the state says of each, that none is late, and that nobody has too many.
    pub fn invariants(&self, state: &State, now: Time) -> Checked {
        let stage = |target: &Target| match (target.waits(), target.runs()) {
            (true, _) => Stage::Waits,
            (_, true) => Stage::Runs,
            _ => Stage::Over,
        };
        let all = || state.jobs.before(JobId(u64::MAX));
        let told: BTreeMap<(JobId, JumpItemId), Stage> = all()
            .flat_map(|(id, job)| job.targets.iter().map(move |(item, target)| ((id, *item), stage(target))))
            .collect();
        ensure(told == self.targets, || format!("P8.8: {told:?}, expected {:?}", self.targets))?;
        let mut live: BTreeMap<UserId, usize> = BTreeMap::new();
        for (id, job) in all() {
            for target in job.targets.values().filter(|target| target.ended.is_none()) {
                let until = target.started.map_or(job.expires, |at| at + job.timeout + limits::JOB_TOLD_WITHIN);
                ensure(now < until, || format!("P8.8: {id} was to be over at {until:?}: {target:?}"))?;
                *live.entry(job.by).or_default() += 1;
            }
        }
        ensure(live.values().all(|count| *count <= limits::JOB_TARGETS_LIVE_PER_USER), || format!("P8.8: {live:?}"))
    }
}

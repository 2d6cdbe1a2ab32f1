//! Jobs of endpoint automation on an endpoint that stands by: one at a time, each once (P8.8). What is under way, and how it
//! ended until the broker knows, outlives connections; an endpoint that is started anew says that it knows of nothing.

use super::{plain, shell::Shell};
use crate::{
    client::{ActError, Client, jitter},
    limits,
    wire::{
        Do, Done,
        control::{JobCall, JobEnded},
    },
};
use std::{pin::pin, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Refusals after which the same may be done.
const NOT_YET: [&str; 4] = ["storage_full", "overloaded", "draining", "rate_limited"];

pub(super) struct Jobs {
    /// Its owner lets them run here.
    allowed: bool,
    current: Option<Current>,
    /// Called to take it while another was under way.
    next: Option<u64>,
    says: Vec<String>,
}

struct Current {
    job: u64,
    stop: CancellationToken,
    stage: Stage,
    /// The broker asked meanwhile how it stands.
    asked: bool,
}

enum Stage {
    /// The broker is asked for it; none: there is nothing to run, or nobody knows.
    Takes(JoinHandle<Option<Script>>),
    Runs(JoinHandle<JobEnded>),
    /// The broker is told; true: it knows.
    Tells(JoinHandle<bool>, JobEnded),
    /// The connection ended for good before it was told: it asks on the next one.
    Waits(JobEnded),
}

struct Script {
    text: String,
    time: Duration,
}

impl Jobs {
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, current: None, next: None, says: Vec::new() }
    }

    /// The broker calls: to take a job, to tell how one stands, to stop it.
    pub(super) fn called(&mut self, client: &Client, job: u64, call: JobCall) {
        match &mut self.current {
            Some(current) if current.job == job => {
                if call == JobCall::Stop {
                    current.stop.cancel();
                }
                current.asked |= call != JobCall::Take;
                if let Stage::Waits(ended) = &current.stage {
                    let ended = ended.clone();
                    current.tell(client, ended);
                }
            }
            Some(_) if call == JobCall::Take => self.next = Some(job),
            None if call == JobCall::Take => self.take(client, job),
            // An earlier run of this endpoint took it, or another endpoint did.
            _ => drop(tell(client.clone(), lost(job))),
        }
    }

    fn take(&mut self, client: &Client, job: u64) {
        let takes = tokio::spawn(taken(client.clone(), job));
        let stop = CancellationToken::new();
        self.current = Some(Current { job, stop, stage: Stage::Takes(takes), asked: false });
    }

    /// Waits for the next step of what is under way; never ends where nothing is.
    pub(super) async fn step(&mut self, client: &Client) {
        let Some(current) = &mut self.current else { return std::future::pending().await };
        let job = current.job;
        match &mut current.stage {
            Stage::Takes(takes) => match takes.await.ok().flatten() {
                Some(_) if !self.allowed => {
                    self.says.push(format!("Job {job} was turned away."));
                    current.tell(client, failed(job, "the owner of this computer lets no jobs run on it"));
                }
                Some(script) => {
                    self.says.push(format!("Job {job} begins."));
                    current.stage = Stage::Runs(tokio::spawn(run(job, script, current.stop.clone())));
                }
                None if current.asked => current.tell(client, lost(job)),
                None => self.leave(client),
            },
            Stage::Runs(runs) => {
                let ended = runs.await.unwrap_or_else(|_| failed(job, "the endpoint made a mistake"));
                self.says.push(match ended.exit {
                    Some(exit) => format!("Job {job} ended with {exit}."),
                    None => format!("Job {job} did not come to its end: {}.", plain(&ended.reason)),
                });
                current.tell(client, ended);
            }
            Stage::Tells(knows, ended) => match knows.await {
                Ok(true) => self.leave(client),
                _ if current.asked => {
                    let ended = ended.clone();
                    current.tell(client, ended);
                }
                _ => current.stage = Stage::Waits(ended.clone()),
            },
            Stage::Waits(_) => std::future::pending().await,
        }
    }

    fn leave(&mut self, client: &Client) {
        self.current = None;
        if let Some(next) = self.next.take() {
            self.take(client, next);
        }
    }

    /// What the person who sits here may want to know.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.says)
    }

    /// Ends what runs, and waits until it is gone.
    pub(super) async fn end(self) {
        if let Some(Current { stop, stage: Stage::Runs(runs), .. }) = self.current {
            stop.cancel();
            // What became of it nobody is told here: the next run of this endpoint does.
            let _ = runs.await;
        }
    }
}

impl Current {
    fn tell(&mut self, client: &Client, ended: JobEnded) {
        self.asked = false;
        self.stage = Stage::Tells(tell(client.clone(), ended.clone()), ended);
    }
}

/// Whatever becomes of the connection, nobody is handed it again.
async fn taken(client: Client, job: u64) -> Option<Script> {
    match ask(&client, Do::TakeJob { job }).await {
        Ok(Done::JobTaken { script, timeout_s, .. }) => {
            Some(Script { text: script, time: Duration::from_secs(timeout_s) })
        }
        _ => None,
    }
}

async fn run(job: u64, script: Script, stop: CancellationToken) -> JobEnded {
    if stop.is_cancelled() {
        return failed(job, "it was stopped");
    }
    let (mut shell, mut written) = match Shell::script(&script.text) {
        Ok(started) => started,
        Err(error) => return failed(job, &shortened(error.to_string())),
    };
    let mut tail = Tail::default();
    let mut over = pin!(tokio::time::sleep(script.time));
    let cut = loop {
        tokio::select! {
            bytes = written.recv() => match bytes {
                Some(bytes) => tail.push(&bytes),
                None => break None,
            },
            () = stop.cancelled() => break Some("it was stopped"),
            () = &mut over => break Some("its time was over"),
        }
    };
    let exit = if cut.is_none() { shell.left().await } else { None };
    shell.end().await;
    let reason = cut.or(exit.is_none().then_some("it wrote nothing more and did not end"));
    JobEnded { exit, output: tail.text(), ..failed(job, reason.unwrap_or_default()) }
}

fn lost(job: u64) -> JobEnded {
    failed(job, "the endpoint was started anew, or lost the connection as it took it")
}

fn failed(job: u64, reason: &str) -> JobEnded {
    JobEnded { job, reason: reason.to_owned(), ..JobEnded::default() }
}

/// Across broken connections; a refusal says that the broker knows already.
fn tell(client: Client, ended: JobEnded) -> JoinHandle<bool> {
    tokio::spawn(async move { !matches!(ask(&client, Do::JobEnded(ended)).await, Err(ActError::Closed { .. })) })
}

/// Until the broker has looked at it: one that cannot write, or is about to go, has not.
async fn ask(client: &Client, act: Do) -> Result<Done, ActError> {
    let mut tries = 0;
    loop {
        match client.act(act.clone()).await {
            Err(ActError::Refused(refused)) if NOT_YET.contains(&refused.code.as_str()) => {
                tokio::time::sleep(jitter(tries)).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}

fn shortened(text: String) -> String {
    let text = plain(&text);
    text[..text.floor_char_boundary(limits::NAME_BYTES_MAX)].to_owned()
}

/// The end of what was written.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let beyond = self.0.len().saturating_sub(2 * limits::JOB_OUTPUT_BYTES);
        self.0.drain(..beyond);
    }

    /// Lines end as in a file; what is no text is shown as that.
    fn text(self) -> String {
        let text = String::from_utf8_lossy(&self.0).replace("\r\n", "\n");
        let from = text.len().saturating_sub(limits::JOB_OUTPUT_BYTES);
        text[text.ceil_char_boundary(from)..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, timeout_s: u64) -> Script {
        Script { text: text.to_owned(), time: Duration::from_secs(timeout_s) }
    }

    async fn ended(script: &str, timeout_s: u64) -> JobEnded {
        run(1, of(script, timeout_s), CancellationToken::new()).await
    }

    #[tokio::test]
    async fn p8_8_a_job_ends_with_its_exit_code_and_the_end_of_what_it_wrote() {
        let said = ended("echo on; echo two >&2; exit 3", 60).await;
        assert_eq!((said.exit, said.reason.as_str(), said.output.as_str()), (Some(3), "", "on\ntwo\n"));
        let said = ended("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done", 60).await;
        assert_eq!((said.exit, said.output.len()), (Some(0), limits::JOB_OUTPUT_BYTES));
        assert!(said.output.ends_with("line 1998\nline 1999\n"));
        let said = ended("printf '\\377ok'", 60).await;
        assert_eq!(said.output, "\u{fffd}ok");
    }

    #[tokio::test]
    async fn p8_8_a_job_is_ended_when_its_time_is_over_or_it_is_cancelled() {
        let said = ended("echo begun; exec sleep 1000", 1).await;
        assert_eq!((said.exit, said.reason.as_str(), said.output.as_str()), (None, "its time was over", "begun\n"));
        let stop = CancellationToken::new();
        let runs = tokio::spawn(run(1, of("exec sleep 1000", 60), stop.clone()));
        stop.cancel();
        let said = runs.await.unwrap();
        assert_eq!((said.exit, said.reason.as_str()), (None, "it was stopped"));
    }
}

//! Endpoint automation at the console (P8.7, P8.8): templates, jobs made of them or of a script of one's own, and how they
//! went.

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
    view::View,
    words::Words,
};
use crate::{
    client::ActError,
    limits,
    wire::{
        Do, Done,
        control::{JobTargetView, JobTemplateView, JobView, MakeJob},
    },
};
use serde_json::json;
use std::{fs::File, io::Read, time::Duration};

/// What a person waits for a job at most; it goes on all the same.
const OVER_WITHIN: Duration = Duration::from_secs(3600);

/// A job as it was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The code of a template, or the file of a script.
    of: Of,
    items: Vec<String>,
    hours: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Of {
    Template(String),
    File { path: String, timeout_s: Option<u64> },
}

impl Asked {
    pub fn of(words: &mut Words<'_>) -> Result<Self, String> {
        let hours = words.option("--for")?.map(|text| words.parse(&text)).transpose()?;
        let timeout_s = words.option("--timeout")?.map(|text| words.parse(&text)).transpose()?;
        let of = match words.option("--script")? {
            Some(path) => Of::File { path, timeout_s },
            None if timeout_s.is_some() => return Err("job: --timeout is for --script: a template has its own".into()),
            None => Of::Template(words.need("a template, or --script FILE")?),
        };
        let mut items = vec![words.need("the code of a jump item")?];
        items.extend(std::iter::from_fn(|| words.maybe()));
        Ok(Self { of, items, hours })
    }
}

pub async fn templates(console: &Console) -> Result<Answer, Fault> {
    let (mut all, mut after) = (Vec::<JobTemplateView>::new(), Some(String::new()));
    while let Some(from) = after {
        match console.hub.client.act(Do::JobTemplates { after: from }).await? {
            Done::JobTemplates { templates, more } => {
                after = templates.last().filter(|_| more).map(|last| last.template.clone());
                all.extend(templates);
            }
            done => return Err(strange(&done)),
        }
    }
    let line = |one: &JobTemplateView| {
        let about = if one.description.is_empty() { String::new() } else { format!(": {}", plain(&one.description)) };
        format!("{} ({}, {} s){about}", plain(&one.template), plain(&one.name), one.timeout_s)
    };
    Ok(Answer::new(lines("no template", all.iter().map(line)), json!({ "templates": all })))
}

pub async fn make(console: &Console, asked: Asked) -> Result<Answer, Fault> {
    let Asked { of, items, hours } = asked;
    let lives_s = hours.map(|hours| hours.saturating_mul(3600));
    let job = MakeJob { items, lives_s, ..MakeJob::default() };
    let job = match of {
        Of::Template(template) => MakeJob { template: Some(template), ..job },
        Of::File { path, timeout_s } => MakeJob { script: Some(read(&path)?), timeout_s, ..job },
    };
    match console.hub.client.act(Do::MakeJob(job)).await? {
        Done::Job { job, targets, next } => rest(console, *job, targets, next).await,
        done => Err(strange(&done)),
    }
}

fn read(path: &str) -> Result<String, Fault> {
    let wrong = |why: String| Fault::Wrong(format!("`{}` is no script: {why}", plain(path)));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(limits::SCRIPT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() > limits::SCRIPT_BYTES_MAX {
        return Err(wrong(format!("it is longer than {} bytes", limits::SCRIPT_BYTES_MAX)));
    }
    String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
}

pub async fn list(console: &Console, before: Option<u64>) -> Result<Answer, Fault> {
    match console.hub.client.act(Do::Jobs { before }).await? {
        Done::Jobs { jobs, more } => {
            let next = jobs.last().filter(|_| more).map(|last| last.job);
            let mut text = lines("no job", jobs.iter().map(line));
            if let Some(next) = next {
                text.push_str(&format!("\nmore: `jobs {next}`"));
            }
            Ok(Answer::new(text, json!({"jobs": jobs, "next": next})))
        }
        done => Err(strange(&done)),
    }
}

/// How it stands on each item; with `wait` once it is over.
pub async fn result(console: &Console, job: u64, wait: bool) -> Result<Answer, Fault> {
    loop {
        let connections = console.hub.look(|view| view.connections);
        match console.hub.client.act(Do::Job { job, after: 0 }).await {
            Ok(Done::Job { job: view, .. }) if wait && view.waiting + view.running > 0 => {}
            Ok(Done::Job { job, targets, next }) => return rest(console, *job, targets, next).await,
            Ok(done) => return Err(strange(&done)),
            // The broker is about to go: the next one knows.
            Err(ActError::Refused(refused)) if wait && refused.code == "draining" => {}
            Err(error) => return Err(error.into()),
        }
        // Nobody says again what was over while the line was not there.
        let look_again = |view: &mut View| view.jobs_over.remove(&job) || view.connections != connections;
        console.hub.until(OVER_WITHIN, |view| look_again(view).then_some(())).await?;
    }
}

/// A job whose items came in several answers.
async fn rest(
    console: &Console,
    job: JobView,
    mut targets: Vec<JobTargetView>,
    mut next: Option<u32>,
) -> Result<Answer, Fault> {
    while let Some(after) = next {
        match console.hub.client.act(Do::Job { job: job.job, after }).await? {
            Done::Job { targets: more, next: on, .. } => {
                targets.extend(more);
                next = on.filter(|on| *on > after);
            }
            done => return Err(strange(&done)),
        }
    }
    let all = std::iter::once(line(&job)).chain(targets.iter().map(target));
    Ok(Answer::new(lines("", all), json!({"job": job, "targets": targets})))
}

pub fn line(job: &JobView) -> String {
    let counts = [
        (job.waiting, "waiting"),
        (job.running, "running"),
        (job.done, "done"),
        (job.failed, "failed"),
        (job.cancelled, "cancelled"),
        (job.expired, "expired"),
        (job.refused, "refused"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}"));
    let of = job.template.as_deref().map_or_else(|| "a script".to_owned(), plain);
    format!("job {} of {} ({of}): {}", job.job, plain(&job.by), counts.collect::<Vec<_>>().join(", "))
}

fn target(one: &JobTargetView) -> String {
    let more = match (one.exit, &one.refused) {
        (Some(exit), _) => format!(" with {exit}"),
        (None, Some(refused)) => {
            let source = refused.source.as_deref().map_or_else(String::new, |source| format!(", by {}", plain(source)));
            format!(": {} ({}{source})", plain(&refused.message), plain(&refused.rule))
        }
        (None, None) if !one.reason.is_empty() => format!(": {}", plain(&one.reason)),
        (None, None) => String::new(),
    };
    let output = one.output.trim_end().lines().map(|line| format!("\n    {}", plain(line))).collect::<String>();
    format!("  {}: {}{more}{output}", plain(&one.item), plain(&one.state))
}

fn lines(none: &str, all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { none.to_owned() } else { all.join("\n") }
}

fn strange(done: &Done) -> Fault {
    Fault::Wrong(format!("the broker answered something else: {done:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::Refused;

    #[test]
    fn p8_7_a_job_reads_as_it_is_typed() {
        let asked = |line: &str| Asked::of(&mut Words::of("job", line).unwrap());
        let of = |of: Of, hours| Ok(Asked { of, items: vec!["srv-1".into(), "srv-2".into()], hours });
        assert_eq!(asked("tidy srv-1 srv-2 --for 8"), of(Of::Template("tidy".into()), Some(8)));
        let file = |timeout_s| Of::File { path: "a b.sh".into(), timeout_s };
        assert_eq!(asked("--script 'a b.sh' --timeout 5 srv-1 srv-2"), of(file(Some(5)), None));
        assert_eq!(asked("tidy").unwrap_err(), "job needs the code of a jump item");
        assert_eq!(asked("").unwrap_err(), "job needs a template, or --script FILE");
        assert!(asked("tidy srv-1 --timeout 5").unwrap_err().contains("for --script"));
    }

    #[test]
    fn p8_8_a_result_says_how_it_went_on_each_item() {
        let job = JobView {
            job: 3,
            by: "ana".into(),
            template: Some("tidy".into()),
            done: 1,
            refused: 2,
            ..JobView::default()
        };
        assert_eq!(line(&job), "job 3 of ana (tidy): 1 done, 2 refused");
        let one = |state: &str| JobTargetView { item: "srv".into(), state: state.into(), ..JobTargetView::default() };
        let done = JobTargetView { exit: Some(2), output: "a\n\u{1b}b\n".into(), ..one("done") };
        assert_eq!(target(&done), "  srv: done with 2\n    a\n    \u{fffd}b");
        let refused = Refused {
            code: "not_permitted".into(),
            rule: "P8.1".into(),
            message: "no".into(),
            at: None,
            tool: None,
            source: Some("jump_group:servers".into()),
            retry_after_ms: None,
        };
        let refused = JobTargetView { refused: Some(Box::new(refused)), ..one("refused") };
        assert_eq!(target(&refused), "  srv: refused: no (P8.1, by jump_group:servers)");
        assert_eq!(target(&one("waiting")), "  srv: waiting");
        assert_eq!(
            target(&JobTargetView { reason: "its time was over".into(), ..one("failed") }),
            "  srv: failed: its time was over"
        );
    }
}

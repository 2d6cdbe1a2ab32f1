//! `simulate`: a scenario in virtual time, as lines for machines, a table for people or a page for a browser (contract
//! C2); or the commands of a journal, decided again.

use super::{
    out::{Failure, Out},
    runtime, site,
};
use crate::{
    journal,
    simulate::{self, Again, Heading, Line, Scenario, again::Same, scenario::Plan},
    time::Time,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Lines are written in batches of about so much.
const BATCH_BYTES: usize = 64 * 1024;
/// How often, in lines, progress is shown and Ctrl-C looked for.
const LINES_BETWEEN_LOOKS: u64 = 4096;

#[derive(Args, Debug)]
pub(super) struct SimulateArgs {
    /// Scenario file, JSON; a site file that it names is looked for beside it
    #[arg(required_unless_present = "from_journal", conflicts_with = "from_journal")]
    file: Option<PathBuf>,
    /// Decide the commands of a journal again and compare: a data folder, a site's folder in it, or a database
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "html")]
    from_journal: Option<PathBuf>,
    /// JSON for machines: one object a line
    #[arg(long)]
    json: bool,
    /// With arrivals or a journal: also say everything that happens, not only what it comes to
    #[arg(long)]
    events: bool,
    /// Write a page with charts, whole in itself, to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    match (&args.from_journal, &args.file) {
        (Some(place), _) => from_journal(place, &args),
        (None, Some(file)) => scenario(file, &args),
        (None, None) => Err(Failure::Usage("name a scenario file".into())),
    }
}

fn scenario(file: &Path, args: &SimulateArgs) -> Result<(), Failure> {
    let scenario = load(file)?;
    let planning = matches!(scenario.plan, Plan::Arrivals { .. });
    let heading = Heading { site: scenario.site.name.clone(), start_ms: scenario.start_ms, target: scenario.target };
    let (lines, json) = (args.events || !planning, args.json);
    let watch = Watch::new(scenario.horizon())?;
    let mut printer = Printer { json, batch: String::new() };
    let mut told = 0_u64;
    let report = simulate::run(scenario, &mut |line: Line| {
        told += 1;
        if told.is_multiple_of(LINES_BETWEEN_LOOKS) {
            watch.look(line.at)?;
        }
        if lines { printer.print(&line) } else { Ok(()) }
    })?;
    printer.flush()?;
    watch.done();
    if let Some(path) = &args.html {
        write_whole(path, &simulate::page(&heading, &report))?;
    }
    match (json, planning) {
        (true, true) => Out.json(&report),
        (true, false) => Ok(()),
        (false, _) if lines => Out.bytes(format!("\n{report}").as_bytes()),
        (false, _) => Out.bytes(report.to_string().as_bytes()),
    }
}

fn load(file: &Path) -> Result<Scenario, Failure> {
    let named = |message: &str| Failure::Usage(format!("{}: {message}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| named(&e.to_string()))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut unread = None;
    let scenario = Scenario::parse(&text, |path| {
        site::load(&folder.join(path)).map_err(|failure| {
            unread = Some(failure);
            "it is not sound".to_owned()
        })
    });
    match (scenario, unread) {
        (Ok(scenario), _) => Ok(scenario),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(named(&error.to_string())),
    }
}

fn from_journal(place: &Path, args: &SimulateArgs) -> Result<(), Failure> {
    let mut again = Again::new();
    let mut printer = Printer { json: args.json, batch: String::new() };
    let watch = Watch::endless()?;
    for row in journal::read(place).map_err(|e| Failure::failed(&e))? {
        let row = row.map_err(|e| Failure::failed(&e))?;
        watch.look(Time(row.seq.0))?;
        let mut printed = Ok(());
        let compared = again.record(row.seq, &row.turn, &mut |line| {
            if args.events && printed.is_ok() {
                printed = printer.print(&line);
            }
        });
        printed?;
        if let Err(difference) = compared {
            printer.flush()?;
            if args.json {
                Out.json(&serde_json::json!({ "equal": false, "difference": difference }))?;
            }
            let say = |stamped: &Option<_>| match stamped {
                Some(stamped) => serde_json::to_string(stamped).unwrap_or_default(),
                None => "nothing".to_owned(),
            };
            let refused = difference.refused.as_ref().map(|why| format!("\nrefused: {why}")).unwrap_or_default();
            return Err(Failure::Failed(format!(
                "record {}, event {}: it comes out otherwise\nwas: {}\nis:  {}{refused}",
                difference.record,
                difference.event,
                say(&difference.was),
                say(&difference.is)
            )));
        }
    }
    printer.flush()?;
    let Same { records, events } = again.end().map_err(Failure::Failed)?;
    if args.json {
        return Out.json(&serde_json::json!({ "equal": true, "records": records, "events": events }));
    }
    Out.line(&format!("{records} records decided again: all {events} events and the state came out as they were"))
}

/// Lines, written in batches.
struct Printer {
    json: bool,
    batch: String,
}

impl Printer {
    fn print(&mut self, line: &Line) -> Result<(), Failure> {
        self.batch += &if self.json { line.json() } else { line.to_string() };
        self.batch.push('\n');
        if self.batch.len() < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Out.bytes(std::mem::take(&mut self.batch).as_bytes())
    }
}

/// Shows how far a run is, where standard error is a terminal, and ends it on Ctrl-C between two lines.
struct Watch {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Watch {
    /// Up to this moment of virtual time.
    fn new(horizon: Time) -> Result<Self, Failure> {
        let style = ProgressStyle::with_template("{bar:40} {percent} % of virtual time, {elapsed} gone, {eta} to go");
        Self::with(ProgressBar::new(horizon.0), style)
    }

    /// Nobody knows how much there is.
    fn endless() -> Result<Self, Failure> {
        Self::with(ProgressBar::no_length(), ProgressStyle::with_template("{spinner} {pos} records, {elapsed}"))
    }

    fn with(bar: ProgressBar, style: Result<ProgressStyle, indicatif::style::TemplateError>) -> Result<Self, Failure> {
        bar.set_style(style.expect("the template is sound"));
        let interrupted = Arc::new(AtomicBool::new(false));
        let runtime = runtime(1)?;
        let heard = interrupted.clone();
        runtime.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                heard.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { bar, interrupted, _runtime: runtime })
    }

    fn look(&self, at: Time) -> Result<(), Failure> {
        self.bar.set_position(at.0);
        if self.interrupted.load(Ordering::Relaxed) {
            self.bar.finish_and_clear();
            return Err(Failure::Failed("interrupted".into()));
        }
        Ok(())
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// Beside its place first, so that a page is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let beside = path.with_extension("html.tmp");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        Failure::Failed(format!("{}: {error}", path.display()))
    })
}

//! Sending and fetching files, with progress and a checksum at the end (W6.2).

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::{
    client::{
        file::{Landing, Source, landing_place},
        transfer::{self, Facts, Pace, TransferError},
    },
    limits,
    wire::{
        control::{Opened, Value},
        frame::CloseReason,
    },
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{io::IsTerminal, path::Path, time::Duration};

/// Sends `local` to `remote` on the customer's machine.
pub async fn put(console: &Console, local: &str, remote: &str, overwrite: bool) -> Result<Answer, Fault> {
    let source = Source::open(Path::new(local))?;
    let mut args = Facts::from([
        ("direction".to_owned(), Value::Text("upload".into())),
        ("rep_path".to_owned(), own_path(Path::new(local))?),
        ("path".to_owned(), Value::Text(remote.into())),
        ("size".to_owned(), transfer::int(source.size())),
        ("overwrite".to_owned(), Value::Bool(overwrite)),
    ]);
    if let Some(name) = Path::new(local).file_name().and_then(|name| name.to_str()) {
        args.insert("name".into(), Value::Text(name.into()));
    }
    let opened = console.open("file_transfer", args).await?;
    let channel = channel(&opened)?;
    let mut writer = console.hub.client.writer(&opened.channels[0]);
    let sent = async {
        let mut pace = Pace::free();
        let bar = progress(console, source.size(), &pace);
        let sent = transfer::send(&mut writer, source, &mut pace).await;
        bar.finish_and_clear();
        let source = sent?;
        let note = Facts::from([("sha256".to_owned(), Value::Text(source.sha256()))]);
        console.note(opened.session, channel, note).await?;
        fact(console, &opened, "stored").await?;
        Ok(source)
    };
    match sent.await {
        Ok(source) => {
            // It is stored; how the channel ends changes nothing.
            let _ = writer.finish().await;
            Ok(answer("sent", source.size(), &source.sha256(), remote))
        }
        Err(fault) => {
            failed(console, &opened, channel, &fault).await;
            writer.cancel(CloseReason::Failed).await;
            Err(fault)
        }
    }
}

/// Fetches `remote` from the customer's machine to `local`, or into it where that is a directory.
pub async fn get(console: &Console, remote: &str, local: &str, overwrite: bool) -> Result<Answer, Fault> {
    let name = remote.rsplit(['/', '\\']).next().unwrap_or_default();
    let target = if Path::new(local).is_dir() { Path::new(local).join(name) } else { local.into() };
    let (dir, file) = landing_place(&target)?;
    let mut landing = Landing::begin(dir, &file, overwrite, None)?;
    let args = Facts::from([
        ("direction".to_owned(), Value::Text("download".into())),
        ("rep_path".to_owned(), own_path(&target)?),
        ("path".to_owned(), Value::Text(remote.into())),
    ]);
    let opened = console.open("file_transfer", args).await?;
    let channel = channel(&opened)?;
    let mut reader = console.hub.client.reader(&opened.channels[0]);
    let stored = async {
        let size = transfer::number(&opened.facts, "size").unwrap_or(0);
        landing.declare(size)?;
        let mut pace = Pace::free();
        let bar = progress(console, size, &pace);
        let landed = transfer::receive(&mut reader, landing, &mut pace).await;
        bar.finish_and_clear();
        let sha256 = fact(console, &opened, "sha256").await;
        let stored = transfer::commit(landed?, sha256?).await?;
        let note =
            [("stored".to_owned(), Value::Bool(true)), ("sha256".to_owned(), Value::Text(stored.sha256.clone()))];
        console.note(opened.session, channel, Facts::from(note)).await?;
        Ok(stored)
    };
    match stored.await {
        Ok(stored) => {
            // The writer closes, now that it knows; a reader that went first would look like a cut.
            let _ = tokio::time::timeout(Duration::from_millis(limits::TOOL_ANSWER.0), reader.read()).await;
            Ok(answer("fetched", stored.size, &stored.sha256, &target.to_string_lossy()))
        }
        Err(fault) => {
            failed(console, &opened, channel, &fault).await;
            reader.cancel(CloseReason::Failed).await;
            Err(fault)
        }
    }
}

/// Where the file is at this end, for the site's limits on that (P3.8).
fn own_path(path: &Path) -> Result<Value, Fault> {
    let path = std::path::absolute(path)?;
    let parent = path.parent().map(Path::canonicalize).transpose()?.unwrap_or_default();
    let path = path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
    let text = path.into_os_string().into_string();
    text.map(Value::Text).map_err(|_| Fault::Wrong("the local path is not UTF-8".into()))
}

fn channel(opened: &Opened) -> Result<u32, Fault> {
    opened.channels.first().map(|channel| channel.channel).ok_or_else(|| Fault::Wrong("no channel was opened".into()))
}

/// Waits for what the other end notes about the channel; its `failed` is an error.
pub async fn fact(console: &Console, opened: &Opened, name: &str) -> Result<String, Fault> {
    let channel = channel(opened)?;
    let so_long = Duration::from_millis(limits::TOOL_ANSWER.0);
    let noted = console.hub.until(so_long, |view| {
        let facts = view.notes.get(&channel);
        if let Some(why) = facts.and_then(|facts| transfer::text(facts, "failed")) {
            return Some(Err(TransferError::Other(plain(why))));
        }
        match facts.and_then(|facts| facts.get(name)) {
            Some(Value::Text(text)) => Some(Ok(text.clone())),
            Some(Value::Bool(true)) => Some(Ok(String::new())),
            Some(Value::Int(number)) => Some(Ok(number.to_string())),
            _ => {
                let over = || view.gone.contains_key(&opened.session).then_some("session_ended");
                let reason = view.closed.get(&channel).map(String::as_str).or_else(over)?;
                Some(Err(TransferError::Other(format!("the channel was closed: {}", plain(reason)))))
            }
        }
    });
    Ok(noted.await??)
}

/// Says why to the other end; where the channel is already gone it knows.
async fn failed(console: &Console, opened: &Opened, channel: u32, fault: &Fault) {
    if matches!(fault, Fault::File(_) | Fault::Transfer(TransferError::File(_) | TransferError::Silent)) {
        let facts = Facts::from([("failed".to_owned(), Value::Text(fault.to_string()))]);
        let _ = console.note(opened.session, channel, facts).await;
    }
}

fn answer(verb: &str, size: u64, sha256: &str, target: &str) -> Answer {
    let text = format!("{verb} {size} bytes, {}\nSHA-256 {sha256}", plain(target));
    Answer::new(text, json!({"bytes": size, "sha256": sha256, "path": target}))
}

/// On a terminal only; it follows the transfer by itself.
fn progress(console: &Console, size: u64, pace: &Pace) -> ProgressBar {
    if console.hub.out.json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (shown, mut done) = (bar.clone(), pace.done.subscribe());
    tokio::spawn(async move {
        while done.changed().await.is_ok() {
            shown.set_position(*done.borrow());
        }
    });
    bar
}

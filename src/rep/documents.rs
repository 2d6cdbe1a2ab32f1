//! What the customer's machine answers with one document: what it is, its directories.

use super::{
    Fault,
    console::{Answer, Console},
    files::fact,
    filter::plain,
    screen,
};
use crate::{
    client::{ChannelEnd, transfer::Facts},
    limits,
    wire::{control::Value, frame::CloseReason},
};
use serde_json::Value as Json;
use std::path::Path;

/// What machine it is.
pub async fn info(console: &Console) -> Result<Answer, Fault> {
    let document = json_of(console, "system_info", Facts::new()).await?;
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    Ok(Answer::new(text.lines().map(plain).collect::<Vec<_>>().join("\n"), document))
}

/// What runs there.
pub async fn processes(console: &Console) -> Result<Answer, Fault> {
    let document = json_of(console, "system_info_actions", texts(&[("action", "processes")])).await?;
    let one = |process: &Json| {
        let (pid, memory) = (process["pid"].as_u64().unwrap_or(0), process["memory"].as_u64().unwrap_or(0));
        format!("{pid:>8} {:>8} MiB  {}", memory >> 20, plain(process["name"].as_str().unwrap_or("?")))
    };
    let lines: Vec<_> = document["processes"].as_array().into_iter().flatten().map(one).collect();
    Ok(Answer::new(lines.join("\n"), document))
}

pub async fn end_process(console: &Console, pid: u32) -> Result<Answer, Fault> {
    let args = texts(&[("action", "end_process"), ("target", &pid.to_string())]);
    let document = json_of(console, "system_info_actions", args).await?;
    Ok(Answer::new(format!("process {pid} was told to end"), document))
}

/// One picture of the screen, into a file.
pub async fn capture(console: &Console, file: &str) -> Result<Answer, Fault> {
    let picture = read(console, "screen_capture", Facts::new()).await?;
    if !picture.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(Fault::Wrong("the endpoint sent no PNG".into()));
    }
    screen::write(Path::new(file), &picture)?;
    let said = format!("{} bytes of PNG are in {}", picture.len(), plain(file));
    Ok(Answer::new(said, serde_json::json!({"file": file, "bytes": picture.len()})))
}

/// What is in a directory.
pub async fn list(console: &Console, path: &str) -> Result<Answer, Fault> {
    let document = json_of(console, "file_manager", texts(&[("verb", "list"), ("path", path)])).await?;
    let entries = document["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines: Vec<String> = entries.iter().map(line).collect();
    if document["more"] == true {
        lines.push(format!("and more than these {}", entries.len()));
    }
    if lines.is_empty() {
        lines.push("nothing".into());
    }
    Ok(Answer::new(lines.join("\n"), document))
}

/// Renames, deletes or makes.
pub async fn change(console: &Console, verb: &str, path: &str, to: Option<&str>) -> Result<Answer, Fault> {
    let mut args = texts(&[("verb", verb), ("path", path)]);
    args.extend(to.map(|to| ("to".to_owned(), Value::Text(to.to_owned()))));
    let document = json_of(console, "file_manager", args).await?;
    let said = match (verb, to) {
        ("rename", Some(to)) => format!("{} is {}", plain(path), plain(to)),
        ("delete", _) => format!("{} is deleted", plain(path)),
        _ => format!("{} is made", plain(path)),
    };
    Ok(Answer::new(said, document))
}

/// Arguments that are texts.
pub fn texts(pairs: &[(&str, &str)]) -> Facts {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Value::Text((*text).to_owned()))).collect()
}

async fn json_of(console: &Console, tool: &str, args: Facts) -> Result<Json, Fault> {
    let document = read(console, tool, args).await?;
    serde_json::from_slice(&document).map_err(|error| Fault::Wrong(format!("the endpoint sent no JSON: {error}")))
}

/// Opens a tool that answers with a document and reads it whole.
pub async fn read(console: &Console, tool: &str, args: Facts) -> Result<Vec<u8>, Fault> {
    let opened = console.open(tool, args).await?;
    let channel = opened.channels.first().ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
    let (mut reader, mut document) = (console.hub.client.reader(channel), Vec::new());
    loop {
        match reader.read().await {
            Ok(None) => return Ok(document),
            Ok(Some(chunk)) => document.extend_from_slice(&chunk.bytes),
            Err(ChannelEnd { reason: CloseReason::Failed, .. }) => {
                fact(console, &opened, "failed").await?;
                return Err(Fault::Wrong("the endpoint could not do it".into()));
            }
            Err(end) => return Err(end.into()),
        }
        if document.len() > limits::DOCUMENT_BYTES_MAX {
            reader.cancel(CloseReason::Cancelled).await;
            return Err(Fault::Wrong("the document is too long".into()));
        }
    }
}

/// `2026-01-31 09:30        1234  name`; directories and links end with `/` and `@`.
fn line(entry: &Json) -> String {
    let modified = entry["modified_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let modified = modified.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let end = match entry["kind"].as_str() {
        Some("directory") => "/",
        Some("link") => "@",
        _ => "",
    };
    let name = plain(entry["name"].as_str().unwrap_or("?"));
    format!("{modified:16} {:>12}  {name}{end}", entry["size"].as_u64().unwrap_or(0))
}

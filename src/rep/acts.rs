//! What a rep does at once on the customer's machine: scripts, pages, a restart, the clipboard.

use super::{
    Fault,
    console::{Answer, Console},
    documents::texts,
    files::fact,
    filter::{Filter, plain},
};
use crate::{
    client::{ChannelEnd, transfer::Facts},
    limits,
    wire::{Flags, Kind, frame::CloseReason},
};
use serde_json::json;

/// Runs a script of the rep's team; what it writes is shown as it comes.
pub async fn script(console: &Console, code: &str) -> Result<Answer, Fault> {
    let opened = console.open("canned_scripts", texts(&[("script", code)])).await?;
    let channel = opened.channels.first().ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
    let (mut reader, mut filter, mut all) = (console.hub.client.reader(channel), Filter::default(), String::new());
    loop {
        match reader.read().await {
            Ok(Some(chunk)) => {
                let clean = filter.pass(&chunk.bytes);
                if !console.hub.out.json() {
                    console.hub.out.raw(&clean);
                } else if all.len() < limits::DOCUMENT_BYTES_MAX {
                    all += &String::from_utf8_lossy(&clean);
                }
            }
            Ok(None) => break,
            Err(ChannelEnd { reason: CloseReason::Failed, .. }) => {
                fact(console, &opened, "failed").await?;
                return Err(Fault::Wrong("the script could not be run".into()));
            }
            Err(end) => return Err(end.into()),
        }
    }
    match fact(console, &opened, "exit").await?.as_str() {
        "0" => Ok(Answer::new("the script ended with 0", json!({"exit": 0, "output": all}))),
        exit => Err(Fault::Wrong(format!("the script ended with {}", plain(exit)))),
    }
}

/// An act without channels: done once the other end has taken it up.
pub async fn plain_act(console: &Console, tool: &str, args: Facts, said: &str) -> Result<Answer, Fault> {
    let opened = console.open(tool, args).await?;
    Ok(Answer::new(said, json!({"opened": opened.open, "tool": tool})))
}

/// Puts a text into the customer's clipboard, or fetches what is in it.
pub async fn clip(console: &Console, text: Option<String>) -> Result<Answer, Fault> {
    let direction = if text.is_some() { "rep_to_customer" } else { "customer_to_rep" };
    let opened = console.open("clipboard", texts(&[("direction", direction)])).await?;
    let channel = opened.channels.first().ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
    if let Some(text) = text {
        let mut writer = console.hub.client.writer(channel);
        writer.write(Kind::Clipboard, Flags::FIN, text.into()).await?;
        writer.finish().await?;
        return Ok(Answer::new("sent", json!({"clipboard": "sent"})));
    }
    let (mut reader, mut bytes) = (console.hub.client.reader(channel), Vec::new());
    loop {
        match reader.read().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
            Ok(None) => break,
            Err(ChannelEnd { reason: CloseReason::Failed, .. }) => {
                fact(console, &opened, "failed").await?;
                return Err(Fault::Wrong("the clipboard could not be read".into()));
            }
            Err(end) => return Err(end.into()),
        }
        if bytes.len() > limits::CLIPBOARD_BYTES_MAX {
            reader.cancel(CloseReason::Cancelled).await;
            return Err(Fault::Wrong("the clipboard is too long".into()));
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer::new(text.lines().map(plain).collect::<Vec<_>>().join("\n"), json!({"clipboard": text})))
}

//! Files, to this machine and from it (W6.2).

use super::{Tool, ToolError, refused};
use crate::{
    client::{
        file::{Landing, Source},
        transfer::{self, Pace, TransferError},
    },
    limits,
    wire::{
        control::{Opened, Value},
        frame::CloseReason,
    },
};
use std::time::Duration;

impl Tool {
    pub(super) async fn upload(&mut self, opened: &Opened, landing: Landing) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?.clone();
        let mut reader = self.means.client.reader(&channel);
        let stored = async {
            let mut pace = Pace { go: self.means.lease.clone(), ..Pace::free() };
            let landing = transfer::receive(&mut reader, landing, &mut pace).await?;
            let sha256 = self.fact(channel.channel, "sha256").await?;
            transfer::commit(landing, sha256).await
        };
        match stored.await {
            Ok(stored) => {
                let facts = [("stored", Value::Bool(true)), ("sha256", Value::Text(stored.sha256.clone()))];
                self.note(channel.channel, facts).await?;
                // The writer closes, now that it knows; a reader that went first would look like a cut.
                let _ = tokio::time::timeout(Duration::from_millis(limits::TOOL_ANSWER.0), reader.read()).await;
                Ok(format!("a file of {} bytes was stored, SHA-256 {}", stored.size, stored.sha256))
            }
            Err(error) => {
                self.failed(channel.channel, &error).await;
                reader.cancel(CloseReason::Failed).await;
                Err(error.into())
            }
        }
    }

    pub(super) async fn download(&mut self, opened: &Opened, source: Source) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?.clone();
        let mut writer = self.means.client.writer(&channel);
        let sent = async {
            let mut pace = Pace { go: self.means.lease.clone(), ..Pace::free() };
            let source = transfer::send(&mut writer, source, &mut pace).await?;
            let note = self.note(channel.channel, [("sha256", Value::Text(source.sha256()))]).await;
            note.map_err(|error| TransferError::Other(error.to_string()))?;
            self.fact(channel.channel, "stored").await?;
            Ok(source)
        };
        match sent.await {
            Ok(source) => {
                // It is stored; how the channel ends changes nothing.
                let _ = writer.finish().await;
                Ok(format!("a file of {} bytes was sent, SHA-256 {}", source.size(), source.sha256()))
            }
            Err(error) => {
                self.failed(channel.channel, &error).await;
                writer.cancel(CloseReason::Failed).await;
                Err(error.into())
            }
        }
    }
}

//! What is answered with one document: what this machine is and does, and its directories.

use super::{Tool, ToolError, leased, refused};
use crate::{
    limits,
    wire::{
        Flags, Kind,
        control::{Opened, Value},
        frame::CloseReason,
    },
};
use bytes::Bytes;
use serde_json::Value as Json;

impl Tool {
    /// Makes a document away from the other tools and sends it, or says why there is none.
    pub(super) async fn document<T>(&mut self, opened: &Opened, done: &str, make: T) -> Result<String, ToolError>
    where
        T: FnOnce() -> Result<Bytes, ToolError> + Send + 'static,
    {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?;
        let mut writer = self.means.client.writer(channel);
        leased(&mut self.means.lease).await;
        let made = tokio::task::spawn_blocking(make).await;
        let made = made.unwrap_or_else(|error| Err(ToolError::Refused(format!("failed: {error}"))));
        match made {
            Ok(document) => {
                writer.write(Kind::Document, Flags::FIN, document).await?;
                writer.finish().await?;
                Ok(done.to_owned())
            }
            Err(error) => {
                let why = error.to_string().chars().take(limits::NAME_BYTES_MAX).collect();
                // Where the channel is already gone the other end knows.
                let _ = self.note(channel.channel, [("failed", Value::Text(why))]).await;
                writer.cancel(CloseReason::Failed).await;
                Err(error)
            }
        }
    }
}

/// One JSON document.
pub(super) fn text(document: &Json) -> Bytes {
    document.to_string().into()
}

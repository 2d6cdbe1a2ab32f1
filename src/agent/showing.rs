//! A screen at work: its pictures go out, input comes in. The customer's end does both as one of its tools, and a rep's
//! who shows its own screen (BU-067) has nothing else.

use super::{
    screen::Screen,
    tool::{ToolError, leased},
};
use crate::{
    client::{
        Chunk, Client, Writer,
        picture::{self, Canvas},
    },
    limits,
    wire::{Flags, Kind, control::Opened},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// Shows a screen on the channels that were opened for it, and takes the input of others, until they end. The writer of
/// the pictures is participant 0.
pub async fn show(client: Client, opened: Opened, screen: Arc<Screen>) {
    // Where the broker is silent nobody's input arrives, and there is nothing else to be stopped.
    let (_held, lease) = watch::channel(true);
    let mut channels = JoinSet::new();
    for channel in opened.channels {
        let screen = Arc::clone(&screen);
        if channel.writer == 0 {
            let (writer, lease) = (client.writer(&channel), lease.clone());
            channels.spawn(async move {
                if let Err(end) = pictures(writer, screen, lease).await {
                    tracing::debug!(%end, "the screen is not shown any more");
                }
            });
        } else {
            let mut reader = client.reader(&channel);
            channels.spawn(async move {
                while let Ok(Some(chunk)) = reader.read().await {
                    give(&screen, chunk).await;
                }
            });
        }
    }
    channels.join_all().await;
}

/// A display that does not answer holds up nothing but its own input.
pub(super) async fn give(screen: &Arc<Screen>, chunk: Chunk) {
    let screen = Arc::clone(screen);
    let given = tokio::task::spawn_blocking(move || screen.input(chunk.kind, &chunk.bytes)).await;
    if let Err(error) = given {
        tracing::error!(%error, "input was not given");
    }
}

/// Draws, encodes and sends pictures; a picture that waits for credit is followed by a fresh one, not by a backlog.
pub(super) async fn pictures(
    mut writer: Writer,
    screen: Arc<Screen>,
    mut lease: watch::Receiver<bool>,
) -> Result<(), ToolError> {
    let mut beat = tokio::time::interval(Duration::from_millis(limits::PICTURE_INTERVAL.0));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut shown: Option<Canvas> = None;
    loop {
        beat.tick().await;
        leased(&mut lease).await;
        if let Some(end) = writer.ended() {
            return Err(end.into());
        }
        let screen = Arc::clone(&screen);
        let before = shown.take().filter(|_| !writer.refresh_wanted());
        let drawn = tokio::task::spawn_blocking(move || {
            let canvas = screen.draw()?;
            let before = before.filter(|before| before.size() == canvas.size());
            let picture = picture::encode(&canvas, before.as_ref());
            Ok((picture, before.is_none(), canvas))
        });
        let drawn = drawn.await.unwrap_or_else(|error| Err(ToolError::Refused(format!("failed: {error}"))));
        let (picture, key, canvas) = drawn?;
        shown = Some(canvas);
        // Nothing has changed: nothing is sent.
        if key || picture.len() > picture::HEADER_BYTES {
            let whole = Flags::START.with(Flags::END);
            writer.write(Kind::Picture, if key { whole.with(Flags::KEY) } else { whole }, picture.into()).await?;
        }
    }
}

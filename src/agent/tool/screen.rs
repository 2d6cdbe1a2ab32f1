//! The screen, shown and controlled.

use super::{Input, News, Tool, ToolError, ended, leased, refused};
use crate::{
    agent::screen::Screen,
    client::{
        Writer,
        picture::{self, Canvas},
    },
    limits,
    wire::{Flags, Kind, control::Opened},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

impl Tool {
    pub(super) async fn screen(&mut self, opened: Opened, screen: Arc<Screen>) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let mut pictures = JoinSet::new();
        pictures.spawn(show(writer, Arc::clone(&screen), self.means.lease.clone()));
        let how = loop {
            tokio::select! {
                done = pictures.join_next() => break match done {
                    Some(Ok(Err(end))) => format!("the screen was closed: {end}"),
                    _ => "the screen was closed".into(),
                },
                input = inputs.next() => if let Some(Input::Chunk(_, chunk)) = input {
                    leased(&mut self.means.lease).await;
                    let screen = Arc::clone(&screen);
                    // A display that does not answer holds up nothing but its own input.
                    let given = tokio::task::spawn_blocking(move || screen.input(chunk.kind, &chunk.bytes)).await;
                    if let Err(error) = given {
                        tracing::error!(%error, "input was not given");
                    }
                },
                news = self.news.recv() => match news {
                    Some(News::Closed(channel, why)) if channel == out.channel => break ended("the screen", &why),
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    Some(_) => {}
                    None => break "the screen was stopped".into(),
                },
            }
        };
        Ok(how)
    }
}

/// Draws, encodes and sends pictures; a picture that waits for credit is followed by a fresh one, not by a backlog.
async fn show(mut writer: Writer, screen: Arc<Screen>, mut lease: watch::Receiver<bool>) -> Result<(), ToolError> {
    let mut beat = tokio::time::interval(Duration::from_millis(limits::PICTURE_INTERVAL.0));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut shown: Option<Canvas> = None;
    loop {
        beat.tick().await;
        leased(&mut lease).await;
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

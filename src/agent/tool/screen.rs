//! The screen, shown and controlled.

use super::{Input, News, Tool, ToolError, ended, leased, refused};
use crate::{
    agent::screen::Scene,
    client::{ChannelEnd, Writer},
    limits,
    wire::{Flags, Kind, control::Opened},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

impl Tool {
    pub(super) async fn screen(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let (scene, mut pictures) = (Arc::new(Mutex::new(Scene::default())), JoinSet::new());
        pictures.spawn(show(writer, Arc::clone(&scene), self.means.lease.clone()));
        let how = loop {
            tokio::select! {
                done = pictures.join_next() => break match done {
                    Some(Ok(Err(end))) => format!("the screen was closed: {end}"),
                    _ => "the screen was closed".into(),
                },
                input = inputs.next() => if let Some(Input::Chunk(_, chunk)) = input {
                    scene.lock().input(chunk.kind, &chunk.bytes);
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
async fn show(
    mut writer: Writer,
    scene: Arc<Mutex<Scene>>,
    mut lease: watch::Receiver<bool>,
) -> Result<(), ChannelEnd> {
    let mut beat = tokio::time::interval(Duration::from_millis(limits::DEMO_PICTURE_INTERVAL.0));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        leased(&mut lease).await;
        let (picture, key) = scene.lock().next(writer.refresh_wanted());
        let whole = Flags::START.with(Flags::END);
        writer.write(Kind::Picture, if key { whole.with(Flags::KEY) } else { whole }, picture.into()).await?;
    }
}

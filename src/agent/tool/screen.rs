//! The screen, shown and controlled.

use super::{Input, News, Tool, ToolError, ended, leased, refused};
use crate::{
    agent::{screen::Screen, showing},
    wire::control::Opened,
};
use std::sync::Arc;
use tokio::task::JoinSet;

impl Tool {
    pub(super) async fn screen(&mut self, opened: Opened, screen: Arc<Screen>) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let mut pictures = JoinSet::new();
        pictures.spawn(showing::pictures(writer, Arc::clone(&screen), self.means.lease.clone()));
        let how = loop {
            tokio::select! {
                done = pictures.join_next() => break match done {
                    Some(Ok(Err(end))) => format!("the screen was closed: {end}"),
                    _ => "the screen was closed".into(),
                },
                input = inputs.next() => if let Some(Input::Chunk(_, chunk)) = input {
                    leased(&mut self.means.lease).await;
                    showing::give(&screen, chunk).await;
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

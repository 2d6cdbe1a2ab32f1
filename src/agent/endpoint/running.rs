//! The tools that run: begun when the broker offers them, told what concerns them, stopped when they do not listen.

use super::{Endpoint, Outcome, Running, person::about};
use crate::{
    agent::{
        prompt::UNATTENDED,
        tool::{self, Asked, News, ToolError},
    },
    limits,
    wire::{Do, Done, control::Opened, frame::CloseReason},
};
use tokio::sync::mpsc;

impl Endpoint<'_> {
    pub(super) fn is_of_another_run(&self, open: u32) -> bool {
        self.came_back && !self.running.contains_key(&open) && self.first.is_none_or(|first| open < first)
    }

    /// What ran before this endpoint was restarted: a chat goes on, everything else is gone.
    pub(super) fn take_over(&mut self, opened: Opened) {
        if opened.tool == "chat" {
            return self.run_chat(opened.open, Some(opened), None);
        }
        let client = self.means.client.clone();
        self.tasks.spawn(async move {
            for channel in &opened.channels {
                match channel.writer {
                    0 => client.writer(channel).cancel(CloseReason::Failed).await,
                    _ => client.reader(channel).cancel(CloseReason::Failed).await,
                }
            }
            Outcome::Said(Ok(Done::Yes {}))
        });
    }

    pub(super) fn start(&mut self, asked: Asked, by: String) {
        self.first.get_or_insert(asked.open);
        let (send, news) = mpsc::channel(limits::TOOL_NEWS);
        let (open, tool, means) = (asked.open, asked.tool.clone(), self.means.clone());
        if self.running.contains_key(&open) {
            return;
        }
        if self.running.len() >= limits::TOOLS_AT_ONCE {
            let reason = "busy: too many tools run at once".into();
            return self.act(Do::RefuseOpen { session: asked.session, open, reason });
        }
        self.terminal.say(&format!("{by} wants to {}.", about(&asked)));
        let task = self.tasks.spawn(async move { Outcome::Tool { open, how: tool::run(means, asked, news).await } });
        self.running.insert(open, Running { tool, by, news: send, task });
    }

    pub(super) fn done(&mut self, done: Result<Outcome, tokio::task::JoinError>) {
        match done {
            Ok(Outcome::Tool { open, how }) => {
                let Some(running) = self.running.remove(&open) else { return };
                self.lets_come |= running.tool == UNATTENDED && how.is_ok();
                let how = how.unwrap_or_else(|error| format!("{}: {error}", running.tool));
                self.terminal.say(&format!("{} ({}).", how, running.by));
            }
            Ok(Outcome::Said(Err(error))) => self.terminal.say(&format!("The broker says: {error}.")),
            Ok(Outcome::Chat { opened: Err(error), .. }) => self.terminal.say(&format!("No chat: {error}.")),
            Ok(Outcome::Chat { opened: Ok(Done::Opening { open, .. }), text }) => {
                self.run_chat(open, None, Some(text));
            }
            Ok(Outcome::Chat { opened: Ok(Done::Opened(opened)), text }) => {
                self.run_chat(opened.open, Some(opened), Some(text));
            }
            Ok(_) => {}
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a tool panicked");
                }
            }
        }
    }

    /// A chat that was begun here runs once it is opened; the first message waits in its news.
    pub(super) fn run_chat(&mut self, open: u32, opened: Option<Opened>, text: Option<String>) {
        let (send, mut news) = mpsc::channel(limits::TOOL_NEWS);
        let means = self.means.clone();
        let again = send.clone();
        let task = self.tasks.spawn(async move {
            let opened = match opened {
                Some(opened) => Some(opened),
                None => loop {
                    match news.recv().await {
                        Some(News::Opened(opened)) => break Some(opened),
                        Some(_) => {}
                        None => break None,
                    }
                },
            };
            let Some(opened) = opened else {
                return Outcome::Tool { open, how: Err(ToolError::Refused("the chat was not opened".into())) };
            };
            if let Some(text) = text {
                let _ = again.send(News::Say(text)).await;
            }
            drop(again);
            Outcome::Tool { open, how: tool::chat(means, opened, news).await }
        });
        self.running.insert(open, Running { tool: "chat".into(), by: "you".into(), news: send, task });
    }

    /// A tool that does not take its news any more is stuck, and is stopped.
    pub(super) fn tell(&mut self, open: u32, news: News) {
        if let Some(running) = self.running.get(&open)
            && let Err(mpsc::error::TrySendError::Full(_)) = running.news.try_send(news)
        {
            running.task.abort();
            self.running.remove(&open);
        }
    }

    pub(super) fn tell_all(&mut self, news: impl Fn() -> News) {
        let all: Vec<_> = self.running.keys().copied().collect();
        for open in all {
            self.tell(open, news());
        }
    }
}

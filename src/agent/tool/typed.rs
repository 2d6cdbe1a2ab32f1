//! What is typed and read: the shell and the chat.

use super::{Input, News, Tool, ToolError, ended, leased, refused};
use crate::{
    agent::{plain, shell::Shell},
    wire::{Flags, Kind, control::Opened},
};
use bytes::Bytes;
use tokio::sync::mpsc;

impl Tool {
    pub(super) async fn shell(
        &mut self,
        opened: Opened,
        shell: Shell,
        mut output: mpsc::Receiver<Bytes>,
    ) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        let Some((out, mut writer)) = writers.pop() else { return Err(refused("malformed: no channel out")) };
        let mut lease = self.means.lease.clone();
        let mut pump = tokio::spawn(async move {
            while let Some(bytes) = output.recv().await {
                leased(&mut lease).await;
                writer.write(Kind::ShellOutput, Flags::default(), bytes).await?;
            }
            writer.finish().await
        });
        let (keys, mut waiting) = (shell.input(), None);
        let mut lease = self.means.lease.clone();
        let how = loop {
            tokio::select! {
                done = &mut pump => break match done {
                    Ok(Ok(())) => "the shell ended".to_owned(),
                    Ok(Err(end)) => format!("the shell was closed: {end}"),
                    Err(error) => format!("the shell was closed: {error}"),
                },
                // Keystrokes wait for a program that does not read; what ends the shell does not.
                Ok(room) = keys.reserve(), if waiting.is_some() => {
                    if let Some(bytes) = waiting.take() {
                        room.send(bytes);
                    }
                }
                Ok(()) = lease.changed() => {}
                input = inputs.next(), if waiting.is_none() && *self.means.lease.borrow() => match input {
                    Some(Input::Chunk(_, chunk)) if chunk.kind == Kind::ShellResize => {
                        if let [c1, c0, r1, r0] = chunk.bytes[..] {
                            shell.resize(u16::from_be_bytes([c1, c0]), u16::from_be_bytes([r1, r0]));
                        }
                    }
                    Some(Input::Chunk(_, chunk)) => waiting = Some(chunk.bytes),
                    // The last who may type has gone; nobody could end the shell any more.
                    Some(Input::End) if inputs.all_ended() => break "the shell ended".to_owned(),
                    Some(Input::End) | None => {}
                },
                news = self.news.recv() => match news {
                    Some(News::Closed(channel, why)) if channel == out.channel => break ended("the shell", &why),
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    None => break "the shell was stopped".to_owned(),
                    Some(_) => {}
                },
            }
        };
        pump.abort();
        shell.end().await;
        Ok(how)
    }

    pub(super) async fn chat(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (mut writers, mut inputs) = self.split(opened.channels);
        loop {
            tokio::select! {
                input = inputs.next() => match input {
                    Some(Input::Chunk(from, chunk)) => {
                        let name = self.name_of(from);
                        let text = plain(&String::from_utf8_lossy(&chunk.bytes));
                        let _ = self.means.says.send(format!("{name}: {text}")).await;
                    }
                    Some(Input::End) if inputs.all_ended() => return Ok("the chat ended".into()),
                    Some(Input::End) | None => {}
                },
                news = self.news.recv() => match news {
                    Some(News::Say(_)) if writers.is_empty() => {
                        let _ = self.means.says.send("Your chat is turned off at the moment.".into()).await;
                    }
                    Some(News::Say(text)) => {
                        for (own, mut writer) in std::mem::take(&mut writers) {
                            match writer.write(Kind::Chat, Flags::default(), text.clone().into()).await {
                                Ok(()) => writers.push((own, writer)),
                                Err(end) => {
                                    let _ = self.means.says.send(format!("It was not sent: {end}.")).await;
                                }
                            }
                        }
                    }
                    // What the reps write goes on where only the person here was turned off (P3.18).
                    Some(News::Closed(channel, _)) if writers.iter().any(|(own, _)| own.channel == channel) => {
                        writers.retain(|(own, _)| own.channel != channel);
                        if writers.is_empty() && inputs.all_ended() {
                            return Ok("the chat ended".into());
                        }
                        let _ = self.means.says.send("You write nothing more in this chat.".into()).await;
                    }
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    Some(_) => {}
                    None => return Ok("the chat was stopped".into()),
                },
            }
        }
    }
}

//! What changes or shows something at once: scripts, pages, the restart of the machine, annotations, the clipboard.

use super::{Input, Inputs, News, Tool, ToolError, ended, leased, refused};
use crate::{
    agent::{plain, shell::Shell},
    client::annotation::Annotation,
    limits,
    wire::{
        Flags, Kind,
        control::{Opened, Value},
        frame::CloseReason,
    },
};
use bytes::Bytes;

impl Tool {
    /// Runs a script of the rep's team as this user, and sends what it writes as it comes (P3.13).
    pub(super) async fn script(&mut self, opened: &Opened, text: &str) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?;
        let mut writer = self.means.client.writer(channel);
        leased(&mut self.means.lease).await;
        let (mut shell, mut output) = match Shell::script(text) {
            Ok(started) => started,
            Err(error) => {
                let _ = self.note(channel.channel, [("failed", Value::Text(error.to_string()))]).await;
                writer.cancel(CloseReason::Failed).await;
                return Err(error.into());
            }
        };
        loop {
            let bytes = tokio::select! {
                bytes = output.recv() => bytes,
                news = self.news.recv() => match news {
                    Some(News::Closed(closed, why)) if closed == channel.channel => {
                        shell.end().await;
                        return Ok(ended("the script", &why));
                    }
                    Some(_) => continue,
                    None => return Err(refused("stopped")),
                },
            };
            let Some(bytes) = bytes else { break };
            leased(&mut self.means.lease).await;
            if let Err(end) = writer.write(Kind::Document, Flags::default(), bytes).await {
                shell.end().await;
                return Err(end.into());
            }
        }
        let exit = shell.left().await;
        shell.end().await;
        let exit = exit.map_or(-1, i64::from);
        self.note(channel.channel, [("exit", Value::Int(exit))]).await?;
        writer.write(Kind::Document, Flags::FIN, Bytes::new()).await?;
        writer.finish().await?;
        Ok(format!("the script ended with {exit}"))
    }

    /// Shows a page, in a browser where the owner of this machine named one (P3.19).
    pub(super) async fn page(&self, url: &str) -> Result<String, ToolError> {
        // The broker may have named others since it was asked for.
        self.means.pages.borrow().check(url)?;
        match &self.means.browser {
            Some(browser) => {
                let (shell, output) = Shell::command(browser, &[url])?;
                tokio::spawn(run_out(shell, output));
                Ok(format!("opened {url}"))
            }
            None => Ok(format!("open this page if you want to: {url}")),
        }
    }

    /// Runs what the owner of this machine said restarts it (P3.16). The session goes on when the endpoint is back.
    pub(super) async fn restart(&self, command: &str) -> Result<String, ToolError> {
        let _ = self.means.says.send("This computer restarts.".into()).await;
        let (shell, output) = Shell::script(command)?;
        match run_out(shell, output).await {
            Some(0) => Ok("the restart is under way".into()),
            Some(code) => Err(ToolError::Refused(format!("the restart failed with {code}"))),
            None => Err(refused("the restart did not begin")),
        }
    }

    /// What a rep draws over the screen, told to the person (P3.6).
    pub(super) async fn annotations(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (_, mut inputs) = self.split(opened.channels);
        loop {
            tokio::select! {
                input = inputs.next() => match input {
                    Some(Input::Chunk(from, chunk)) => {
                        let name = self.name_of(from);
                        let said = Annotation::decode(&chunk.bytes).map(|one| one.to_string());
                        let said = said.unwrap_or_else(|| "something unreadable".into());
                        let _ = self.means.says.send(format!("{name} draws {}", plain(&said))).await;
                    }
                    Some(Input::End) if inputs.all_ended() => return Ok("drawing ended".into()),
                    Some(Input::End) | None => {}
                },
                news = self.news.recv() => match news {
                    Some(News::Opened(more)) => self.more(more, &mut inputs),
                    Some(_) => {}
                    None => return Err(refused("stopped")),
                },
            }
        }
    }

    /// Takes the rep's text into this machine's clipboard (P3.3).
    pub(super) async fn paste(&mut self, opened: Opened) -> Result<String, ToolError> {
        let (_, mut inputs) = self.split(opened.channels);
        let text = self.whole_text(&mut inputs).await?;
        let shown = plain(&text.chars().take(limits::NAME_BYTES_MAX).collect::<String>());
        self.means.clipboard.set(text)?;
        Ok(format!("the clipboard holds: {shown}"))
    }

    /// Sends this machine's clipboard to the rep (P3.3).
    pub(super) async fn copy(&mut self, opened: &Opened) -> Result<String, ToolError> {
        let channel = opened.channels.first().ok_or_else(|| refused("malformed: no channel"))?;
        let mut writer = self.means.client.writer(channel);
        leased(&mut self.means.lease).await;
        let clipboard = std::sync::Arc::clone(&self.means.clipboard);
        let text = tokio::task::spawn_blocking(move || clipboard.get()).await;
        let text = text.unwrap_or_else(|error| Err(ToolError::Refused(format!("failed: {error}"))));
        match text {
            Ok(text) => {
                writer.write(Kind::Clipboard, Flags::FIN, text.into()).await?;
                writer.finish().await?;
                Ok("the clipboard was sent".into())
            }
            Err(error) => {
                let _ = self.note(channel.channel, [("failed", Value::Text(error.to_string()))]).await;
                writer.cancel(CloseReason::Failed).await;
                Err(error)
            }
        }
    }

    async fn whole_text(&mut self, inputs: &mut Inputs) -> Result<String, ToolError> {
        let mut bytes = Vec::new();
        loop {
            match inputs.next().await {
                Some(Input::Chunk(_, chunk)) => bytes.extend_from_slice(&chunk.bytes),
                Some(Input::End) | None => break,
            }
            if bytes.len() > limits::CLIPBOARD_BYTES_MAX {
                return Err(refused("too_large: more text than a clipboard takes here"));
            }
        }
        String::from_utf8(bytes).map_err(|_| refused("malformed: the clipboard takes UTF-8 text"))
    }
}

/// Lets a program run to its end, without looking at what it writes.
async fn run_out(mut shell: Shell, mut output: tokio::sync::mpsc::Receiver<Bytes>) -> Option<u32> {
    while output.recv().await.is_some() {}
    shell.left().await
}

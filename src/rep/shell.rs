//! The customer's shell on the rep's terminal (W6.1): keys go there whole, what comes back is filtered, and the terminal
//! is as before whatever happens.

use super::{
    Fault,
    console::{Answer, Console},
    filter::{Filter, plain},
};
use crate::{
    client::{
        ChannelEnd, Chunk,
        transfer::{Facts, int},
    },
    limits,
    wire::{Flags, Kind},
};
use bytes::Bytes;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

/// Comes back to the console.
const DETACH: u8 = 0x1d;
/// End of input, for a remote shell whose local input has ended.
const END_OF_INPUT: u8 = 0x04;
/// The size where there is no terminal to ask.
const USUAL: (u16, u16) = (80, 24);
/// Chunks read and not yet shown.
const CHUNKS_WAITING: usize = 2;

/// A shell on the customer's machine. Dropping it ends it there.
pub struct RemoteShell {
    /// What is typed, until dropped; a task waits for credit.
    keys: mpsc::Sender<(Kind, Bytes)>,
    writes: JoinHandle<()>,
    output: mpsc::Receiver<Result<Chunk, ChannelEnd>>,
    /// Ends with this.
    reads: JoinSet<()>,
    filter: Filter,
}

/// Why the console has the terminal again.
pub enum Left {
    Detached,
    Ended(String),
}

impl RemoteShell {
    pub async fn open(console: &Console, size: Option<(u16, u16)>) -> Result<Self, Fault> {
        let (cols, rows) = size.unwrap_or_else(window);
        let args = Facts::from([("cols".to_owned(), int(cols.into())), ("rows".to_owned(), int(rows.into()))]);
        let opened = console.open("shell", args).await?;
        let nothing = || Fault::Wrong("no channel was opened".into());
        let own = console.hub.own(&opened).ok_or_else(nothing)?;
        let theirs = opened.channels.iter().find(|channel| channel.writer == 0).ok_or_else(nothing)?;
        let (mut reader, mut writer) = (console.hub.client.reader(theirs), console.hub.client.writer(own));
        let (keys, mut typed) = mpsc::channel::<(Kind, Bytes)>(limits::PTY_WRITES_WAITING);
        let writes = tokio::spawn(async move {
            while let Some((kind, bytes)) = typed.recv().await {
                if writer.write(kind, Flags::default(), bytes).await.is_err() {
                    return;
                }
            }
            let _ = writer.finish().await;
        });
        let (send, output) = mpsc::channel(CHUNKS_WAITING);
        let mut reads = JoinSet::new();
        reads.spawn(async move {
            while let Some(chunk) = reader.read().await.transpose() {
                let last = chunk.is_err();
                if send.send(chunk).await.is_err() || last {
                    break;
                }
            }
        });
        Ok(Self { keys, writes, output, reads, filter: Filter::default() })
    }

    /// One line in a shell of its own, until that ends.
    pub async fn once(console: &Console, line: &str) -> Result<Answer, Fault> {
        let mut shell = Self::open(console, Some(USUAL)).await?;
        shell.send(Kind::ShellInput, format!("{line}\nexit\n").into()).await?;
        let (mut all, mut line_open) = (String::new(), false);
        while let Some(chunk) = shell.output.recv().await {
            let clean = shell.filter.pass(&chunk?.bytes);
            if console.hub.out.json() {
                all += &String::from_utf8_lossy(&clean);
                if all.len() > limits::DOCUMENT_BYTES_MAX {
                    return Err(Fault::Wrong("the output is too long to hold".into()));
                }
            } else {
                line_open = clean.last().map_or(line_open, |last| *last != b'\n');
                console.hub.out.raw(&clean);
            }
        }
        if line_open {
            console.hub.out.raw(b"\n");
        }
        Ok(Answer::new("", json!({"output": all})))
    }

    pub fn alive(&self) -> bool {
        !self.output.is_closed() || !self.output.is_empty()
    }

    /// Gives the terminal to the shell until it ends or Ctrl-] is typed.
    pub async fn attach(&mut self, console: &mut Console) -> Result<Left, Fault> {
        let hub = std::sync::Arc::clone(&console.hub);
        let terminal = console.keyboard.terminal();
        if terminal {
            hub.out.say("Ctrl-] comes back to the console");
        }
        hub.out.hold();
        let raw = if terminal { Some(Raw::enter()?) } else { None };
        let left = self.exchange(console).await;
        drop(raw);
        hub.out.raw(b"\r\n");
        hub.out.release();
        left
    }

    /// Ends it there.
    pub async fn close(mut self) {
        drop(self.keys);
        self.reads.abort_all();
        let _ = self.writes.await;
    }

    async fn exchange(&mut self, console: &mut Console) -> Result<Left, Fault> {
        let mut resized = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
        let (mut waiting, mut typing) = (None, true);
        if console.keyboard.terminal() {
            waiting = Some((Kind::ShellResize, size_bytes(window())));
        }
        loop {
            tokio::select! {
                chunk = self.output.recv() => match chunk {
                    Some(Ok(chunk)) => console.hub.out.raw(&self.filter.pass(&chunk.bytes)),
                    Some(Err(end)) => return Ok(Left::Ended(format!("the shell was closed: {}", plain(&end.to_string())))),
                    None => return Ok(Left::Ended("the shell ended".into())),
                },
                // Keys wait for the other end's credit; what it writes, and Ctrl-], do not wait for them.
                Ok(room) = self.keys.reserve(), if waiting.is_some() => {
                    if let Some(keys) = waiting.take() {
                        room.send(keys);
                    }
                }
                keys = console.keyboard.bytes(), if waiting.is_none() && typing => match keys {
                    Some(keys) => match keys.iter().position(|key| *key == DETACH) {
                        Some(at) if console.keyboard.terminal() => {
                            console.keyboard.give_back(&keys[at + 1..]);
                            if at > 0 {
                                let _ = self.keys.try_send((Kind::ShellInput, keys.slice(..at)));
                            }
                            return Ok(Left::Detached);
                        }
                        _ => waiting = Some((Kind::ShellInput, keys)),
                    },
                    None => {
                        typing = false;
                        waiting = Some((Kind::ShellInput, Bytes::from_static(&[END_OF_INPUT])));
                    }
                },
                Some(()) = resized.recv() => if waiting.is_none() {
                    waiting = Some((Kind::ShellResize, size_bytes(window())));
                },
            }
        }
    }

    async fn send(&self, kind: Kind, bytes: Bytes) -> Result<(), Fault> {
        self.keys.send((kind, bytes)).await.map_err(|_| Fault::Wrong("the shell ended".into()))
    }
}

fn window() -> (u16, u16) {
    crossterm::terminal::size().unwrap_or(USUAL)
}

fn size_bytes((cols, rows): (u16, u16)) -> Bytes {
    Bytes::copy_from_slice(&[cols, rows].map(u16::to_be_bytes).concat())
}

/// A terminal that hands over every key. It is as before when this is dropped, after a panic too.
struct Raw;

impl Raw {
    fn enter() -> io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Whatever the remote programs left on: the second screen, mouse reports, bracketed paste, a hidden cursor,
        // colours, the line-drawing set.
        let usual = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m\x1b(B";
        if io::stdout().is_terminal() {
            let _ = io::stdout().write_all(usual).and_then(|()| io::stdout().flush());
        }
        if let Err(error) = crossterm::terminal::disable_raw_mode() {
            tracing::error!(%error, "the terminal could not be restored; `reset` does");
        }
    }
}

//! What is typed: lines for the console, bytes for a remote terminal, from one reader.

use crate::limits;
use bytes::{Bytes, BytesMut};
use std::io::{self, IsTerminal, Read};
use tokio::sync::mpsc;

pub struct Keyboard {
    typed: mpsc::Receiver<Bytes>,
    rest: BytesMut,
    terminal: bool,
}

impl Keyboard {
    pub fn new(typed: mpsc::Receiver<Bytes>, terminal: bool) -> Self {
        Self { typed, rest: BytesMut::new(), terminal }
    }

    /// The standard input of this process. Its thread sits in a read and ends with the process.
    pub fn of_process() -> io::Result<Self> {
        let (send, typed) = mpsc::channel(limits::TERMINAL_READS_WAITING);
        std::thread::Builder::new().name("keyboard".into()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = io::stdin().read(&mut buffer) {
                if count == 0 || send.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::new(typed, io::stdin().is_terminal()))
    }

    /// A person sits at it.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// The next line without its end, none once the input has ended. Safe to drop while it waits.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                return Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.rest.len() > limits::MESSAGE_BYTES_MAX {
                self.rest.clear();
            }
            match self.typed.recv().await {
                Some(more) => self.rest.extend_from_slice(&more),
                None if self.rest.is_empty() => return None,
                None => self.rest.extend_from_slice(b"\n"),
            }
        }
    }

    /// Whatever was typed, none once the input has ended. Safe to drop while it waits.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() { self.typed.recv().await } else { Some(self.rest.split().freeze()) }
    }

    /// What was not taken comes again.
    pub fn give_back(&mut self, bytes: &[u8]) {
        let later = self.rest.split();
        self.rest.extend_from_slice(bytes);
        self.rest.unsplit(later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_and_bytes_come_from_one_stream() {
        let (send, typed) = mpsc::channel(8);
        for part in ["que", "ues\r\nshe", "ll\nls\n", "last"] {
            send.send(Bytes::from(part)).await.unwrap();
        }
        drop(send);
        let mut keyboard = Keyboard::new(typed, false);
        assert_eq!(keyboard.line().await.unwrap(), "queues");
        assert_eq!(keyboard.line().await.unwrap(), "shell");
        assert_eq!(keyboard.bytes().await.unwrap(), "ls\n");
        keyboard.give_back(b"ps\n");
        assert_eq!(keyboard.line().await.unwrap(), "ps");
        assert_eq!(keyboard.line().await.unwrap(), "last");
        assert_eq!(keyboard.line().await, None);
        assert_eq!(keyboard.bytes().await, None);
    }
}

//! Where the endpoint talks to the person who sits at it: lines in, lines out. No terminal means nobody to ask (P4.5).

use crate::limits;
use std::io::{self, BufRead, IsTerminal, Write};
use tokio::sync::mpsc;

pub struct Terminal {
    lines: mpsc::Receiver<String>,
    out: Box<dyn Write + Send>,
    present: bool,
}

impl Terminal {
    pub fn new(lines: mpsc::Receiver<String>, out: Box<dyn Write + Send>, present: bool) -> Self {
        Self { lines, out, present }
    }

    /// The terminal of this process. Its thread sits in a read and ends with the process.
    pub fn of_process() -> io::Result<Self> {
        let (send, lines) = mpsc::channel(limits::TERMINAL_READS_WAITING);
        std::thread::Builder::new().name("terminal".into()).spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if send.blocking_send(line).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::new(lines, Box::new(io::stdout()), io::stdin().is_terminal()))
    }

    pub fn present(&self) -> bool {
        self.present
    }

    /// One line; a terminal that went away takes nothing and harms nothing.
    pub fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    /// The next line; never, once the input has ended.
    pub async fn line(&mut self) -> String {
        match self.lines.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }
}

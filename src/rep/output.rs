//! What the console prints: text for people or one JSON object a line for machines; held back while a remote terminal
//! has the screen.

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{self, Write},
};

/// Lines held back while a remote terminal is shown; older ones are dropped, for the view still holds what they said.
const HELD_LINES: usize = 200;

pub struct Output {
    json: bool,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    holding: bool,
    held: VecDeque<String>,
}

impl Output {
    pub fn new(out: Box<dyn Write + Send>, json: bool) -> Self {
        Self { json, state: Mutex::new(State { out, holding: false, held: VecDeque::new() }) }
    }

    pub fn of_process(json: bool) -> Self {
        Self::new(Box::new(io::stdout()), json)
    }

    pub fn json(&self) -> bool {
        self.json
    }

    /// A push, and what is said about it to people.
    pub fn push(&self, ev: Value, text: Option<String>) {
        if self.json {
            self.line(json!({"ev": ev}).to_string());
        } else if let Some(text) = text {
            self.line(text);
        }
    }

    /// What came of a command.
    pub fn answer(&self, text: &str, value: Value) {
        if self.json {
            self.line(json!({"ok": value}).to_string());
        } else if !text.is_empty() {
            self.line(text.trim_end().to_owned());
        }
    }

    pub fn fault(&self, text: &str, value: Value) {
        self.line(if self.json { json!({"no": value}).to_string() } else { text.to_owned() });
    }

    /// For people only.
    pub fn say(&self, text: &str) {
        if !self.json {
            self.line(text.to_owned());
        }
    }

    /// Bytes of a remote terminal, already filtered.
    pub fn raw(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        // A terminal that went away takes nothing and harms nothing.
        let _ = state.out.write_all(bytes).and_then(|()| state.out.flush());
    }

    /// From here on lines wait until `release`.
    pub fn hold(&self) {
        self.state.lock().holding = true;
    }

    pub fn release(&self) {
        let mut state = self.state.lock();
        state.holding = false;
        let held = std::mem::take(&mut state.held);
        for line in held {
            let _ = writeln!(state.out, "{line}");
        }
        let _ = state.out.flush();
    }

    fn line(&self, line: String) {
        let mut state = self.state.lock();
        if state.holding {
            state.held.push_back(line);
            if state.held.len() > HELD_LINES {
                state.held.pop_front();
            }
        } else {
            let _ = writeln!(state.out, "{line}").and_then(|()| state.out.flush());
        }
    }
}

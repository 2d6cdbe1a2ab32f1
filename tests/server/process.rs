//! Starts the binary and reads what it says; waits for words, never for time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test starts the binary; the broker starts no process")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

pub struct Broker {
    child: Child,
    err: BufReader<ChildStderr>,
    out: BufReader<ChildStdout>,
    /// What `demo --json` printed.
    shown: serde_json::Value,
}

#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("equipoise"));
    command.args(args).env_clear().current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs a command to its end with this password in its environment.
pub fn equipoise(args: &[&str], password: &str) -> Ended {
    equipoise_with(args, &[("EQUIPOISE_PASSWORD", password)])
}

pub fn equipoise_with(args: &[&str], environment: &[(&str, &str)]) -> Ended {
    let output = command(args).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A command that is spoken to while it runs.
pub struct Talk {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Talk {
    pub fn start(args: &[&str], password: &str) -> Self {
        let mut command = command(args);
        command.env("EQUIPOISE_PASSWORD", password).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Reads standard output to a line with these words.
    pub fn says(&mut self, words: &str) -> String {
        next_line(&mut self.out, words)
    }

    /// The same of standard error.
    pub fn complains(&mut self, words: &str) -> String {
        next_line(&mut self.err, words)
    }

    pub fn hears(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn ends(mut self) -> Ended {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ended { code, out, err }
    }
}

fn next_line(from: &mut impl BufRead, words: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(from.read_line(&mut line).unwrap() > 0, "ended without saying {words:?}");
        if line.contains(words) {
            return line.trim().to_owned();
        }
    }
}

impl Broker {
    /// `serve` on free ports, with logs as JSON lines.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        args.extend(["--set", "ops.listen=127.0.0.1:0", "--set", "log.format=json"]);
        args.extend(more);
        Self::spawn(&args)
    }

    /// `demo` on free ports; ready once it printed what is to be known.
    pub fn demo(data: &Path) -> Self {
        let mut broker = Self::spawn(&["demo", "--json", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        let mut line = String::new();
        broker.out.read_line(&mut line).unwrap();
        broker.shown = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}; {}", broker.rest()));
        broker
    }

    fn spawn(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, err, out, shown: serde_json::Value::Null }
    }

    /// Address of the demo's operations listener.
    pub fn ops(&self) -> String {
        let url = self.shown["metrics"].as_str().unwrap();
        url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned()
    }

    /// Reads the log until a record whose message begins like this, and gives one of its fields as text.
    pub fn field(&mut self, message: &str, field: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.line(&seen, message);
            let record: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if record["message"].as_str().is_some_and(|said| said.starts_with(message)) {
                let value = &record[field];
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                // An address in an option, as it is logged.
                return text.trim_start_matches("Some(").trim_end_matches(')').to_owned();
            }
            seen.push_str(&line);
        }
    }

    /// Reads standard error until a line for people.
    pub fn said_plainly(&mut self, words: &str) {
        let mut seen = String::new();
        loop {
            let line = self.line(&seen, words);
            if line.starts_with(words) {
                return;
            }
            seen.push_str(&line);
        }
    }

    fn line(&mut self, seen: &str, wanted: &str) -> String {
        let mut line = String::new();
        let read = self.err.read_line(&mut line).unwrap();
        assert!(read > 0, "the broker ended without saying {wanted:?}; it said:\n{seen}");
        line
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        let _ = self.err.read_to_string(&mut rest);
        rest
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Signals, waits for the end, and gives the exit code.
    pub fn end(&mut self, name: &str) -> i32 {
        self.signal(name);
        // Its last words must not fill the pipe.
        let said = self.rest();
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| panic!("ended by a signal; it said:\n{said}"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Ended already, in a test that passed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET over a connection of its own: status and body.
pub fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1"))
}

/// The same with a first line of one's own.
pub fn ask(address: &str, line: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

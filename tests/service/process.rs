//! A process of the binary and the lines it says. Waits for words, never for time.
#![expect(clippy::disallowed_methods, reason = "a test starts the binary; the broker starts no process")]

use parking_lot::{Condvar, Mutex};
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Whatever is waited for comes sooner, or the test has failed: a minute where the machine does nothing else.
pub const DEADLINE: Duration = Duration::from_secs(180);

pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    pub out: Lines,
    pub err: Lines,
}

/// What a process has said so far on one of its streams; a thread reads it, so that no pipe is ever full.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    over: bool,
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let said = lines.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                said.0.0.lock().lines.push(text);
                said.0.1.notify_all();
            }
            said.0.0.lock().over = true;
            said.0.1.notify_all();
        });
        lines
    }

    /// The first line that `wanted` takes, said already or to come.
    pub fn until<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let (lock, changed) = &*self.0;
        let (mut said, mut at, until) = (lock.lock(), 0, Instant::now() + DEADLINE);
        loop {
            if let Some(found) = said.lines[at..].iter().find_map(|line| wanted(line)) {
                return found;
            }
            at = said.lines.len();
            let left = until.saturating_duration_since(Instant::now());
            assert!(!said.over && !left.is_zero(), "{what} was never said; said was:\n{}", said.lines.join("\n"));
            changed.wait_for(&mut said, left);
        }
    }

    pub fn has(&self, what: &str) {
        self.until(what, |line| line.contains(what).then_some(()));
    }

    /// A field, as text, of the first log record whose message begins like this.
    pub fn field(&self, message: &str, field: &str) -> String {
        let value = self.until(message, |line| {
            let record: serde_json::Value = serde_json::from_str(line).ok()?;
            record["message"].as_str()?.starts_with(message).then(|| record[field].clone())
        });
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    pub fn all(&self) -> String {
        self.0.0.lock().lines.join("\n")
    }
}

pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_equipoise")
}

impl Process {
    /// The binary with these arguments.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, "")
    }

    pub fn start_with(args: &[&str], password: &str) -> Self {
        Self::spawn(args[0], Command::new(binary()).args(args), password)
    }

    /// The binary under another program, such as a tracer, which gets the first arguments.
    pub fn start_under(program: &str, own: &[&str], args: &[&str]) -> Self {
        Self::spawn(program, Command::new(program).args(own).arg(binary()).args(args), "")
    }

    fn spawn(name: &str, command: &mut Command, password: &str) -> Self {
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", std::env::temp_dir());
        if !password.is_empty() {
            command.env("EQUIPOISE_PASSWORD", password);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (Lines::follow(child.stdout.take().unwrap()), Lines::follow(child.stderr.take().unwrap()));
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process that this one started.
    pub fn child_of(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        std::fs::read_to_string(children).unwrap().trim().parse().unwrap()
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Dead at once, with nothing said or written any more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < until,
                "{} never ended; it said:\n{}\n{}",
                self.name,
                self.out.all(),
                self.err.all()
            );
            // Nothing tells that a process has ended but asking for it.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits for its end, which must be a good one.
    pub fn done(&mut self) {
        let status = self.ended();
        let said = || format!("{}\n{}", self.out.all(), self.err.all());
        assert!(status.success(), "{} ended with {status}; it said:\n{}", self.name, said());
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, in a test that passed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}\n{}", self.name, self.out.all(), self.err.all());
        }
    }
}

pub fn signal(process: u32, name: &str) {
    run("kill", &[&format!("-{name}"), &process.to_string()]).unwrap();
}

/// Runs another program to its end; what it said where it fails.
pub fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Bytes that tell where they stand.
pub fn document(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Equal byte for byte.
pub fn assert_same(one: &Path, other: &Path) {
    assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{one:?} and {other:?} differ");
}

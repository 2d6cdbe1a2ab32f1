//! The measured processes: this program started again as a broker or a floor, and what the kernel says it used.

use crate::{line, namespace::Namespace};
use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// Where measured processes run: beside the load, or at the other end of a line.
#[derive(Clone, Default, Debug)]
pub struct Place(Option<Arc<Namespace>>);

impl Place {
    pub fn beyond(near: Arc<Namespace>) -> Self {
        Self(Some(near))
    }

    /// Where they listen.
    pub fn address(&self) -> IpAddr {
        if self.0.is_some() { line::NEAR } else { Ipv4Addr::LOCALHOST.into() }
    }

    pub fn start(&self, args: &[&str]) -> std::io::Result<Measured> {
        match &self.0 {
            Some(namespace) => namespace.within(|| Measured::start(args)),
            None => Measured::start(args),
        }
    }
}

/// A child that runs one hidden subcommand and prints its address on the first line. Ended when dropped, or when this
/// process is gone.
pub struct Measured {
    child: Child,
    pub hello: String,
}

impl Measured {
    /// Starts `loadtest <args>` and waits for its first line.
    #[expect(clippy::disallowed_methods, reason = "the load test measures processes, so it starts them")]
    fn start(args: &[&str]) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("the child has no output"))?;
        let mut hello = String::new();
        BufReader::new(stdout).read_line(&mut hello)?;
        if hello.is_empty() {
            let status = child.wait()?;
            return Err(std::io::Error::other(format!("{args:?} ended at once: {status}")));
        }
        Ok(Self { child, hello: hello.trim().to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn usage(&self) -> std::io::Result<Usage> {
        usage_of(self.pid())
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// On a core, all threads, since the process began.
    pub cpu: Duration,
    pub resident_kib: u64,
}

/// Sums what the scheduler counted for each thread; threads that ended are in the process's own figure only, so the
/// larger of the two is taken.
pub fn usage_of(pid: u32) -> std::io::Result<Usage> {
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the read.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            threads += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the closing parenthesis of the name: state is field 3, utime 14, stime 15, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Ok(Usage { cpu: Duration::from_nanos(threads.max(ticks * 10_000_000)), resident_kib: pages * 4 })
}

/// The load of the machine, for every result to carry.
pub fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Ends this process when the one that started it is gone, however that ended: its end of the pipe closes.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        // Nothing is ever written there.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// As many files as the process may have.
pub fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused only where the kernel has fewer than it says; then the run fails with a clear error later.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

//! Network namespaces of a run. They have no name: each is gone with the last thread, process and file that knows it, so
//! nothing is left behind, however the run ends.

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::{
    fs::File,
    io,
    net::Ipv4Addr,
    os::fd::AsFd,
    process::{Command, Stdio},
};

#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// An empty one. Only root may make it.
    pub fn new() -> io::Result<Self> {
        on_a_thread(|| {
            #[expect(deprecated, reason = "unsound only where a thread leaves the others' table of files")]
            rustix::thread::unshare(UnshareFlags::NEWNET)?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?))
        })
    }

    /// Does `work` in there: what it opens and starts stays.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Moves the calling thread in, with all threads and processes that it starts.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Gives a device its address, one of two, and brings it up beside the loopback.
    pub fn bring_up(&self, device: &str, address: Ipv4Addr) -> io::Result<()> {
        self.within(|| {
            ip(&["link", "set", "lo", "up"])?;
            ip(&["address", "add", &format!("{address}/30"), "dev", device])?;
            ip(&["link", "set", device, "up"])
        })
    }

    /// What the kernel's TCP uses on the way over a device from here on.
    pub fn tcp_congestion(&self, device: &str, network: &str, name: &str) -> io::Result<()> {
        self.within(|| ip(&["route", "replace", network, "dev", device, "congctl", name]))
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}

#[expect(clippy::disallowed_methods, reason = "the load test lays networks, and iproute2 is how")]
fn ip(args: &[&str]) -> io::Result<()> {
    let output = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("`ip` (of iproute2) cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())))
}

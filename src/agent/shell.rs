//! A shell on a pseudo-terminal, and everything it started, ended with it (W6.1, W6.3).

use crate::limits;
use bytes::Bytes;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio::sync::mpsc;

/// A running shell. Dropping it kills its processes at once; `end` lets them leave first.
pub struct Shell {
    master: Box<dyn MasterPty + Send>,
    child: Option<Box<dyn Child + Send + Sync>>,
    leader: u32,
    input: mpsc::Sender<Bytes>,
}

/// The size of a terminal that nobody looks at.
const NOBODYS: (u16, u16) = (120, 40);
const END_OF_INPUT: u8 = 0x04;

#[derive(Debug, thiserror::Error)]
#[error("no_shell: {0}")]
pub struct ShellError(String);

impl Shell {
    /// Starts `program`, or the user's own shell, as this user. What it writes comes from the receiver, until it has
    /// ended; while nobody takes from there, it waits.
    pub fn start(program: Option<&str>, cols: u16, rows: u16) -> Result<(Self, mpsc::Receiver<Bytes>), ShellError> {
        Self::spawn(program.map_or_else(CommandBuilder::new_default_prog, CommandBuilder::new), cols, rows)
    }

    /// Runs lines of the system's shell, with nobody to type.
    pub fn script(text: &str) -> Result<(Self, mpsc::Receiver<Bytes>), ShellError> {
        Self::command("/bin/sh", &["-c", text])
    }

    /// Runs a program with these arguments, with nobody to type.
    pub fn command(program: &str, args: &[&str]) -> Result<(Self, mpsc::Receiver<Bytes>), ShellError> {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        let (cols, rows) = NOBODYS;
        let started = Self::spawn(command, cols, rows)?;
        // Whoever reads what nobody types finds its end.
        let _ = started.0.input.try_send(Bytes::from_static(&[END_OF_INPUT]));
        Ok(started)
    }

    fn spawn(mut command: CommandBuilder, cols: u16, rows: u16) -> Result<(Self, mpsc::Receiver<Bytes>), ShellError> {
        let failed = |error: &dyn std::fmt::Display| ShellError(error.to_string());
        let pair = native_pty_system().openpty(size(cols, rows)).map_err(|error| failed(&error))?;
        command.env("TERM", "xterm-256color");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EQUIPOISE_") {
                command.env_remove(name);
            }
        }
        if let Some(home) = std::env::home_dir() {
            command.cwd(home);
        }
        let reader = pair.master.try_clone_reader().map_err(|error| failed(&error))?;
        let writer = pair.master.take_writer().map_err(|error| failed(&error))?;
        let child = pair.slave.spawn_command(command).map_err(|error| failed(&error))?;
        let leader = child.process_id().unwrap_or(0);
        let (send, output) = mpsc::channel(limits::PTY_READS_WAITING);
        let (input, receive) = mpsc::channel(limits::PTY_WRITES_WAITING);
        let shell = Self { master: pair.master, child: Some(child), leader, input };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        thread("pty-read").spawn(move || read(reader, &send)).map_err(|error| failed(&error))?;
        thread("pty-write").spawn(move || write(writer, receive)).map_err(|error| failed(&error))?;
        Ok((shell, output))
    }

    /// Where keystrokes go; waits while the program does not read.
    pub fn input(&self) -> mpsc::Sender<Bytes> {
        self.input.clone()
    }

    /// The program is told by the system.
    pub fn resize(&self, cols: u16, rows: u16) {
        if let Err(error) = self.master.resize(size(cols, rows)) {
            tracing::debug!(%error, "the terminal could not be resized");
        }
    }

    /// The exit code of a program whose output has ended; none if it stays although it says nothing any more.
    pub async fn left(&mut self) -> Option<u32> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits::SHELL_GRACE.0);
        loop {
            match self.child.as_mut().map(|child| child.try_wait()) {
                Some(Ok(Some(status))) => return Some(status.exit_code()),
                Some(Ok(None)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => return None,
            }
        }
    }

    /// Hangs up, and kills what is still there after a grace. Waits until the shell is gone.
    pub async fn end(mut self) {
        signal_group(self.leader, Signal::HUP);
        self.left().await;
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        signal_group(self.leader, Signal::HUP);
        signal_group(self.leader, Signal::KILL);
        kill_session(self.leader);
        if let Some(mut child) = self.child.take() {
            // Killed, so this returns at once; it only collects the exit status.
            let _ = child.wait();
        }
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { cols: cols.clamp(1, 1_000), rows: rows.clamp(1, 1_000), pixel_width: 0, pixel_height: 0 }
}

fn signal_group(leader: u32, signal: Signal) {
    if let Some(group) = pid(leader) {
        // A group that is gone is what is wanted.
        let _ = kill_process_group(group, signal);
    }
}

/// Jobs of an interactive shell have process groups of their own, but share its session.
fn kill_session(leader: u32) {
    if pid(leader).is_none() {
        return;
    }
    let Ok(mut system) = sysinfo::System::new() else { return };
    let all = sysinfo::ProcessesToUpdate::All;
    system.refresh_processes_specifics(all, true, sysinfo::ProcessRefreshKind::nothing());
    for process in system.processes().values() {
        if process.session_id().is_some_and(|session| session.as_u32() == leader)
            && let Some(pid) = pid(process.pid().as_u32())
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Never 0 or 1: a signal to those reaches this process or all.
fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().filter(|number| *number > 1).and_then(Pid::from_raw)
}

fn read(mut reader: Box<dyn Read + Send>, send: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; limits::PTY_READ_BYTES];
    while let Ok(count) = reader.read(&mut buffer) {
        if count == 0 || send.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
            break;
        }
    }
}

fn write(mut writer: Box<dyn Write + Send>, mut receive: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = receive.blocking_recv() {
        if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(output: &mut mpsc::Receiver<Bytes>, wanted: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(wanted) {
            let more = tokio::time::timeout(Duration::from_secs(20), output.recv()).await;
            seen += &String::from_utf8_lossy(
                &more.unwrap_or_else(|_| panic!("no {wanted:?} in {seen:?}")).expect("output"),
            );
        }
        seen
    }

    async fn type_in(shell: &Shell, line: &str) {
        shell.input().send(Bytes::copy_from_slice(line.as_bytes())).await.unwrap();
    }

    #[tokio::test]
    async fn a_real_shell_reads_writes_and_knows_its_size() {
        let (shell, mut output) = Shell::start(Some("/bin/sh"), 91, 33).unwrap();
        type_in(&shell, "stty size\n").await;
        until(&mut output, "33 91").await;
        shell.resize(100, 40);
        type_in(&shell, "stty size; echo $((6*7))\n").await;
        until(&mut output, "42").await;
        type_in(&shell, "exit\n").await;
        while tokio::time::timeout(Duration::from_secs(20), output.recv()).await.unwrap().is_some() {}
        shell.end().await;
    }

    #[tokio::test]
    async fn w6_1_ctrl_c_reaches_the_program() {
        let (shell, mut output) = Shell::start(Some("/bin/sh"), 80, 24).unwrap();
        type_in(&shell, "trap 'echo caught' INT; echo rea''dy; while :; do :; done\n").await;
        until(&mut output, "ready").await;
        type_in(&shell, "\x03").await;
        until(&mut output, "caught").await;
        shell.end().await;
    }

    #[tokio::test]
    async fn w6_3_what_the_shell_started_ends_with_it() {
        let (shell, mut output) = Shell::start(Some("/bin/sh"), 80, 24).unwrap();
        type_in(&shell, "set -m; trap '' HUP; sleep 1000 & echo job=$!=\n").await;
        let mut seen = until(&mut output, "job=").await;
        let job = loop {
            let number =
                seen.rsplit("job=").next().and_then(|rest| rest.split_once('=')).and_then(|(n, _)| n.parse().ok());
            match number {
                Some(number) => break number,
                None => seen += &until(&mut output, "=").await,
            }
        };
        let job = pid(job).unwrap();
        assert!(rustix::process::test_kill_process(job).is_ok());
        drop(shell);
        // Killed, but its new parent may not have collected it yet: a zombie has no command line.
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/cmdline", job.as_raw_nonzero())).unwrap_or_default();
            state.is_empty()
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !gone() {
            assert!(std::time::Instant::now() < deadline, "the job outlived its shell");
            tokio::task::yield_now().await;
        }
    }
}

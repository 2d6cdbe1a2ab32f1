//! Faults from outside: a broker killed while it writes, a disk whose sync fails, a disk that is full.
//!
//! A test that needs a process to kill or to hurt starts itself again in one, and tells it so by an environment variable.

use super::*;
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command as Process, Stdio},
};

const CHILD: &str = "EQUIPOISE_TEST_DATA";

/// This very test, alone in a process of its own, under `around` if that names a program.
#[expect(clippy::disallowed_methods, reason = "a test starts the process that it kills")]
fn again(test: &str, data: &Path, around: &[String]) -> Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = match around {
        [] => Process::new(exe),
        [program, arguments @ ..] => {
            let mut command = Process::new(program);
            command.args(arguments).arg(exe);
            command
        }
    };
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, data)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child() -> Option<Place> {
    let data = PathBuf::from(std::env::var_os(CHILD)?);
    Some(Place { _dir: tempfile::tempdir().unwrap(), data })
}

/// A line on standard error in one piece, so that neither a kill nor a trace cuts it.
fn say(line: String) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn acknowledged(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}

#[test]
fn b_15_every_turn_acknowledged_before_a_kill_is_found_again() {
    if let Some(place) = child() {
        let (mut journal, recovered) =
            place.open_with(Options { turns_per_snapshot: 20, ..Options::default() }).unwrap();
        let mut next = recovered.head.0 + 1;
        loop {
            // Several under way at once, so that some share a commit.
            let pending: Vec<_> = (next..next + 5)
                .map(|number| (number, journal.append(Seq(number), 1, turn(number).into(), Filed::default())))
                .collect();
            for (number, pending) in pending {
                assert_eq!(wait(pending), Appended::Durable(Seq(number)));
                say(format!("ack {number}"));
            }
            next += 5;
        }
    }
    let place = Place::new();
    let mut expected = 0;
    for run in 0..10 {
        let mut child = again("faults::b_15_every_turn_acknowledged_before_a_kill_is_found_again", &place.data, &[]);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let wanted = expected + 1 + run * 13;
        let mut last = 0;
        while last < wanted {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            last = acknowledged(&line).unwrap_or(last);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between the last line read and its end counts as well.
        last = lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)).max().unwrap_or(last);
        let found = place.numbers().unwrap();
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
        assert!(found.len() as u64 >= last, "acknowledged up to {last}, found {}", found.len());
        expected = found.len() as u64;
    }
    assert_eq!(equipoise::journal::verify(&place.data).unwrap()[0].problem, None);
}

/// Appends a number of turns, saying what came of each on standard error; reopens once after an unknown one.
fn append_saying_all(place: &Place) {
    let (mut journal, recovered) = match place.open() {
        Ok(opened) => opened,
        Err(error) => return eprintln!("closed {error}"),
    };
    let mut next = recovered.head.0 + 1;
    for _ in 0..12 {
        match wait(journal.append(Seq(next), 1, turn(next).into(), Filed::default())) {
            Appended::Durable(Seq(seq)) => {
                say(format!("ack {seq}"));
                next += 1;
            }
            Appended::Unknown => {
                eprintln!("unknown {next}");
                assert!(journal.is_poisoned());
                let after = wait(journal.append(Seq(next), 1, turn(next).into(), Filed::default()));
                assert_eq!(after, Appended::Unknown, "acknowledged after a failed sync");
                match journal.reopen() {
                    Ok(recovered) => {
                        eprintln!("reopened {}", recovered.head);
                        next = recovered.head.0 + 1;
                    }
                    Err(error) => return eprintln!("closed {error}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    eprintln!("end");
}

/// Runs the test again under strace; None where there is none.
fn traced(test: &str, data: &Path, options: &[&str]) -> Option<(String, String)> {
    let log = data.with_file_name("trace");
    let around: Vec<String> =
        ["strace", "-f", "-o", log.to_str().unwrap()].iter().chain(options).map(ToString::to_string).collect();
    let works = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("strace").is_file()));
    if !works {
        eprintln!("SKIPPED: {test} needs strace, which is not installed");
        return None;
    }
    let mut child = again(test, data, &around);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    Some((said, std::fs::read_to_string(log).unwrap()))
}

#[test]
fn w5_4_after_an_injected_sync_error_nothing_is_acknowledged_until_reopened() {
    const TEST: &str = "faults::w5_4_after_an_injected_sync_error_nothing_is_acknowledged_until_reopened";
    if let Some(place) = child() {
        return append_saying_all(&place);
    }
    let (mut unknown, mut refused) = (0, 0);
    for call in ["fsync", "fdatasync"] {
        // Counted for each thread: the writer's twelve, of which the first ones hit the opening as well.
        for when in 1..=12 {
            let place = Place::new();
            let inject = format!("inject={call}:error=EIO:when={when}");
            let Some((said, trace)) = traced(TEST, &place.data, &["-e", &format!("trace={call}"), "-e", &inject])
            else {
                return;
            };
            assert!(trace.contains("(INJECTED)"), "{inject} did not fire:\n{trace}");
            unknown += usize::from(said.contains("unknown "));
            refused += usize::from(said.contains("closed "));
            assert!(said.contains("end") || said.contains("closed "), "{inject}: {said}");
            let acknowledged = said.lines().filter_map(acknowledged).max().unwrap_or(0);
            let found = place.numbers().unwrap_or_else(|error| panic!("{inject}: {error}\n{said}"));
            assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "{inject}");
            assert!(found.len() as u64 >= acknowledged, "{inject}: {said}");
        }
    }
    assert!(unknown >= 8 && refused >= 2, "{unknown} failed commits, {refused} refused openings");
}

#[test]
fn i_j1_every_acknowledgement_follows_a_finished_sync_of_the_log_and_of_the_head() {
    const TEST: &str = "faults::i_j1_every_acknowledgement_follows_a_finished_sync_of_the_log_and_of_the_head";
    if let Some(place) = child() {
        return append_saying_all(&place);
    }
    let place = Place::new();
    let Some((_, trace)) = traced(TEST, &place.data, &["-e", "trace=fsync,fdatasync,write"]) else { return };
    let (mut log, mut head, mut acknowledgements) = (false, false, 0);
    for line in trace.lines() {
        let finished = line.ends_with("= 0");
        if finished && (line.contains(" fsync(") || line.contains(" fsync resumed")) {
            (log, head) = (true, false);
        } else if finished && (line.contains(" fdatasync(") || line.contains(" fdatasync resumed")) {
            head = log;
        } else if line.contains("write(2, \"ack ") {
            assert!(head, "acknowledged too early: {trace}");
            (log, head) = (false, false);
            acknowledgements += 1;
        }
    }
    assert_eq!(acknowledgements, 12, "{trace}");
}

/// A file system of two megabytes, gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", at.to_str().unwrap()]);
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        assert!(run("umount", &["-l", self.0.to_str().unwrap()]));
    }
}

#[expect(clippy::disallowed_methods, reason = "mounting is a program's work")]
fn run(program: &str, arguments: &[&str]) -> bool {
    Process::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn b_19_a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else {
        eprintln!("SKIPPED: b_19 needs the right to mount a small file system");
        return;
    };
    let filler = disk.0.join("filler");
    let place = Place { _dir: tempfile::tempdir().unwrap(), data: disk.0.join("data") };
    let options = Options { disk_reserve_bytes: 256 * 1024, ..Options::default() };
    let (mut journal, _) = place.open_with(options).unwrap();
    assert!(journal.has_room());
    append(&mut journal, 1..=20);

    // Whoever asks first is told before anything fails.
    drop(journal);
    let stat = rustix::fs::statvfs(&disk.0).unwrap();
    let free = (stat.f_bavail * stat.f_frsize) as usize;
    std::fs::write(&filler, vec![1; free - 200 * 1024]).unwrap();
    let (mut journal, recovered) = place.open_with(options).unwrap();
    assert!(!journal.has_room());
    assert_eq!(folded(recovered).unwrap(), (1..=20).collect::<Vec<_>>());

    // Whoever does not ask meets the end of the disk; what was acknowledged stays.
    let mut acknowledged = 20;
    let refused = loop {
        match wait(journal.append(Seq(acknowledged + 1), 1, turn(acknowledged + 1).into(), Filed::default())) {
            Appended::Durable(Seq(seq)) => acknowledged = seq,
            other => break other,
        }
        assert!(acknowledged < 100_000, "the disk is never full");
    };
    assert_eq!(refused, Appended::Unknown);
    let read: Vec<u64> = folded(journal.reopen().unwrap()).unwrap();
    assert!(read.len() as u64 >= acknowledged, "reads go on: {} of {acknowledged}", read.len());
    assert!(!journal.has_room());

    // Without a restart, as soon as there is room.
    std::fs::remove_file(&filler).unwrap();
    let recovered = journal.reopen().unwrap();
    let next = recovered.head.0 + 1;
    assert!(next > acknowledged);
    drop(recovered);
    assert!(journal.has_room());
    append(&mut journal, next..=next + 20);
    drop(journal);
    assert_eq!(place.numbers().unwrap(), (1..=next + 20).collect::<Vec<_>>());
}

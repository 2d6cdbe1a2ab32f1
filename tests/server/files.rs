//! A process that has no file descriptor left (H-04).

use crate::process::{Broker, equipoise, get};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::{
    fs,
    io::{ErrorKind, Read},
    net::TcpStream,
    time::Duration,
};

#[test]
fn h_04_without_files_new_connections_are_refused_at_once_and_it_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &[]);
    let ops = broker.field("operations listener", "address");
    broker.said_plainly("There is no administrator yet");
    let folder = data.to_str().unwrap();
    let made =
        equipoise(&["setup", "--data", folder, "--username", "root", "--no-second-factor"], "long enough for all");
    assert_eq!(made.code, 0, "{made:?}");
    let http = broker.field("serving", "http");
    assert_eq!(get(&ops, "/livez").0, 200);

    let pid = i32::try_from(broker.id()).unwrap();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let few = Rlimit { current: Some(open + 20), maximum: Some(open + 20) };
    prlimit(Pid::from_raw(pid), Resource::Nofile, few).unwrap();

    let mut connections: Vec<_> = (0..60).map(|_| TcpStream::connect(&http).unwrap()).collect();
    // The last of them: told at once, by an end or a reset, while the first are still waited for.
    let last = connections.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    match last.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    drop(connections);

    let (status, metrics) = get(&ops, "/metrics");
    assert_eq!(status, 200, "there are files again");
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"equipoise_connections_refused_total{reason="files"} "#))
        .map(|count| count.parse::<u32>().unwrap());
    // One for each connection that was refused: the loop does not spin.
    assert!(refused.is_some_and(|refused| (1..=100).contains(&refused)), "{refused:?}");
    assert_eq!(broker.end("TERM"), 0);
}

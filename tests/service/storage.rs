//! Disks that are full and syncs that fail, under a running broker: what is acknowledged is kept, what cannot be kept is
//! refused, and nobody has to start anything again.

use crate::{
    people::Person,
    place::Place,
    process::{Process, run},
};
use equipoise::{
    client::{ActError, Transport::Ws},
    wire::{
        Credential, Do,
        control::{Ask, Done, Role},
    },
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A small disk of its own; it is gone at the end of the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir(&at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", at.to_str().unwrap()])?;
        Ok(Self(at))
    }

    /// Takes all room but so much.
    fn fill(&self, but: u64) {
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        let bytes = (stat.f_bavail * stat.f_frsize).saturating_sub(but);
        // The broker may take some of it meanwhile: full is full.
        if let Err(error) = std::fs::write(self.0.join("ballast"), vec![0; bytes as usize]) {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]).unwrap();
    }
}

/// A service that asks, and what it was told.
struct Till {
    person: Person,
    acknowledged: BTreeSet<u64>,
    /// Refused ones may be in the journal all the same: a failed sync leaves that open.
    refused: usize,
}

impl Till {
    async fn open(place: &Place) -> Self {
        let key = place.service_key().await;
        let person = Person::enter(place, Ws, Role::Service, Credential::Key(key)).await;
        Self { person, acknowledged: BTreeSet::new(), refused: 0 }
    }

    /// True if it was acknowledged, false if the storage refused.
    async fn asks(&mut self) -> bool {
        match self.person.client.act(Do::Ask(Ask { queue: "team:quiet".into(), ..Ask::default() })).await {
            Ok(Done::Asked { session, .. }) => {
                assert!(self.acknowledged.insert(session), "s{session} was given out twice");
                true
            }
            Err(ActError::Refused(refused)) if refused.code == "storage_full" => {
                self.refused += 1;
                false
            }
            other => panic!("asked: {other:?}"),
        }
    }

    async fn asks_until(&mut self, acknowledged: bool) {
        let asking = async { while self.asks().await != acknowledged {} };
        tokio::time::timeout(crate::process::DEADLINE, asking).await.expect("it changes in time");
    }

    /// Nothing acknowledged is missing, and no more is there than was asked for. Each session is asked about by its
    /// number: a console is shown only so many.
    async fn check(&self) {
        let asked_for = self.acknowledged.len() + self.refused;
        let beyond = self.acknowledged.last().unwrap() + self.refused as u64;
        let mut there = BTreeSet::new();
        for session in 1..=beyond {
            match self.person.client.act(Do::Explain { session, past: false, offer: None }).await {
                Ok(_) => _ = there.insert(session),
                Err(ActError::Refused(refused)) if refused.code == "unknown_session" => {}
                other => panic!("asked about s{session}: {other:?}"),
            }
        }
        let lost: Vec<_> = self.acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(there.len() <= asked_for, "{} sessions where {asked_for} were asked for", there.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_2_a_full_disk_refuses_what_is_asked_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Disk::mount(folder.path().join("disk")) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: a full disk needs a small one, and mounting it is refused: {why}"),
    };
    let mut place = Place::open_in(folder, disk.0.join("data"), &[], Process::start).await;
    let mut till = Till::open(&place).await;
    for _ in 0..20 {
        assert!(till.asks().await);
    }
    for room in [8 << 20, 0] {
        disk.fill(room);
        till.asks_until(false).await;
        for _ in 0..10 {
            assert!(!till.asks().await, "refused while the disk is full");
        }
        // Reads go on.
        let session = *till.acknowledged.first().unwrap();
        let Ok(Done::Explained(explained)) =
            till.person.client.act(Do::Explain { session, past: false, offer: None }).await
        else {
            panic!("a question is answered on a full disk");
        };
        assert_eq!(explained.queue, "team:quiet");
        disk.clear();
        till.asks_until(true).await;
        till.check().await;
    }
    place.kill();
    place.start_again();
    till.asks_until(true).await;
    till.check().await;
    drop(place.broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_4_a_broker_whose_syncs_fail_acknowledges_nothing_it_does_not_have() {
    if let Err(why) = run("strace", &["-V"]) {
        return eprintln!("SKIPPED: failed syncs need strace: {why}");
    }
    // SQLite syncs with the first, the head file with the second; each thread that writes counts for itself.
    for call in ["fsync", "fdatasync"] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trace");
        let inject = format!("inject={call}:error=EIO:when=60");
        let own = ["-f", "-o", log.to_str().unwrap(), "-e", &format!("trace={call}"), "-e", &inject];
        let data = folder.path().join("data");
        let mut place = Place::open_in(folder, data, &[], |args| Process::start_under("strace", &own, args)).await;
        let mut till = Till::open(&place).await;
        for _ in 0..3 {
            till.asks_until(false).await;
            till.asks_until(true).await;
        }
        assert!(injected(&log) >= 3, "the errors were injected");
        till.check().await;

        let broker = place.broker.child_of();
        crate::process::signal(broker, "KILL");
        place.broker.ended();
        place.start_again();
        till.asks_until(true).await;
        till.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_6_a_broker_whose_journal_another_took_over_ends_and_says_why() {
    let mut place = Place::open().await;
    let mut till = Till::open(&place).await;
    assert!(till.asks().await);
    // With the lock in its place no second broker would start (H-103).
    std::fs::remove_file(place.data.join("lock")).unwrap();
    let mut other = place.another();
    till.asks_until(false).await;
    place.broker.err.has("another broker has taken over this site's journal");
    assert_eq!(place.broker.ended().code(), Some(1));
    other.kill();
}

fn injected(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap().lines().filter(|line| line.contains("(INJECTED)")).count()
}

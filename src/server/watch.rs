//! Looks every second whether the owner still answers and whether there is disk left, and says so to [`Health`].

use super::Settings;
use crate::{
    broker::Broker,
    limits,
    ops::{Check, Health},
};
use std::{path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

pub(super) async fn run(broker: Broker, health: Health, settings: Settings, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_millis(limits::WATCH_INTERVAL.0));
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if broker.shutdown().is_cancelled() {
            return;
        }
        let answer = tokio::time::timeout(Duration::from_millis(limits::WATCH_ANSWER.0), broker.look(|_| ())).await;
        match answer {
            Ok(Ok(())) => health.pass(Check::Journal),
            Ok(Err(refused)) => health.fail(Check::Journal, refused.message),
            Err(_) => health.fail(Check::Journal, "the owner of the site does not answer"),
        }
        match free_bytes(&settings.data_folder) {
            Ok(free) if free >= settings.reserve_bytes => health.pass(Check::Disk),
            Ok(free) => {
                let mib = |bytes: u64| bytes / (1024 * 1024);
                let (free, reserve) = (mib(free), mib(settings.reserve_bytes));
                health.fail(Check::Disk, format!("{free} MiB are left, the reserve is {reserve} MiB"));
            }
            Err(e) => health.fail(Check::Disk, format!("the data folder cannot be looked at: {e}")),
        }
    }
}

/// What an ordinary user may still write.
fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

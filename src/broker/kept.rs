//! What the data folder keeps beside the journal: the key that seals second factors, and the failed attempts that a
//! restart must not forget (I-A6).

use super::{Shared, StartError};
use crate::{
    clock,
    identity::{Attempts, SEALING_KEY_BYTES, SecondFactors},
    journal::{DataFolder, OpenError},
    limits,
};
use futures_util::FutureExt;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

const SEALING_KEY: &str = "second-factor.key";
const LOCKOUTS: &str = "lockouts";

pub struct Opened {
    pub folder: DataFolder,
    pub attempts: Attempts,
    pub second_factors: SecondFactors,
}

/// Locks the folder and reads both. A key that is not one, or that others may read, is refused: sealed secrets would be
/// lost or known. Lockouts that cannot be read are given up: a broker that does not start helps nobody.
pub async fn open(data: PathBuf) -> Result<Opened, StartError> {
    let opened = spawn_blocking(move || {
        let folder = DataFolder::open(&data)?;
        let second_factors = SecondFactors::new(&*sealing_key(&folder)?);
        let attempts = Attempts::new();
        match folder.read_private(LOCKOUTS, limits::LOCKOUTS_BYTES_MAX) {
            Ok(None) => {}
            Ok(Some(kept)) => {
                if let Err(error) = attempts.recall(&kept, clock::wall_ms()) {
                    tracing::warn!(%error, "failed attempts before this start are forgotten");
                }
            }
            Err(error) => tracing::warn!(%error, "failed attempts before this start are forgotten"),
        }
        Ok(Opened { folder, attempts, second_factors })
    });
    opened.await.expect("opening the data folder does not panic")
}

/// Keeps failed attempts, at most once a second while there are new ones, and once more at the end.
pub async fn keep(shared: Arc<Shared>, folder: DataFolder, end: CancellationToken) {
    while end.run_until_cancelled(shared.attempts.changed()).await.is_some() {
        write(&shared, &folder).await;
        end.run_until_cancelled(tokio::time::sleep(Duration::from_millis(limits::LOCKOUTS_PAUSE.0))).await;
    }
    if shared.attempts.changed().now_or_never().is_some() {
        write(&shared, &folder).await;
    }
}

async fn write(shared: &Shared, folder: &DataFolder) {
    let kept = shared.attempts.kept(clock::wall_ms());
    let folder = folder.clone();
    let written = spawn_blocking(move || folder.write_private(LOCKOUTS, &kept)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "failed attempts are not kept: a restart would forget them");
    }
}

fn sealing_key(folder: &DataFolder) -> Result<zeroize::Zeroizing<[u8; SEALING_KEY_BYTES]>, OpenError> {
    match folder.read_private(SEALING_KEY, SEALING_KEY_BYTES as u64)? {
        Some(bytes) => match <[u8; SEALING_KEY_BYTES]>::try_from(bytes) {
            Ok(key) => Ok(key.into()),
            Err(bytes) => {
                let reason = format!("it has {} bytes instead of {SEALING_KEY_BYTES}: restore it", bytes.len());
                Err(OpenError::Refused { path: folder.path().join(SEALING_KEY), reason })
            }
        },
        None => {
            let key = SecondFactors::make_key();
            folder.write_private(SEALING_KEY, &key[..])?;
            Ok(key)
        }
    }
}

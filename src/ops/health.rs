//! Whether the broker is ready, and if not, why: one entry for each check that fails.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// What must hold before the broker takes work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Check {
    /// The rooms are built and the journal is recovered.
    Started,
    /// There is an administrator (I-A8).
    Setup,
    /// The journal takes turns.
    Journal,
    /// There is more free disk than the reserve (W5.2).
    Disk,
    /// No SIGTERM came.
    Draining,
}

impl Check {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "starting",
            Self::Setup => "setup_required",
            Self::Journal => "journal",
            Self::Disk => "disk_full",
            Self::Draining => "draining",
        }
    }
}

/// Shared by all who know about one check; `Started` fails until it passes.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<BTreeMap<Check, String>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([(Check::Started, "the broker is starting".to_owned())]))))
    }
}

impl Health {
    pub fn pass(&self, check: Check) {
        self.0.lock().remove(&check);
    }

    pub fn fail(&self, check: Check, reason: impl Into<String>) {
        self.0.lock().insert(check, reason.into());
    }

    /// The failed checks by name with their reasons; empty: ready.
    pub fn failed(&self) -> BTreeMap<&'static str, String> {
        self.0.lock().iter().map(|(check, reason)| (check.name(), reason.clone())).collect()
    }

    pub fn ready(&self) -> bool {
        self.0.lock().is_empty()
    }
}

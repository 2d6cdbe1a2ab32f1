//! Permission as a word and as a value: which kinds may leave for a reader, asked as each frame leaves (W2.1).

use super::sync::{AtomicU64, Ordering};
use crate::{
    ids::PermissionEpoch,
    wire::{Frame, Kind},
};
use std::marker::PhantomData;

/// The gate of one leg: allowed kinds in the low half, the permission epoch in the high half.
#[derive(Debug)]
pub struct Gate(AtomicU64);

/// A frame that waits in an outbox. Waiting grants nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queued {
    pub(super) frame: Frame,
    /// Bytes of dropped pictures before it on this leg: they need no credit.
    pub(super) skipped: u64,
}

/// A frame on its way into a socket. Only [`Gate::admit`] makes one and its borrow ends with the write, so a forgotten
/// check does not compile and none can go stale in a queue.
#[derive(Debug)]
pub struct Admitted<'gate> {
    frame: Frame,
    _now: PhantomData<&'gate Gate>,
}

/// The gate does not allow this frame's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the gate is shut for this kind of frame")]
pub struct Refused;

impl Gate {
    pub fn new(kinds: u32, epoch: PermissionEpoch) -> Self {
        Self(AtomicU64::new(word(kinds, epoch)))
    }

    pub fn admit(&self, queued: Queued) -> Result<Admitted<'_>, Refused> {
        if !self.allows(queued.frame.header.kind) {
            return Err(Refused);
        }
        Ok(Admitted { frame: queued.frame, _now: PhantomData })
    }

    /// The check of W2.4: one load and one mask. An answer is no permission; only [`Self::admit`] gives one.
    pub fn allows(&self, kind: Kind) -> bool {
        self.0.load(Ordering::Acquire) as u32 & kind.bit() != 0
    }

    /// Publishes what is allowed from `epoch` on. An older epoch changes nothing (I-P4).
    pub fn set(&self, kinds: u32, epoch: PermissionEpoch) {
        let wanted = word(kinds, epoch);
        let newer = |held: u64| (held >> 32 <= wanted >> 32).then_some(wanted);
        // An error means that a newer epoch is there already.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
    }

    /// Nothing passes any more, in whatever epoch (W2.3).
    pub fn shut(&self) {
        self.0.store(u64::MAX << 32, Ordering::Release);
    }

    pub fn is_shut(&self) -> bool {
        self.0.load(Ordering::Acquire) as u32 == 0
    }
}

fn word(kinds: u32, epoch: PermissionEpoch) -> u64 {
    u64::from(epoch.0) << 32 | u64::from(kinds)
}

impl Admitted<'_> {
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// For the socket's writer, which puts it into its buffer at once.
    pub fn into_frame(self) -> Frame {
        self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::ChannelId,
        wire::{Flags, Header},
    };

    fn queued(kind: Kind) -> Queued {
        let header = Header { kind, flags: Flags::default(), channel: ChannelId(1), offset: 0 };
        Queued { frame: Frame { header, payload: "x".into() }, skipped: 0 }
    }

    #[test]
    fn p6_1_i_p5_view_is_not_control() {
        let gate = Gate::new(Kind::Picture.bit() | Kind::Pointer.bit(), PermissionEpoch(1));
        for kind in Kind::DATA {
            let allowed = matches!(kind, Kind::Picture | Kind::Pointer);
            assert_eq!(gate.admit(queued(kind)).is_ok(), allowed, "{kind:?}");
        }
        for kind in Kind::STEERING {
            assert!(gate.admit(queued(kind)).is_err(), "{kind:?} never passes a gate");
        }
    }

    #[test]
    fn i_p4_an_older_epoch_changes_nothing_and_a_shut_gate_stays_shut() {
        let gate = Gate::new(Kind::Keys.bit(), PermissionEpoch(5));
        gate.set(0, PermissionEpoch(6));
        gate.set(Kind::Keys.bit(), PermissionEpoch(5));
        assert!(gate.admit(queued(Kind::Keys)).is_err());
        gate.set(Kind::Keys.bit(), PermissionEpoch(7));
        assert!(gate.admit(queued(Kind::Keys)).is_ok());
        gate.shut();
        gate.set(Kind::Keys.bit(), PermissionEpoch(8));
        assert!(gate.is_shut() && gate.admit(queued(Kind::Keys)).is_err());
    }
}

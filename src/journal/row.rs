//! One row: how a turn becomes bytes, and how rows prove each other (W5.1).

use crate::{engine::Turn, ids::Seq};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The first byte of a payload: how the rest is encoded. 1 is MessagePack with field names.
pub(super) const PAYLOAD_VERSION: u8 = 1;

pub(super) type Hash = [u8; 32];

/// Names one attempt to append: an owner that does not know the outcome finds its turn again by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TurnId(pub [u8; 16]);

#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub seq: Seq,
    pub epoch: u64,
    pub turn_id: TurnId,
    pub turn: Turn,
}

/// What is wrong with a row, and where. Never skipped: what comes after it means nothing without it.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("turn {seq} is missing: the next one in the journal is {found}")]
    Missing { seq: Seq, found: Seq },
    #[error("turn {seq} was altered: its payload does not match its digest")]
    Payload { seq: Seq },
    #[error("turn {seq} does not follow from the one before it: the hash chain is broken here")]
    Chain { seq: Seq },
    #[error("turn {seq} cannot be read by this version: {reason}")]
    Unreadable { seq: Seq, reason: String },
    #[error("the payload of turn {seq} was erased, and no snapshot covers it")]
    Erased { seq: Seq },
    #[error("the database fails at turn {seq}: {source}")]
    Storage { seq: Seq, source: rusqlite::Error },
}

impl Damage {
    pub fn seq(&self) -> Seq {
        match self {
            Self::Missing { seq, .. }
            | Self::Payload { seq }
            | Self::Chain { seq }
            | Self::Unreadable { seq, .. }
            | Self::Erased { seq }
            | Self::Storage { seq, .. } => *seq,
        }
    }
}

/// A row as it stands in the database.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub seq: Seq,
    pub epoch: u64,
    pub turn_id: TurnId,
    pub digest: Hash,
    pub hash: Hash,
    /// None: erased; the digest still proves the chain.
    pub payload: Option<Vec<u8>>,
}

impl Stored {
    /// Checks this row against the hash of the one before it.
    pub fn check(&self, expected: Seq, before: &Hash) -> Result<(), Damage> {
        if self.seq != expected {
            return Err(Damage::Missing { seq: expected, found: self.seq });
        }
        if self.payload.as_deref().is_some_and(|payload| digest(payload) != self.digest) {
            return Err(Damage::Payload { seq: self.seq });
        }
        if link(before, self.seq, self.epoch, &self.digest) != self.hash {
            return Err(Damage::Chain { seq: self.seq });
        }
        Ok(())
    }

    pub fn read(self) -> Result<Row, Damage> {
        let Self { seq, epoch, turn_id, payload, .. } = self;
        let turn =
            decode(&payload.ok_or(Damage::Erased { seq })?).map_err(|reason| Damage::Unreadable { seq, reason })?;
        Ok(Row { seq, epoch, turn_id, turn })
    }
}

/// The chain's hash before its first row: bound to this journal, so that rows of another never fit.
pub(super) fn genesis(journal: &[u8; 16]) -> Hash {
    Sha256::new().chain_update(b"equipoise journal 1").chain_update(journal).finalize().into()
}

/// `h_k = SHA-256(h_{k-1} ‖ seq ‖ epoch ‖ SHA-256(payload))`, numbers big-endian.
pub(super) fn link(before: &Hash, seq: Seq, epoch: u64, digest: &Hash) -> Hash {
    Sha256::new()
        .chain_update(before)
        .chain_update(seq.0.to_be_bytes())
        .chain_update(epoch.to_be_bytes())
        .chain_update(digest)
        .finalize()
        .into()
}

pub(super) fn digest(payload: &[u8]) -> Hash {
    Sha256::digest(payload).into()
}

/// A turn as a row holds it: the version, then MessagePack.
pub fn encode(turn: &Turn) -> Vec<u8> {
    let mut payload = vec![PAYLOAD_VERSION];
    rmp_serde::encode::write_named(&mut payload, turn).expect("a turn is plain data and memory takes it");
    payload
}

/// What [`encode`] made, whole; the error says what is wrong with it.
pub fn decode(payload: &[u8]) -> Result<Turn, String> {
    match payload.split_first() {
        Some((&PAYLOAD_VERSION, rest)) => unpack(rest),
        Some((version, _)) => Err(format!("payload version {version}; this version knows {PAYLOAD_VERSION}")),
        None => Err("empty payload".into()),
    }
}

/// Reads MessagePack that was stored, to its last byte: a turn, or the state in a snapshot. It may have been damaged on
/// purpose, so it takes no more of the stack than what is ever stored needs.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut left = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut left);
    reader.set_max_depth(DEPTH_MAX);
    let read = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if left.is_empty() { Ok(read) } else { Err("bytes follow its end".into()) }
}

/// Turn, request, command, its map, a message's value in it: a site file adds a few levels.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Event, Stamped},
        time::Time,
    };

    fn turn() -> Turn {
        Turn { requests: vec![], events: vec![Stamped { at: Time(7), event: Event::OwnerTook { epoch: 3 } }] }
    }

    #[test]
    fn w5_1_a_turn_comes_back_as_it_went() {
        assert_eq!(decode(&encode(&turn())), Ok(turn()));
    }

    #[test]
    fn w5_5_an_unknown_event_is_refused_by_name() {
        let mut payload = encode(&turn());
        let at = payload.windows(10).position(|bytes| bytes == b"owner_took").unwrap();
        payload[at..at + 10].copy_from_slice(b"owner_flew");
        assert!(decode(&payload).unwrap_err().contains("owner_flew"));
    }

    #[test]
    fn w5_5_an_unknown_payload_version_is_refused_by_number() {
        let mut payload = encode(&turn());
        payload[0] = 9;
        assert!(decode(&payload).unwrap_err().contains("version 9"));
    }

    #[test]
    fn a_payload_with_a_tail_or_cut_short_is_refused() {
        let payload = encode(&turn());
        assert!(decode(&[&payload[..], b"x"].concat()).is_err());
        for end in 0..payload.len() {
            assert!(decode(&payload[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn w5_1_an_erased_payload_leaves_the_chain_whole() {
        let before = genesis(&[1; 16]);
        let payload = encode(&turn());
        let digest = digest(&payload);
        let hash = link(&before, Seq(1), 3, &digest);
        let mut row = Stored { seq: Seq(1), epoch: 3, turn_id: TurnId([0; 16]), digest, hash, payload: Some(payload) };
        row.check(Seq(1), &before).unwrap();
        row.payload = None;
        row.check(Seq(1), &before).unwrap();
        assert!(matches!(row.read(), Err(Damage::Erased { seq: Seq(1) })));
    }
}

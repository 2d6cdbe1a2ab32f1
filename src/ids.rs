//! One type for each kind of number that names something, so that no signature takes a bare integer.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A user of the site. A code keeps its number for as long as the site lives; numbers are never used again.
    UserId(u32),
    TeamId(u32),
    SkillId(u32),
    IssueId(u32),
    PortalId(u32),
    PoolId(u32),
    PolicyId(u32),
    JumpItemId(u32),
    /// A session of the site, counted from 1 in the order of asking. Knowing one grants nothing.
    SessionId(u64),
    /// Somebody in one session: the customer is 0, reps follow in the order of joining. Never used again in it.
    ParticipantId(u16),
    /// A directed channel, unique in the site while its session lives (W1.2).
    ChannelId(u32),
    /// A request to open a tool that is not yet answered, unique in its session.
    OpenId(u32),
    /// A question put to the customer, unique in its session (P4.3).
    PromptId(u32),
    /// A notice to customers, unique in the site.
    NoticeId(u32),
    /// A support button, unique in the site.
    ButtonId(u32),
    /// A job of endpoint automation, unique in the site.
    JobId(u64),
    /// Counts up whenever a participant attaches anew; fences frames of an older connection (W3.1).
    AttachEpoch(u32),
    /// Counts up whenever the permissions of a session change (I-P4).
    PermissionEpoch(u32),
    /// A service account: an integrator or the load test.
    ServiceId(u32),
    /// The place of a turn in the journal, from 1.
    Seq(u64),
}

/// A map keyed by our own numbers. They are counted, and no peer chooses which are there, so the keyed hash of the standard
/// map buys nothing here and costs more than a decision or a frame.
pub type IdMap<K, V> = rustc_hash::FxHashMap<K, V>;

impl ParticipantId {
    pub const CUSTOMER: Self = Self(0);
}

/// SHA-256 of a secret: what is kept of tokens and keys, never the secret itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretHash(#[serde(with = "hash_bytes")] pub [u8; 32]);

impl SecretHash {
    pub fn of(secret: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(secret).into())
    }

    /// From its 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Stands for what is kept of a secret where people read: a short key could be found from its hash by trying.
const HIDDEN: &str = "(hidden)";

/// For a text that is kept of a secret, such as a password's hash: whole in the journal, hidden where people read.
pub(crate) fn hide_from_people<S: serde::Serializer>(kept: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let hidden = serializer.is_human_readable();
    serializer.serialize_str(if hidden { HIDDEN } else { kept })
}

/// MessagePack binary (32 bytes), not an array of numbers; hidden where people read.
mod hash_bytes {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_str(super::HIDDEN),
            false => serializer.serialize_bytes(bytes),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        struct Hash;
        impl<'de> de::Visitor<'de> for Hash {
            type Value = [u8; 32];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut hash = [0; 32];
                for (at, byte) in hash.iter_mut().enumerate() {
                    *byte = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(at, &self))?;
                }
                Ok(hash)
            }
        }
        deserializer.deserialize_bytes(Hash)
    }
}

/// Somebody who has a connection and a resume token of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// One connection carries all of a rep's sessions (W3.1).
    Rep(UserId),
    Customer(SessionId),
    /// An external rep: one session only (R7.5).
    External(SessionId, ParticipantId),
    /// The endpoint that stands by for an item; in a session that runs there it is the customer as well, by another connection.
    JumpClient(JumpItemId),
}

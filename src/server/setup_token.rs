//! The one-time token of the first run: an hour, five tries, one use; only its hash is kept (I-A8, H-83).

use crate::{
    identity::Secret,
    ids::SecretHash,
    limits::{SETUP_ATTEMPTS, SETUP_TOKEN},
};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct SetupToken {
    hash: Option<SecretHash>,
    until: Instant,
    tries_left: u32,
}

/// What a presented token led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// Right, and still good: [`SetupToken::use_up`] ends it.
    Right,
    Wrong {
        tries_left: u32,
    },
    /// Used, expired, or tried too often: only a restart makes another.
    Burnt,
}

impl SetupToken {
    /// The secret is printed once and written to the data folder; this keeps its hash.
    pub fn make() -> (Secret, Self) {
        Self::make_at(Instant::now())
    }

    pub fn try_token(&mut self, presented: &str) -> Tried {
        self.try_at(presented, Instant::now())
    }

    pub fn use_up(&mut self) {
        self.hash = None;
    }

    fn make_at(now: Instant) -> (Secret, Self) {
        let secret = Secret::token();
        let until = now + Duration::from_millis(SETUP_TOKEN.0);
        let kept = Self { hash: Some(secret.hash()), until, tries_left: SETUP_ATTEMPTS };
        (secret, kept)
    }

    fn try_at(&mut self, presented: &str, now: Instant) -> Tried {
        if now >= self.until || self.tries_left == 0 {
            self.hash = None;
        }
        let Some(hash) = self.hash else { return Tried::Burnt };
        if SecretHash::of(presented.as_bytes()) == hash {
            return Tried::Right;
        }
        self.tries_left -= 1;
        Tried::Wrong { tries_left: self.tries_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h_83_a_setup_token_works_once_and_is_burnt_after_five_wrong_ones() {
        let now = Instant::now();
        let (secret, mut token) = SetupToken::make_at(now);
        assert_eq!(token.try_at(secret.reveal(), now), Tried::Right);
        token.use_up();
        assert_eq!(token.try_at(secret.reveal(), now), Tried::Burnt);

        let (secret, mut token) = SetupToken::make_at(now);
        for left in (0..SETUP_ATTEMPTS).rev() {
            assert_eq!(token.try_at("wrong", now), Tried::Wrong { tries_left: left });
        }
        assert_eq!(token.try_at(secret.reveal(), now), Tried::Burnt);
    }

    #[test]
    fn h_83_a_setup_token_expires_after_an_hour() {
        let now = Instant::now();
        let (secret, mut token) = SetupToken::make_at(now);
        assert_eq!(token.try_at(secret.reveal(), now + Duration::from_millis(SETUP_TOKEN.0)), Tried::Burnt);
        assert_eq!(token.try_at(secret.reveal(), now), Tried::Burnt, "what has expired never comes back (I-A4)");
    }
}

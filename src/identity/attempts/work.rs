//! Challenges for who has to work for a try (I-K3). A challenge carries everything that is needed to check its answer,
//! sealed with a key that lives as long as the process; only solved ones are remembered, each until it would have
//! expired, and only so many.

use super::{duration, net::Net};
use crate::{
    limits::{WORK_BITS_MAX, WORK_CHALLENGE_BYTES, WORK_LIVES, WORKS_REMEMBERED},
    wire::Work,
};
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const NONCE: usize = 16;
/// When it expires, in milliseconds since the process began; how many bits; and a nonce.
const SAID: usize = 8 + 1 + NONCE;
const SEALED: usize = SAID + 32;
const _: () = assert!(SEALED.div_ceil(3) * 4 <= WORK_CHALLENGE_BYTES);

/// Makes challenges and checks their answers.
#[derive(Debug)]
pub(super) struct Works {
    key: Zeroizing<[u8; 32]>,
    began: Instant,
    solved: Mutex<HashMap<[u8; NONCE], Instant>>,
}

impl Works {
    pub(super) fn new() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..]).expect("the operating system gives random bytes once it is up");
        Self { key, began: Instant::now(), solved: Mutex::default() }
    }

    /// Good for this network, for two minutes, once.
    pub(super) fn challenge(&self, net: Net, bits: u32, now: Instant) -> Work {
        let bits = bits.min(WORK_BITS_MAX);
        let mut said = [0; SEALED];
        said[..8].copy_from_slice(&self.since_start(now + duration(WORK_LIVES)).to_be_bytes());
        said[8] = bits as u8;
        getrandom::fill(&mut said[9..SAID]).expect("the operating system gives random bytes once it is up");
        let seal = self.seal(&said[..SAID], net).finalize().into_bytes();
        said[SAID..].copy_from_slice(&seal);
        Work { challenge: BASE64URL_NOPAD.encode(&said), bits }
    }

    /// Whether this is the answer to a challenge of ours that was not used; from here on it is. Two hashes and a look.
    pub(super) fn take(&self, challenge: &str, answer: u64, net: Net, now: Instant) -> bool {
        let mut said = [0; SEALED];
        if challenge.len() != BASE64URL_NOPAD.encode_len(SEALED)
            || BASE64URL_NOPAD.decode_mut(challenge.as_bytes(), &mut said).is_err()
            || self.seal(&said[..SAID], net).verify_slice(&said[SAID..]).is_err()
        {
            return false;
        }
        let until = u64::from_be_bytes(said[..8].try_into().expect("eight bytes"));
        let work = Work { challenge: challenge.to_owned(), bits: said[8].into() };
        if until <= self.since_start(now) || !work.is_solved_by(answer) {
            return false;
        }
        let nonce: [u8; NONCE] = said[9..SAID].try_into().expect("a nonce's bytes");
        let mut solved = self.solved.lock();
        if solved.len() >= WORKS_REMEMBERED {
            solved.retain(|_, until| *until > now);
        }
        // One that cannot be remembered could be used again.
        solved.len() < WORKS_REMEMBERED && solved.insert(nonce, self.began + Duration::from_millis(until)).is_none()
    }

    fn seal(&self, said: &[u8], net: Net) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key[..]).expect("any length is a key");
        mac.chain_update(said).chain_update(net.bytes())
    }

    fn since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: u32 = 8;

    fn net(n: u32) -> Net {
        Net::of_key(std::net::IpAddr::V4(n.into()))
    }

    #[test]
    fn i_k3_an_answer_is_good_once_from_its_network_and_in_time() {
        let works = Works::new();
        let now = Instant::now();
        let work = works.challenge(net(1), FEW, now);
        let answer = work.solve().unwrap();
        let take = |works: &Works, net, now| works.take(&work.challenge, answer, net, now);
        assert!(!take(&works, net(2), now), "from elsewhere");
        assert!(!take(&works, net(1), now + duration(WORK_LIVES)), "too late");
        assert!(!take(&Works::new(), net(1), now), "of another broker, or after a restart");
        assert!(take(&works, net(1), now));
        assert!(!take(&works, net(1), now), "again");
    }

    #[test]
    fn i_k3_a_wrong_answer_or_a_made_up_challenge_is_worth_nothing() {
        let (works, now) = (Works::new(), Instant::now());
        let work = works.challenge(net(1), FEW, now);
        let wrong = (0..).find(|answer| !work.is_solved_by(*answer)).unwrap();
        assert!(!works.take(&work.challenge, wrong, net(1), now));
        let mut easier = BASE64URL_NOPAD.decode(work.challenge.as_bytes()).unwrap();
        easier[8] = 0;
        assert!(!works.take(&BASE64URL_NOPAD.encode(&easier), 0, net(1), now), "with fewer bits");
        for made_up in ["", "x", "\u{e9}", &"A".repeat(work.challenge.len()), &"A".repeat(1 << 20)] {
            assert!(!works.take(made_up, 0, net(1), now));
        }
    }

    #[test]
    fn i_m1_solved_challenges_are_remembered_until_they_expire_and_only_so_many() {
        let works = Works::new();
        let now = works.began;
        let until = now + duration(WORK_LIVES);
        works.solved.lock().extend((1..=WORKS_REMEMBERED as u128).map(|n| (n.to_be_bytes(), until)));
        let late = now + duration(WORK_LIVES) / 2;
        let one = works.challenge(net(1), 0, late);
        assert!(!works.take(&one.challenge, 0, net(1), late), "no room to remember it");
        assert!(works.take(&one.challenge, 0, net(1), until), "the others have expired");
        assert_eq!(works.solved.lock().len(), 1);
    }
}

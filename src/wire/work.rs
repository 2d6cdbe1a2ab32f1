//! Proof of work: what the broker asks of a session key while too many wrong ones come (I-K3).

use crate::limits::{WORK_BITS_MAX, WORK_CHALLENGE_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Asks for an `answer` such that SHA-256 of the challenge, as it is written, and the answer's eight bytes, most
/// significant first, begins with `bits` zero bits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Work {
    pub challenge: String,
    pub bits: u32,
}

impl Work {
    /// Searches: 2^bits hashes on average, so not on a thread that others wait for. None: it asks for too much.
    pub fn solve(&self) -> Option<u64> {
        if self.bits > WORK_BITS_MAX || self.challenge.len() > WORK_CHALLENGE_BYTES {
            return None;
        }
        let begun = Sha256::new_with_prefix(&self.challenge);
        (0..u64::MAX).find(|answer| zeros(begun.clone(), *answer) >= self.bits)
    }

    pub fn is_solved_by(&self, answer: u64) -> bool {
        zeros(Sha256::new_with_prefix(&self.challenge), answer) >= self.bits
    }
}

fn zeros(begun: Sha256, answer: u64) -> u32 {
    let hash = begun.chain_update(answer.to_be_bytes()).finalize();
    hash.as_slice().first_chunk().map_or(0, |first| u64::from_be_bytes(*first).leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_solves_its_own_challenge_alone() {
        let work = Work { challenge: "a challenge".into(), bits: 10 };
        let answer = work.solve().unwrap();
        assert!(work.is_solved_by(answer));
        assert!((0..answer).all(|earlier| !work.is_solved_by(earlier)), "the first one is found");
        assert!(!Work { challenge: "another".into(), bits: 20 }.is_solved_by(answer));
    }

    #[test]
    fn a_client_does_not_work_for_hours() {
        assert_eq!(Work { challenge: "x".into(), bits: WORK_BITS_MAX + 1 }.solve(), None);
        assert_eq!(Work { challenge: "x".repeat(WORK_CHALLENGE_BYTES + 1), bits: 1 }.solve(), None);
    }
}

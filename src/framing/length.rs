//! Messages behind a 32-bit length, as they lie in QUIC streams (W4.5).

use bytes::Bytes;

const PREFIX_BYTES: usize = 4;
/// What is reserved for a message on its sender's word alone; the rest only as bytes arrive.
const TRUSTED_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message of {length} bytes is over the limit of {limit}")]
pub struct TooLong {
    pub length: usize,
    pub limit: usize,
}

/// Puts messages together from whatever pieces a stream hands over.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    message: Vec<u8>,
}

impl Splitter {
    /// `limit`: the longest message in bytes, without its prefix.
    pub fn new(limit: usize) -> Self {
        Self { limit, prefix: [0; PREFIX_BYTES], prefix_len: 0, message: Vec::new() }
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes off `input` until one message is complete or nothing is left.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, TooLong> {
        while self.prefix_len < PREFIX_BYTES {
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            self.prefix[self.prefix_len] = *byte;
            self.prefix_len += 1;
            *input = rest;
        }
        let length = u32::from_be_bytes(self.prefix) as usize;
        if length > self.limit {
            return Err(TooLong { length, limit: self.limit });
        }
        if self.message.is_empty() {
            self.message.reserve_exact(length.min(input.len().max(TRUSTED_BYTES)));
        }
        let (taken, rest) = input.split_at(input.len().min(length - self.message.len()));
        self.message.extend_from_slice(taken);
        *input = rest;
        if self.message.len() < length {
            return Ok(None);
        }
        self.prefix_len = 0;
        Ok(Some(Bytes::from(std::mem::take(&mut self.message))))
    }

    /// Takes all of `input`: every message that is complete with it.
    pub fn feed_all(&mut self, mut input: &[u8]) -> Result<Vec<Bytes>, TooLong> {
        let mut messages = Vec::new();
        while let Some(message) = self.feed(&mut input)? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// A message began and is not complete (W1.9).
    pub fn is_partial(&self) -> bool {
        self.prefix_len > 0
    }
}

/// The prefix of a message made of these parts.
pub fn prefix(length: usize) -> [u8; PREFIX_BYTES] {
    u32::try_from(length).expect("messages are at most 64 KiB and a header").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(limit: usize, pieces: &[Vec<u8>]) -> Result<Vec<Bytes>, TooLong> {
        let mut splitter = Splitter::new(limit);
        let mut messages = Vec::new();
        for piece in pieces {
            let mut input = &piece[..];
            while let Some(message) = splitter.feed(&mut input)? {
                messages.push(message);
            }
            assert!(input.is_empty());
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn w4_5_messages_survive_any_way_of_cutting_the_stream(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1usize..50, 1..400),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend(prefix(message.len()));
                stream.extend(message);
            }
            let mut pieces = Vec::new();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let rest = stream.split_off(stream.len().min(cut));
                pieces.push(std::mem::replace(&mut stream, rest));
            }
            let got: Vec<Vec<u8>> = split(300, &pieces).unwrap().into_iter().map(|message| message.to_vec()).collect();
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn h_40_a_claimed_length_over_the_limit_is_refused_before_anything_is_kept() {
        assert_eq!(split(100, &[vec![0xff; 5]]), Err(TooLong { length: u32::MAX as usize, limit: 100 }));
        let mut splitter = Splitter::new(1 << 30);
        assert_eq!(splitter.feed(&mut &[0x3f, 0, 0, 0, 1][..]), Ok(None));
        assert!(splitter.message.capacity() <= TRUSTED_BYTES);
    }
}

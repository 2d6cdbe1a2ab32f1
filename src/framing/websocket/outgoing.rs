//! What waits to be written: headers and small payloads in one buffer, large payloads as they came, in order.

use super::buffers::{give_buffer, take_buffer};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;

/// From here on to copy a payload costs more than another slice in the write.
const COPIED_BYTES_MAX: usize = 2 * 1024;
/// Slices of one write: a batch of 64 KiB in payloads that are not copied, and what goes between them.
const SLICES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// All that is copied, one after the other; a large payload stands where its turn is.
    copied: Vec<u8>,
    large: VecDeque<Large>,
    /// Bytes of `copied` that are written, and of the first large payload.
    copied_at: usize,
    large_at: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Large {
    /// So much of `copied` goes before it.
    after: usize,
    payload: Bytes,
}

impl Outgoing {
    /// Bytes that are not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The buffer to append to; what is appended is counted by [`Self::appended`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.copied.capacity() == 0 {
            self.copied = take_buffer();
        }
        &mut self.copied
    }

    /// So many bytes were appended to the buffer.
    pub fn appended(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// A payload that is not changed on its way: a large one is not copied.
    pub fn payload(&mut self, payload: &Bytes) {
        self.waiting += payload.len();
        if payload.len() > COPIED_BYTES_MAX {
            self.large.push_back(Large { after: self.copied.len(), payload: payload.clone() });
        } else {
            self.buffer().extend_from_slice(payload);
        }
    }

    /// Writes what is next. One slice goes the shorter way through the system: most messages are small.
    pub fn poll_into(&self, stream: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.large.is_empty() {
            return stream.poll_write(cx, &self.copied[self.copied_at..]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.slices(&mut slices);
        stream.poll_write_vectored(cx, &slices[..count])
    }

    /// What is to be written next, into as many slices as are given; says how many it took.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut places = slices.iter_mut();
        let (mut at, mut skip) = (self.copied_at, self.large_at);
        let mut taken = 0;
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            let Some(place) = places.next() else { return false };
            *place = IoSlice::new(bytes);
            taken += 1;
            true
        };
        for large in &self.large {
            if !put(&self.copied[at..large.after]) || !put(&large.payload[skip..]) {
                return taken;
            }
            (at, skip) = (large.after, 0);
        }
        put(&self.copied[at..]);
        taken
    }

    /// So many bytes of the front are written.
    pub fn written(&mut self, mut bytes: usize) {
        self.waiting -= bytes;
        while let Some(large) = self.large.front() {
            let before = bytes.min(large.after - self.copied_at);
            self.copied_at += before;
            bytes -= before;
            let of_it = bytes.min(large.payload.len() - self.large_at);
            self.large_at += of_it;
            bytes -= of_it;
            if self.large_at < large.payload.len() {
                return;
            }
            self.large.pop_front();
            self.large_at = 0;
        }
        self.copied_at += bytes;
        if self.waiting == 0 {
            give_buffer(std::mem::take(&mut self.copied));
            *self = Self::default();
        }
    }

    /// The other end takes no more for now, perhaps for long: what is left keeps no more room than it needs.
    pub fn make_small(&mut self) {
        let left = self.copied.len() - self.copied_at;
        if self.copied_at > 0 && 2 * left <= self.copied.capacity() {
            let rest = self.copied[self.copied_at..].to_vec();
            give_buffer(std::mem::replace(&mut self.copied, rest));
            self.large.iter_mut().for_each(|large| large.after -= self.copied_at);
            self.copied_at = 0;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        give_buffer(std::mem::take(&mut self.copied));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_it_is_written_it_leaves_in_order_and_once(
            messages in prop::collection::vec((0..30_usize, prop_oneof![0..200_usize, 2_000..9_000_usize], 0..20_000_usize), 0..60),
        ) {
            let (mut out, mut queued, mut left) = (Outgoing::default(), Vec::new(), Vec::new());
            let write = |out: &mut Outgoing, most: usize, left: &mut Vec<u8>| {
                let mut slices = [IoSlice::new(&[]); 5];
                let count = out.slices(&mut slices);
                let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
                assert_eq!(count == 0, out.waiting() == 0);
                let written = bytes.len();
                left.extend(bytes);
                out.written(written);
            };
            for (number, (head, payload, most)) in messages.into_iter().enumerate() {
                let (head, payload) = (vec![number as u8; head], vec![number as u8 ^ 0x80; payload]);
                out.buffer().extend_from_slice(&head);
                out.appended(head.len());
                out.payload(&payload.clone().into());
                queued.extend([head, payload].concat());
                write(&mut out, most, &mut left);
                if most % 3 == 0 {
                    out.make_small();
                }
                prop_assert_eq!(out.waiting(), queued.len() - left.len());
            }
            while out.waiting() > 0 {
                write(&mut out, 7_000, &mut left);
            }
            prop_assert!(left == queued);
        }
    }
}

//! A worker's buffers, lent to whichever of its connections reads or has something to say.

use crate::limits;
use std::cell::{Cell, RefCell};

/// One read from a socket: a batch as large as the other end writes.
pub(in crate::framing) const READ_BYTES: usize = limits::WRITE_BATCH_BYTES;
/// Write buffers a worker keeps for the next connection that has something to say.
const BUFFERS_KEPT: usize = 4;

thread_local! {
    /// Where a worker reads into: one buffer for all its connections, for bytes are taken on before the next read.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's reading buffer.
pub(in crate::framing) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice());
    let done = read(&mut scratch);
    SCRATCH.set(Some(scratch));
    done
}

pub(super) fn take_buffer() -> Vec<u8> {
    BUFFERS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(limits::WRITE_BATCH_BYTES + limits::WRITE_BATCH_BYTES / 4))
}

pub(super) fn give_buffer(mut buffer: Vec<u8>) {
    // Neither the rest of a batch nor what one large message needed.
    if !(limits::WRITE_BATCH_BYTES..=4 * limits::WRITE_BATCH_BYTES).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.len() < BUFFERS_KEPT {
            buffers.push(buffer);
        }
    });
}

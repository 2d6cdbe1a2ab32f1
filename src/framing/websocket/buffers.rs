//! A worker's buffers, lent to whichever of its connections reads or has something to say.

use crate::limits;
use std::cell::RefCell;

/// One read from a socket: a batch as large as the other end writes.
pub(in crate::framing) const READ_BYTES: usize = limits::WRITE_BATCH_BYTES;
/// Reading buffers a worker keeps: one for what is read now, others for those of which a rest is held.
const READERS_KEPT: usize = 4;
/// Write buffers a worker keeps for the next connection that has something to say.
const BUFFERS_KEPT: usize = 4;

thread_local! {
    /// Where a worker reads into: mostly one buffer for all its connections, for bytes are taken on before the next read.
    static READERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's reading buffer.
pub(in crate::framing) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = take_reader();
    let done = read(&mut scratch);
    give_reader(scratch);
    done
}

/// A reading buffer for as long as a rest of what was read into it is held.
pub(in crate::framing) fn take_reader() -> Box<[u8]> {
    READERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice())
}

pub(in crate::framing) fn give_reader(reader: Box<[u8]>) {
    READERS.with_borrow_mut(|readers| {
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
    });
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

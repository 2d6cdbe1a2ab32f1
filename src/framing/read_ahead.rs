//! What TLS reads from. It asks for 4 KiB at a time; the system is asked for a batch.

use super::websocket::{give_reader, take_reader};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP connection that is read in batches. Holds a buffer only while there is a rest in it.
#[derive(Debug)]
pub struct ReadAhead {
    stream: TcpStream,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
}

impl ReadAhead {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, rest: None }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, rest } = self.get_mut();
        let mut held = match rest.take() {
            Some(held) => held,
            None => {
                let mut buffer = take_reader();
                let mut read = ReadBuf::new(&mut buffer);
                let polled = Pin::new(stream).poll_read(cx, &mut read);
                let end = read.filled().len();
                if !matches!(polled, Poll::Ready(Ok(()))) {
                    give_reader(buffer);
                    return polled;
                }
                Rest { buffer, at: 0, end }
            }
        };
        let count = out.remaining().min(held.end - held.at);
        out.put_slice(&held.buffer[held.at..held.at + count]);
        held.at += count;
        if held.at < held.end {
            *rest = Some(held);
        } else {
            give_reader(held.buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

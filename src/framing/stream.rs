//! A TCP connection, with TLS or without, on either end.

use super::websocket::{Fault, READ_BYTES, with_scratch};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Hands what has come to `take`, about a batch of it: what comes together goes on together. `false` where the other
    /// end has closed. What TLS deciphered is not copied; what ends the stream ends it again at the next read.
    pub fn poll_take<E: From<Fault>>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Poll<Result<bool, E>> {
        let stream = match self {
            Self::Tls(stream) => stream,
            Self::Plain(stream) => {
                return with_scratch(|scratch| {
                    let mut buffer = ReadBuf::new(scratch);
                    ready!(Pin::new(stream).poll_read(cx, &mut buffer)).map_err(Fault::from)?;
                    let open = !buffer.filled().is_empty();
                    Poll::Ready(take(buffer.filled()).map(|()| open))
                });
            }
        };
        let mut taken = 0;
        while taken < READ_BYTES {
            let bytes = match Pin::new(&mut **stream).poll_fill_buf(cx) {
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => bytes,
                _ if taken > 0 => break,
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::from(error).into())),
                Poll::Pending => return Poll::Pending,
            };
            let count = bytes.len();
            take(bytes)?;
            Pin::new(&mut **stream).consume(count);
            taken += count;
        }
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! Sends every message back, over the framing that the broker has: what Autobahn|Testsuite talks to.

use crate::{Failure, lean::failed};
use bytes::Bytes;
use equipoise::{
    framing::{
        Stream,
        websocket::{End, Fault, Item, Socket, Step},
    },
    limits,
    wire::CloseCode,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The longest message taken, bytes. Without it: what the broker takes.
    #[arg(long)]
    message_bytes_max: Option<usize>,
}

/// As the broker's pump has it.
const FAREWELL: Duration = Duration::from_millis(limits::FAREWELL.0);

/// Serves until the process is ended.
pub async fn serve(options: Options) -> Result<(), Failure> {
    let listener = TcpListener::bind(options.listen).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let limit = options.message_bytes_max;
        tokio::spawn(async move {
            // A peer that breaks off is one of the cases.
            let _ = timeout(Duration::from_secs(600), echo(stream, limit)).await;
        });
    }
}

async fn echo(stream: TcpStream, limit: Option<usize>) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let upgraded = tokio_tungstenite::accept_async(stream).await.map_err(failed)?;
    let mut socket = Socket::new(End::Broker, Stream::Plain(upgraded.into_inner()), Bytes::new());
    if let Some(limit) = limit {
        socket.limit(limit);
    }
    let ended = loop {
        let mut messages = Vec::new();
        let step = socket.step(|item| match item {
            Item::Message(message) => {
                messages.push(message);
                Ok(())
            }
            Item::Close(reason) => Err(Ended::Closed(reason.map_or(CloseCode::Normal.number(), |(code, _)| code))),
            Item::Ping(_) | Item::Pong | Item::EmptyFragment => Ok(()),
        });
        let step = step.await;
        for message in messages {
            socket.queue(&message);
        }
        match step {
            Ok(Step::End) => return Ok(()),
            Ok(_) => {}
            Err(ended) => break ended,
        }
    };
    let farewell = async {
        match ended {
            Ended::Closed(code) => socket.close_too(code).await,
            Ended::Broken(fault) => match fault.code() {
                Some(code) => socket.close(code.number(), &fault.to_string()).await,
                None => Ok(()),
            },
        }
    };
    timeout(FAREWELL, farewell).await.map_err(failed)?.map_err(failed)
}

/// Why nothing more is read.
enum Ended {
    Closed(u16),
    Broken(Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

//! The floors: what a relay that checks nothing costs on this machine in this run. They know pairs, not sessions: the
//! first connection is a sender, the second its receiver.

use crate::Floor;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;

const BUFFER_BYTES: usize = 64 * 1024;

/// Serves until the process is ended.
pub async fn serve(floor: Floor) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut first: Option<TcpStream> = None;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match first.take() {
            None => first = Some(stream),
            Some(sender) => {
                tokio::spawn(pair(floor, sender, stream));
            }
        }
    }
}

async fn pair(floor: Floor, mut a: TcpStream, mut b: TcpStream) {
    // A floor ends with its sockets; there is nobody to tell.
    match floor {
        Floor::Tcp => {
            let _ = tokio::io::copy_bidirectional(&mut a, &mut b).await;
        }
        Floor::Tcp64 => {
            let _ = tokio::io::copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER_BYTES, BUFFER_BYTES).await;
        }
        Floor::Tung => {
            let (Ok(a), Ok(b)) = (tokio_tungstenite::accept_async(a).await, tokio_tungstenite::accept_async(b).await)
            else {
                return;
            };
            tungstenite(a, b).await;
        }
    }
}

/// A bare relay over tokio-tungstenite, one `send()` for each message.
async fn tungstenite(a: WebSocketStream<TcpStream>, b: WebSocketStream<TcpStream>) {
    let (mut a_out, mut a_in) = a.split();
    let (mut b_out, mut b_in) = b.split();
    let there = async {
        while let Some(Ok(message)) = a_in.next().await {
            if b_out.send(message).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        while let Some(Ok(message)) = b_in.next().await {
            if a_out.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}

//! The floors: what a relay that checks nothing costs on this machine in this run. They know pairs, not sessions: the
//! first connection is a sender, the second its receiver.

use crate::{Failure, Floor, lean::failed};
use equipoise::{
    framing::quic::{Congestion, transport_config},
    limits,
};
use futures_util::{SinkExt, StreamExt};
use quinn::{Endpoint, ServerConfig, crypto::rustls::QuicServerConfig};
use std::{net::IpAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;

const BUFFER_BYTES: usize = 64 * 1024;

/// Serves until the process is ended.
pub async fn serve(floor: Floor, listen: IpAddr) -> Result<(), Failure> {
    if floor == Floor::Quinn {
        return quinn_pairs(listen).await;
    }
    let listener = TcpListener::bind((listen, 0)).await?;
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
        // Has no sockets of TCP.
        Floor::Quinn => {}
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

/// A bare relay over quinn with the settings the broker has: the first connection's stream into one of the second's.
async fn quinn_pairs(listen: IpAddr) -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(failed)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .map_err(failed)?;
    tls.alpn_protocols = vec![b"floor".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).map_err(failed)?));
    config.transport_config(Arc::new(transport_config(Congestion::default(), 1, limits::WINDOW_BYTES_MOST)));
    let endpoint = Endpoint::server(config, (listen, 0).into())?;
    let hex: String = made.cert.der().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{} {hex}", endpoint.local_addr()?);
    let mut first = None;
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.map_err(failed)?;
        match first.take() {
            None => first = Some(connection),
            Some(sender) => {
                tokio::spawn(copy(sender, connection));
            }
        }
    }
    Ok(())
}

async fn copy(from: quinn::Connection, to: quinn::Connection) -> Result<(), Failure> {
    let mut reading = from.accept_uni().await.map_err(failed)?;
    let mut writing = to.open_uni().await.map_err(failed)?;
    while let Some(chunk) = reading.read_chunk(BUFFER_BYTES, true).await.map_err(failed)? {
        writing.write_chunk(chunk.bytes).await.map_err(failed)?;
    }
    Ok(())
}

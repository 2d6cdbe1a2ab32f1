//! The QUIC listener: one UDP socket, one ALPN, the same pump as WebSocket behind it.

use super::{HANDSHAKE, HELLO, PerAddress, http::ListenError, pump, reset};
use crate::{
    broker::{Broker, Origin, TransportName},
    framing::{
        Link,
        quic::{Congestion, Quic, transport_config},
    },
    limits,
    wire::CloseCode,
};
use quinn::{
    Endpoint, Incoming, TokioRuntime,
    crypto::rustls::{HandshakeData, QuicServerConfig},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// How the QUIC listener is set up.
#[derive(Clone, Debug)]
pub struct QuicSettings {
    pub listen: SocketAddr,
    /// With the ALPN of [`crate::framing::ALPN`].
    pub tls: Arc<rustls::ServerConfig>,
    pub congestion: Congestion,
    /// What a channel's window may grow to, bytes (W1.5).
    pub window_max: u64,
    /// The same after a restart, so that clients of the broker that died learn at once that it did.
    pub reset_key: [u8; 32],
    pub per_address: PerAddress,
}

/// A bound endpoint that does not answer yet.
#[derive(Debug)]
pub struct QuicListener {
    endpoint: Endpoint,
    address: SocketAddr,
    per_address: PerAddress,
}

impl QuicListener {
    /// Binds inside a runtime: the endpoint's driver is a task of it.
    pub fn bind(settings: QuicSettings) -> Result<Self, ListenError> {
        let listen = settings.listen;
        let bind = |error| ListenError::Bind(listen, error);
        let crypto = QuicServerConfig::try_from(settings.tls).map_err(|error| bind(std::io::Error::other(error)))?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        // No legs and next to no bytes before somebody has proved who they are: nothing else would bound what strangers
        // send (I-M3).
        let mut transport = transport_config(settings.congestion, 0, settings.window_max);
        transport.receive_window(limits::QUIC_STRANGER_WINDOW_BYTES.into());
        config.transport_config(Arc::new(transport)).max_incoming(limits::UNAUTHENTICATED_MAX);
        let socket = std::net::UdpSocket::bind(listen).map_err(bind)?;
        let endpoint = reset::endpoint_config(settings.reset_key);
        let endpoint = Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime)).map_err(bind)?;
        let address = endpoint.local_addr().map_err(bind)?;
        Ok(Self { endpoint, address, per_address: settings.per_address })
    }

    /// Where it listens; the port is the system's choice if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the broker is about to go, then waits until its connections have closed.
    pub async fn serve(self, broker: Broker) {
        let strangers = Arc::new(Semaphore::new(limits::UNAUTHENTICATED_MAX));
        let tasks = TaskTracker::new();
        let shutdown = broker.shutdown().clone();
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                () = shutdown.cancelled() => None,
            };
            let Some(incoming) = incoming else { break };
            let under_way = limits::UNAUTHENTICATED_MAX - strangers.available_permits();
            if under_way > limits::QUIC_UNVALIDATED && !incoming.remote_address_validated() {
                // Fails only for an address that is validated.
                let _ = incoming.retry();
                continue;
            }
            if self.per_address.is_full(incoming.remote_address().ip()) {
                super::refused("address");
                incoming.refuse();
                continue;
            }
            match strangers.clone().try_acquire_owned() {
                Ok(permit) => {
                    let connection = serve(incoming, broker.clone(), permit, self.per_address.clone());
                    drop(tasks.spawn(connection));
                }
                Err(_) => {
                    super::refused("strangers");
                    incoming.refuse();
                }
            }
        }
        super::close_all(&broker);
        self.endpoint.set_server_config(None);
        tasks.close();
        if timeout(super::DRAIN, tasks.wait()).await.is_err() {
            tracing::info!(left = tasks.len(), "connections were still open at the end of the drain");
        }
        self.endpoint.close(1012u32.into(), b"the broker is about to restart");
        // The last packets leave; nobody is owed more than that.
        let _ = timeout(super::FAREWELL, self.endpoint.wait_idle()).await;
    }
}

async fn serve(incoming: Incoming, broker: Broker, permit: OwnedSemaphorePermit, per_address: PerAddress) {
    let address = incoming.remote_address().ip();
    let handshake = async { incoming.accept()?.await };
    let connection = match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a QUIC handshake failed"),
        Err(_) => return tracing::debug!("a QUIC handshake took too long"),
    };
    // An address that was only claimed uses up nobody's places: the handshake has proved it.
    let Some(_place) = per_address.enter(address) else {
        super::refused("address");
        return connection.close(CloseCode::Overloaded.number().into(), b"too many connections from this address");
    };
    let host = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.server_name)
        .map(|name| name.to_ascii_lowercase());
    // The stream is there with its first byte, which is the hello's.
    let Ok(Ok((send, receive))) = timeout(HELLO, connection.accept_bi()).await else {
        return tracing::debug!("no control stream was opened");
    };
    let origin = Origin { address, host, page: None, transport: TransportName::Quic };
    let link = Link::Quic(Box::new(Quic::new(connection, send, receive)));
    pump::serve(link, origin, broker, Arc::new(permit), std::time::Instant::now()).await;
}

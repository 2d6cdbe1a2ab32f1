//! The ends of a floor: the same load as a session's pair has, through a relay that checks nothing.

use crate::{
    Failure, Floor,
    lean::{GENERATOR_BYTES, failed, step},
    process::{Measured, Place, Usage},
    relay::{Load, Share},
};
use bytes::Bytes;
use equipoise::{
    framing::{
        Link, Stream,
        quic::{Congestion, transport_config},
        websocket::{End, Socket},
    },
    limits,
};
use quinn::{Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A floor that runs.
pub struct Relay {
    floor: Floor,
    measured: Measured,
    address: SocketAddr,
    /// For QUIC: the certificate it made for itself.
    certificate: Vec<u8>,
}

/// Two connections that the floor joined: a sender and its receiver.
pub enum FloorEnds {
    Tcp(TcpStream, TcpStream),
    Tung(Box<Link>, Box<Link>),
    Quinn { send: SendStream, receive: RecvStream, _ends: [quinn::Connection; 2] },
}

impl Relay {
    pub fn start(floor: Floor, place: &Place) -> Result<Self, Failure> {
        let measured = place.start(&["floor", floor.name(), "--listen", &place.address().to_string()])?;
        let mut words = measured.hello.split_whitespace();
        let address = words.next().unwrap_or_default().parse().map_err(failed)?;
        let certificate = words.next().map(|hex| hex_bytes(hex).collect()).unwrap_or_default();
        Ok(Self { floor, measured, address, certificate })
    }

    pub fn usage(&self) -> Result<Usage, Failure> {
        Ok(self.measured.usage()?)
    }

    /// Connects a sender and a receiver, in this order: the floor joins what follows each other.
    pub async fn pair(&self) -> Result<FloorEnds, Failure> {
        match self.floor {
            Floor::Tcp | Floor::Tcp64 => Ok(FloorEnds::Tcp(self.tcp().await?, self.tcp().await?)),
            Floor::Tung => {
                // Both are upgraded once both are there.
                let (from, to) = (self.tcp().await?, self.tcp().await?);
                let (from, to) = tokio::join!(self.upgraded(from), self.upgraded(to));
                Ok(FloorEnds::Tung(Box::new(from?), Box::new(to?)))
            }
            Floor::Quinn => self.quinn().await,
        }
    }

    async fn tcp(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn upgraded(&self, stream: TcpStream) -> Result<Link, Failure> {
        let url = format!("ws://{}/", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.map_err(failed)?;
        let stream = Stream::Plain(socket.into_inner());
        Ok(Link::Ws(Box::new(Socket::new(End::Client, stream, Bytes::new()))))
    }

    async fn quinn(&self) -> Result<FloorEnds, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone().into()).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"floor".to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(failed)?));
        config.transport_config(Arc::new(transport_config(Congestion::default(), 1, limits::WINDOW_BYTES_MOST)));
        let dial = async || {
            let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
            endpoint.set_default_client_config(config.clone());
            endpoint.connect(self.address, "localhost").map_err(failed)?.await.map_err(failed)
        };
        let from = dial().await?;
        // A stream is there for the floor with its first byte.
        let mut send = from.open_uni().await.map_err(failed)?;
        send.write_all(b"x").await.map_err(failed)?;
        let to = dial().await?;
        let mut receive = to.accept_uni().await.map_err(failed)?;
        receive.read_exact(&mut [0]).await.map_err(failed)?;
        Ok(FloorEnds::Quinn { send, receive, _ends: [from, to] })
    }
}

fn hex_bytes(hex: &str) -> impl Iterator<Item = u8> {
    hex.as_bytes().chunks_exact(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}

impl FloorEnds {
    /// Moves the load until its time is over.
    pub async fn run(self, load: Load) -> Result<Share, Failure> {
        match self {
            Self::Tcp(from, to) => one_way(load, TcpEnd(from), TcpEnd(to)).await,
            Self::Tung(from, to) => {
                one_way(load, MessageEnd(*from, VecDeque::new()), MessageEnd(*to, VecDeque::new())).await
            }
            Self::Quinn { send, receive, _ends } => one_way(load, QuicSend(send), QuicReceive(receive)).await,
        }
    }
}

/// The sending end of a floor.
trait Sends {
    /// Writes one message and sees it off.
    async fn send(&mut self, message: &[u8]) -> Result<(), Failure>;

    /// Writes as many as a generator's buffer holds, so that the relay is what limits, not the load.
    async fn fill(&mut self, message: &[u8]) -> Result<(), Failure>;
}

/// The receiving end of a floor.
trait Receives {
    /// Waits for something and says how many payload bytes it was.
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;
}

async fn one_way(load: Load, mut from: impl Sends, mut to: impl Receives) -> Result<Share, Failure> {
    let message = vec![b'x'; load.size];
    let mut buffer = vec![0; limits::WRITE_BATCH_BYTES];
    let mut share = Share::new(0)?;
    if load.ping_pong {
        while Instant::now() < load.until {
            let began = Instant::now();
            from.send(&message).await?;
            let mut left = load.size;
            while left > 0 {
                left -= to.receive(&mut buffer).await?.min(left);
            }
            share.round_trips.record(2 * began.elapsed().as_micros() as u64).map_err(failed)?;
            share.bytes += load.size as u64;
        }
        return Ok(share);
    }
    let sending = async {
        let mut next = Instant::now();
        while Instant::now() < load.until {
            if let Some(every) = load.every {
                tokio::time::sleep_until(next.min(load.until).into()).await;
                next += every;
            }
            let sent = async {
                match load.every {
                    Some(_) => from.send(&message).await,
                    None => from.fill(&message).await,
                }
            };
            let Ok(done) = tokio::time::timeout(load.left(), sent).await else { break };
            done?;
        }
        Ok::<_, Failure>(())
    };
    let receiving = async {
        let mut bytes = 0;
        while let Ok(read) = tokio::time::timeout(load.left(), to.receive(&mut buffer)).await {
            bytes += read? as u64;
        }
        Ok::<_, Failure>(bytes)
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    share.bytes = received?;
    Ok(share)
}

struct TcpEnd(TcpStream);

impl Sends for TcpEnd {
    async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        Ok(self.0.write_all(message).await?)
    }

    async fn fill(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.send(&buffer_of(message)).await
    }
}

/// Bytes have no borders: one buffer of them.
fn buffer_of(message: &[u8]) -> Vec<u8> {
    message.repeat((limits::WRITE_BATCH_BYTES / message.len()).max(1))
}

impl Receives for TcpEnd {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self.0.read(buffer).await? {
            0 => Err(Failure::Run("the floor is gone".into())),
            read => Ok(read),
        }
    }
}

struct QuicSend(SendStream);

impl Sends for QuicSend {
    async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.0.write_all(message).await.map_err(failed)
    }

    async fn fill(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.send(&buffer_of(message)).await
    }
}

struct QuicReceive(RecvStream);

impl Receives for QuicReceive {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.0.read(buffer).await.map_err(failed)?;
        read.ok_or_else(|| Failure::Run("the floor is gone".into()))
    }
}

/// A WebSocket end whose messages carry as much overhead as a session's frames do.
struct MessageEnd(Link, VecDeque<Bytes>);

impl MessageEnd {
    fn queue(&mut self, message: &[u8]) {
        self.0.queue_control(&[&[0; limits::FRAME_HEADER_BYTES], message].concat());
    }
}

impl Sends for MessageEnd {
    async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.queue(message);
        while !self.0.is_idle() {
            step(&mut self.0, &mut self.1).await?;
        }
        Ok(())
    }

    async fn fill(&mut self, message: &[u8]) -> Result<(), Failure> {
        while self.0.waiting() < GENERATOR_BYTES {
            self.queue(message);
        }
        step(&mut self.0, &mut self.1).await
    }
}

impl Receives for MessageEnd {
    async fn receive(&mut self, _buffer: &mut [u8]) -> Result<usize, Failure> {
        step(&mut self.0, &mut self.1).await?;
        Ok(self.1.drain(..).map(|message| message.len() - limits::FRAME_HEADER_BYTES).sum())
    }
}

//! QUIC that no client speaks: packets, handshakes, streams and datagrams (H-93…H-100, H-106).

use crate::{
    attack::{Ground, in_time},
    tls::client,
};
use bytes::Bytes;
use equipoise::{
    framing::{self, length::Splitter, quic::Quic, websocket::Fault},
    ids::ChannelId,
    limits,
    transport::tls::{self, Certificate, Source},
    wire::{Flags, Frame, FromBroker, FromClient, Header, Hello, Kind, frame::CloseReason},
};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    crypto::rustls::QuicClientConfig,
};
use rustls::{
    Side,
    quic::{Keys, Version},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::UdpSocket;

/// A QUIC connection whose streams are written by hand.
pub struct Attacker {
    pub connection: Connection,
    pub endpoint: Endpoint,
    pub control: Option<(SendStream, RecvStream, Splitter)>,
}

impl Attacker {
    pub async fn connect(address: SocketAddr, alpn: &[u8]) -> Result<Self, ConnectionError> {
        Self::connect_as(address, alpn, TransportConfig::default()).await
    }

    async fn connect_as(address: SocketAddr, alpn: &[u8], transport: TransportConfig) -> Result<Self, ConnectionError> {
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let protocols: &[&[u8]] = if alpn.is_empty() { &[] } else { &[alpn] };
        let tls = client(&rustls::version::TLS13, protocols);
        let tls = QuicClientConfig::try_from(tls).unwrap();
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(config);
        let connection = in_time(endpoint.connect(address, "broker.example").unwrap()).await?;
        Ok(Self { connection, endpoint, control: None })
    }

    /// A customer who was welcomed.
    pub async fn welcomed(ground: &Ground) -> Self {
        let mut attacker = Self::connect(ground.quic, framing::ALPN).await.unwrap();
        attacker.hello(ground.customers_hello().await).await;
        attacker
    }

    pub async fn hello(&mut self, hello: Hello) {
        let (send, receive) = in_time(self.connection.open_bi()).await.unwrap();
        self.control = Some((send, receive, Splitter::new(1 << 20)));
        self.say(&FromClient::Hello(Box::new(hello)).encode()).await;
        in_time(self.hears(|message| matches!(message, FromBroker::Welcome(_)))).await;
    }

    /// Writes one message on the control stream; the other end may be gone.
    pub async fn say(&mut self, message: &[u8]) {
        let (send, ..) = self.control.as_mut().expect("a control stream");
        let _ = send.write_all(&prefixed(message)).await;
    }

    async fn hears(&mut self, wanted: impl Fn(&FromBroker) -> bool) {
        let (_, receive, splitter) = self.control.as_mut().expect("a control stream");
        let mut piece = [0; 16 * 1024];
        loop {
            let read = receive.read(&mut piece).await.unwrap().expect("the control stream goes on");
            for message in splitter.feed_all(&piece[..read]).unwrap() {
                if FromBroker::decode(&message).is_ok_and(|message| wanted(&message)) {
                    return;
                }
            }
        }
    }

    async fn is_alive(&mut self) {
        self.say(&FromClient::Ping(815).encode()).await;
        in_time(self.hears(|message| *message == FromBroker::Pong(815))).await;
    }

    /// A stream of its own with these bytes.
    async fn stream(&self, bytes: &[u8]) -> SendStream {
        let mut stream = in_time(self.connection.open_uni()).await.unwrap();
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// A datagram, as soon as there is room for it; false where the connection is closed.
    async fn repeat(&self, stream: u64, at: u64, bytes: &[u8]) -> bool {
        let datagram = [&stream.to_be_bytes()[..], &at.to_be_bytes(), bytes].concat();
        in_time(self.connection.send_datagram_wait(datagram.into())).await.is_ok()
    }

    /// The code it is closed with; the largest number where it just ended.
    pub async fn ends(&self) -> u64 {
        match in_time(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            _ => u64::MAX - 1,
        }
    }
}

pub fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

fn data(kind: Kind, channel: u32, offset: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header { kind, flags: Flags::default(), channel: equipoise::ids::ChannelId(channel), offset };
    prefixed(&Frame { header, payload: Bytes::copy_from_slice(payload) }.encode())
}

// ---- packets made by hand -------------------------------------------------------------------------------------------

/// One Initial packet with this ClientHello in it, as a client that picked `id` sends it.
fn initial(id: [u8; 8], hello: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let keys = Keys::initial(Version::V1, suite, suite.quic.unwrap(), &id, Side::Client);
    let mut frames = vec![0x06, 0x00];
    frames.extend((0x4000 | hello.len() as u16).to_be_bytes());
    frames.extend(hello);
    let head = 1 + 4 + 1 + id.len() + 1 + 1 + 2 + 1;
    let tag = keys.local.packet.tag_len();
    frames.resize(1_200 - head - tag, 0);
    let mut packet = vec![0xc0, 0, 0, 0, 1, id.len() as u8];
    packet.extend(id);
    packet.extend([0, 0]);
    packet.extend((0x4000 | (1 + frames.len() + tag) as u16).to_be_bytes());
    packet.push(0);
    assert_eq!(packet.len(), head);
    let sealed = keys.local.packet.encrypt_in_place(0, &packet, &mut frames).unwrap();
    packet.extend(&frames);
    packet.extend(sealed.as_ref());
    let (first, rest) = packet.split_at_mut(1);
    let number = head - 2;
    let (numbers, sample) = rest.split_at_mut(number + 4);
    let sample = sample[..keys.local.header.sample_len()].to_vec();
    keys.local.header.encrypt_in_place(&sample, &mut first[0], &mut numbers[number..=number]).unwrap();
    packet
}

/// A ClientHello with these bytes for transport parameters.
fn client_hello(parameters: &[u8]) -> Vec<u8> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // A small hello: one packet.
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(crate::tls::Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![framing::ALPN.to_vec()];
    let name = "broker.example".try_into().unwrap();
    let mut connection =
        rustls::quic::ClientConnection::new(Arc::new(config), Version::V1, name, parameters.to_vec()).unwrap();
    let mut hello = Vec::new();
    assert!(connection.write_hs(&mut hello).is_none());
    hello
}

/// What comes back within a moment: all datagrams until none comes for 300 ms.
async fn replies(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 2048];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(300), socket.recv(&mut buffer)).await {
        all.push(buffer[..read].to_vec());
    }
    all
}

async fn udp(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn h_93_short_garbage_or_unknown_packets_are_dropped_or_answered_shortly() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let good = initial([1; 8], &client_hello(b""));
    let mut unknown = good.clone();
    unknown[1..5].copy_from_slice(&0x0a0a_0a0a_u32.to_be_bytes());
    for (case, packet, answered) in [
        ("garbage", vec![0x5a; 1_200], false),
        ("one byte", vec![0xc0], false),
        ("an Initial below 1,200 bytes", good[..600].to_vec(), false),
        ("an Initial that is not sealed", [&good[..40], &[0; 1_160]].concat(), false),
        ("an unknown version", unknown.clone(), true),
        ("an unknown version, short", unknown[..200].to_vec(), false),
    ] {
        let socket = udp(ground.quic).await;
        socket.send(&packet).await.unwrap();
        let got = replies(&socket).await;
        let bytes: usize = got.iter().map(Vec::len).sum();
        assert!(bytes <= 3 * packet.len(), "{case}: {bytes} bytes back");
        if answered {
            assert_eq!(got[0][1..5], [0; 4], "{case}: version negotiation");
        } else {
            assert!(got.iter().all(|packet| packet[0] & 0x80 == 0 || packet[1..5] != [0; 4]), "{case}: {got:?}");
        }
        ground.unharmed().await;
    }
    // A good one that never goes on: three times its size at most until the address is proved.
    let socket = udp(ground.quic).await;
    socket.send(&initial([2; 8], &client_hello(&PARAMETERS))).await.unwrap();
    let bytes: usize = replies(&socket).await.iter().map(Vec::len).sum();
    assert!(bytes > 0 && bytes <= 3 * 1_200, "{bytes} bytes back");
    ground.close().await;
}

/// The client's own connection id, which is empty: the least there must be.
const PARAMETERS: [u8; 2] = [0x0f, 0x00];

#[tokio::test(flavor = "multi_thread")]
async fn h_94_under_a_flood_of_initials_an_address_must_prove_itself_and_clients_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let hello = client_hello(&PARAMETERS);
    let socket = udp(ground.quic).await;
    let is_retry = |packet: &[u8]| packet.len() > 5 && packet[0] & 0xf0 == 0xf0 && packet[1..5] == [0, 0, 0, 1];
    let flood = async {
        let mut buffer = vec![0; 2048];
        for id in 1_000u64.. {
            socket.send(&initial(id.to_be_bytes(), &hello)).await.unwrap();
            // Few at once, or the system drops what the broker never sees.
            if id.is_multiple_of(16) {
                let _ = tokio::time::timeout(Duration::from_millis(5), socket.readable()).await;
            }
            while let Ok(read) = socket.try_recv(&mut buffer) {
                if is_retry(&buffer[..read]) {
                    return;
                }
            }
        }
    };
    in_time(flood).await;
    // Ten thousand more from a hundred addresses, while somebody comes in.
    let mut sources = Vec::new();
    for n in 0..100u8 {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 7, n + 1], 0))).await.unwrap();
        socket.connect(ground.quic).await.unwrap();
        sources.push(socket);
    }
    let more = async {
        for id in 0..10_000u64 {
            let packet = initial((1 << 40 | id).to_be_bytes(), &hello);
            let _ = sources[id as usize % sources.len()].send(&packet).await;
            tokio::task::yield_now().await;
        }
    };
    let ((), mut honest) = tokio::join!(more, Attacker::welcomed(&ground));
    honest.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_95_malformed_transport_parameters_end_their_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (n, parameters) in [
        &b""[..],
        b"\x0f",
        b"\x0f\x00\x04",
        b"\x0f\x00\x04\x01\xff",
        b"\x0f\x00\x04\x08\xff",
        b"\x0f\x00\x04\x02\x7f",
        b"\x0f\x00\x03\x02\x40\x01",
        b"\x0f\x00\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0f\x00\x0f\x00",
        b"\x0f\x00\x02\x01\x00",
        b"\x0f\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0xc0; 64],
    ]
    .into_iter()
    .enumerate()
    {
        let socket = udp(ground.quic).await;
        socket.send(&initial([n as u8 + 10; 8], &client_hello(parameters))).await.unwrap();
        let bytes: usize = replies(&socket).await.iter().map(Vec::len).sum();
        assert!(bytes <= 3 * 1_200, "{parameters:?}");
        ground.unharmed().await;
    }
    Attacker::welcomed(&ground).await.is_alive().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_96_without_our_alpn_there_is_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    for alpn in [&b"h3"[..], b"equipoise/2", b"equipoise", b"EQUIPOISE/1", b""] {
        let refused = Attacker::connect(ground.quic, alpn).await;
        assert!(refused.is_err(), "{alpn:?}");
    }
    Attacker::welcomed(&ground).await.is_alive().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_98_a_storm_of_streams_that_are_reset_is_4029() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, first, reset) in
        [("reset after a byte", &[0][..], true), ("reset at once", b"", true), ("empty", b"", false)]
    {
        let attacker = Attacker::welcomed(&ground).await;
        let storm = async {
            while let Ok(mut stream) = attacker.connection.open_uni().await {
                let _ = stream.write_all(first).await;
                let _ = if reset { stream.reset(7u32.into()) } else { stream.finish() };
            }
        };
        in_time(storm).await;
        assert_eq!(attacker.ends().await, 4029, "{case}");
        ground.unharmed().await;
    }
    // Whoever takes nothing of the control stream stops it: that ends the connection and nothing else.
    let mut attacker = Attacker::welcomed(&ground).await;
    let (_, receive, _) = attacker.control.as_mut().unwrap();
    let _ = receive.stop(9u32.into());
    for n in 0..100 {
        attacker.say(&FromClient::Ping(n).encode()).await;
    }
    attacker.ends().await;
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_99_a_connection_that_hops_between_ports_stays_who_it_is_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut attacker = Attacker::welcomed(&ground).await;
    for _ in 0..50 {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        attacker.endpoint.rebind(socket).unwrap();
        attacker.say(&FromClient::Ping(1).encode()).await;
        tokio::task::yield_now().await;
    }
    // What was lost on the way is sent again over a path that was proved.
    attacker.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_100_a_stream_carries_one_channel_and_only_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, bytes) in [
        ("another channel", [data(Kind::File, 7, 0, b"a"), data(Kind::File, 8, 0, b"b")].concat()),
        ("a steering frame", prefixed(&Frame::refresh(equipoise::ids::ChannelId(7)).encode())),
        ("control", prefixed(&FromClient::Ping(1).encode())),
        ("nothing", prefixed(b"")),
    ] {
        let attacker = Attacker::welcomed(&ground).await;
        let _stream = attacker.stream(&bytes).await;
        assert_eq!(attacker.ends().await, 4503, "{case}");
        ground.unharmed().await;
    }
    let attacker = Attacker::welcomed(&ground).await;
    let _stream = attacker.stream(&(limits::FRAME_PAYLOAD_BYTES_MAX as u32 + 17).to_be_bytes()).await;
    assert_eq!(attacker.ends().await, 1009);
    let mut attacker = Attacker::welcomed(&ground).await;
    attacker.say(&data(Kind::File, 7, 0, b"on the control stream")[4..]).await;
    assert_eq!(attacker.ends().await, 1002);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_100_h_42_a_channel_of_another_session_answers_as_one_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut attacker = Attacker::welcomed(&ground).await;
    // Every channel there is: the victims' among them.
    for channel in 0..40 {
        let mut stream = attacker.stream(&data(Kind::File, channel, 0, b"forged")).await;
        let _ = stream.finish();
        attacker
            .say(
                &Frame::close(equipoise::ids::ChannelId(channel), 0, equipoise::wire::frame::CloseReason::Cancelled)
                    .encode(),
            )
            .await;
    }
    attacker.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_106_i_m3_datagrams_before_the_hello_are_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut attacker = Attacker::connect(ground.quic, framing::ALPN).await.unwrap();
    for n in 0..1_000u64 {
        assert!(attacker.repeat(n, n << 40, &[n as u8; 1_000]).await);
    }
    attacker.hello(ground.customers_hello().await).await;
    attacker.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_106_a_datagram_repeats_a_leg_and_is_checked_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let first = data(Kind::File, 7, 0, b"a");
    let at = first.len() as u64;
    for (case, repeated, code) in [
        ("another channel", data(Kind::File, 8, 0, b"b"), 4503),
        ("a steering frame", prefixed(&Frame::refresh(equipoise::ids::ChannelId(7)).encode()), 4503),
        ("control", prefixed(&FromClient::Ping(1).encode()), 4503),
        ("a frame that is too long", (limits::FRAME_PAYLOAD_BYTES_MAX as u32 + 17).to_be_bytes().to_vec(), 1009),
        ("nothing", Vec::new(), 4503),
    ] {
        let attacker = Attacker::welcomed(&ground).await;
        let stream = attacker.stream(&first).await;
        // Until the leg is there, what repeats it is dropped.
        while attacker.repeat(stream.id().into(), at, &repeated).await {}
        assert_eq!(attacker.ends().await, code, "{case}");
        ground.unharmed().await;
    }
    // Too short to say what it repeats.
    let attacker = Attacker::welcomed(&ground).await;
    let _stream = attacker.stream(&first).await;
    let _ = attacker.connection.send_datagram(Bytes::from_static(&[0; 15]));
    assert_eq!(attacker.ends().await, 4503);
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_106_h_98_a_flood_of_datagrams_is_4029() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let first = data(Kind::File, 7, 0, b"a");
    for (case, stream, at) in [
        ("what came already", 2, 0),
        ("beyond a gap", 2, 1 << 30),
        ("beyond all there is", 2, u64::MAX),
        ("a stream that is not there", 6, 0),
        ("the control stream", 0, 0),
        ("one of the broker's", 3, 0),
    ] {
        let attacker = Attacker::welcomed(&ground).await;
        let _stream = attacker.stream(&first).await;
        while attacker.repeat(stream, at, &first).await {}
        assert_eq!(attacker.ends().await, 4029, "{case}");
        ground.unharmed().await;
    }
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_106_a_peer_that_takes_no_datagrams_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(None);
    let mut plain = Attacker::connect_as(ground.quic, framing::ALPN, transport).await.unwrap();
    plain.hello(ground.customers_hello().await).await;
    plain.is_alive().await;
    ground.unharmed().await;
    ground.close().await;
}

/// A connection to a peer that reads and says nothing.
async fn to_nobody(folder: &std::path::Path) -> (Attacker, Quic) {
    let source = Source::SelfMade { folder: folder.to_owned(), names: tls::names_for([]) };
    let certificate = Certificate::load(source, 1_800_000_000_000).unwrap();
    let crypto = tls::server_config(&certificate, &[framing::ALPN], false).unwrap();
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(crypto).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let server = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let accepted = async { server.accept().await.unwrap().await.unwrap() };
    let peer = Attacker::connect(server.local_addr().unwrap(), framing::ALPN);
    let (peer, connection) = in_time(async { tokio::join!(peer, accepted) }).await;
    let mut peer = peer.unwrap();
    let (send, receive) = in_time(peer.connection.open_bi()).await.unwrap();
    peer.control = Some((send, receive, Splitter::new(1 << 20)));
    peer.say(&FromClient::Ping(1).encode()).await;
    let (send, receive) = in_time(connection.accept_bi()).await.unwrap();
    (peer, Quic::new(connection, send, receive))
}

async fn all_written(quic: &mut Quic) {
    while !quic.is_idle() {
        in_time(quic.step::<Fault>(|_| Ok(()))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_8_what_an_empty_last_frame_says_the_close_that_overtook_it_has_said() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, mut quic) = to_nobody(folder.path()).await;
    let frame = |flags, offset, payload| {
        let header = Header { kind: Kind::File, flags, channel: ChannelId(7), offset };
        Frame { header, payload: Bytes::from_static(payload) }
    };
    quic.queue_frame(&frame(Flags::default(), 0, b"all of it"));
    all_written(&mut quic).await;
    quic.queue_control(&Frame::close(ChannelId(7), 9, CloseReason::Finished).encode());
    all_written(&mut quic).await;
    quic.queue_frame(&frame(Flags::FIN, 9, b""));
    assert!(quic.is_idle(), "on a stream of its own it may come before the rest");
    let mut leg = in_time(peer.connection.accept_uni()).await.unwrap();
    assert_eq!(in_time(leg.read_to_end(1_000)).await.unwrap(), data(Kind::File, 7, 0, b"all of it"));

    // A reader that goes on from somewhere is sent what it lacks, and an empty file is such a frame alone.
    quic.queue_frame(&frame(Flags::FIN, 4, b"of it"));
    assert!(!quic.is_idle());
    all_written(&mut quic).await;
    let empty = Header { kind: Kind::File, flags: Flags::FIN, channel: ChannelId(8), offset: 0 };
    quic.queue_frame(&Frame { header: empty, payload: Bytes::new() });
    assert!(!quic.is_idle());
    all_written(&mut quic).await;
}

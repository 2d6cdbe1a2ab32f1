//! What comes before HTTP: sockets that say nothing, too little or the wrong thing (H-03…H-10).

use crate::attack::{Ground, http, in_time};
use equipoise::{client::Client, limits, wire::Credential, wire::control::Role};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Takes any certificate: the attacker does not care.
#[derive(Debug)]
pub struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A careless client of one version of TLS.
pub fn client(version: &'static rustls::SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// One handshake and one request; gives the answer's first bytes.
fn request(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> io::Result<(ClientConnection, String)> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    // What a client would say before the handshake, had its ticket allowed it (H-08).
    assert!(connection.early_data().is_none());
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut text = vec![0; 1024];
    let read = {
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
        stream.read(&mut text)?
    };
    text.truncate(read);
    Ok((connection, String::from_utf8_lossy(&text).into_owned()))
}

async fn request_from(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> io::Result<(ClientConnection, String)> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || request(address, config, name)).await.unwrap()
}

/// A ClientHello written by hand, in its record.
pub fn client_hello(version: u16, suites: &[u16], compression: &[u8], extensions: &[u8]) -> Vec<u8> {
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend((suites.len() as u16 * 2).to_be_bytes());
    suites.iter().for_each(|suite| hello.extend(suite.to_be_bytes()));
    hello.push(compression.len() as u8);
    hello.extend(compression);
    if !extensions.is_empty() {
        hello.extend((extensions.len() as u16).to_be_bytes());
        hello.extend(extensions);
    }
    let mut handshake = vec![1, 0];
    handshake.extend((hello.len() as u16).to_be_bytes());
    handshake.extend(hello);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

/// Sends bytes to the TLS port and reads to the end of the connection.
async fn told(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut got = Vec::new();
    // A reset is an end as well.
    let _ = in_time(stream.read_to_end(&mut got)).await;
    got
}

const ALERT: u8 = 0x15;

#[tokio::test]
async fn h_03_handshakes_that_are_withheld_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut held = Vec::new();
    // Nearly all the places that strangers have; one address could not have so many (I-M2).
    for n in 0..1_900u32 {
        let config = Arc::new(client(&rustls::version::TLS13, &[]));
        let mut connection = ClientConnection::new(config, "broker.example".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 3, 1 + (n / 500) as u8], 0))).unwrap();
        let mut stream = socket.connect(ground.tls).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        // The broker has answered and waits for a Finished.
        assert!(in_time(stream.read(&mut [0; 64])).await.unwrap() > 0);
        held.push(stream);
    }
    let key = ground.key(equipoise::wire::control::KeyKind::Link).await;
    let hello = crate::place::hello(Role::Customer, Credential::Key(key));
    let target = ground.place.target(equipoise::client::Transport::Ws);
    let (other, happenings) = in_time(Client::connect(target, hello)).await.unwrap();
    happenings.ignore();
    in_time(other.close()).await;
    ground.unharmed().await;
    drop(held);
    ground.close().await;
}

#[tokio::test]
async fn h_05_old_versions_and_broken_ciphers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let (rc4, cbc) = (0x0005, 0x002f);
    for (case, hello) in [
        ("SSL 3", client_hello(0x0300, &[rc4, cbc], &[0], &[])),
        ("TLS 1.0", client_hello(0x0301, &[cbc, 0xc013], &[0], &[])),
        ("TLS 1.1", client_hello(0x0302, &[cbc, 0xc013], &[0], &[])),
        ("RC4 and CBC of TLS 1.2", client_hello(0x0303, &[rc4, cbc], &[0], &[])),
        ("SSL 2", vec![0x80, 0x2e, 0x01, 0x00, 0x02, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10]),
    ] {
        let got = told(ground.tls, &hello).await;
        assert!(got.is_empty() || got[0] == ALERT, "{case}: {got:?}");
        ground.unharmed().await;
    }
    let old = Arc::new(client(&rustls::version::TLS12, &[]));
    assert!(request_from(ground.tls, &old, "broker.example").await.is_err(), "TLS 1.2 is off by default");
    let modern = Arc::new(client(&rustls::version::TLS13, &[b"http/1.1"]));
    let (_, text) = request_from(ground.tls, &modern, "broker.example").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    ground.close().await;
}

#[tokio::test]
async fn h_06_plain_http_on_the_tls_port_is_closed_without_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let (status, text) = http(ground.tls, "GET / HTTP/1.1\r\nHost: broker.example\r\n\r\n").await;
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("HTTP/") && !text.contains("Location"), "{text}");
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_07_a_server_name_gives_no_rights() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let config = Arc::new(client(&rustls::version::TLS13, &[]));
    // One site: whatever is asked for, the same certificate answers, and a credential is still needed.
    let mut seen = Vec::new();
    for name in ["another.site.example", "broker.example", "127.0.0.1"] {
        let (connection, text) = request_from(ground.tls, &config, name).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        seen.push(connection.peer_certificates().unwrap()[0].to_vec());
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]));
    let long = [&[0u8, 0, 1, 49, 1, 47, 0, 1, 44][..], &[b'a'; 300]].concat();
    let got = told(ground.tls, &client_hello(0x0303, &[0x1301], &[0], &long)).await;
    assert!(got.is_empty() || got[0] == ALERT, "{got:?}");
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_08_early_data_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let mut config = client(&rustls::version::TLS13, &[]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let (first, _) = request_from(ground.tls, &config, "broker.example").await.unwrap();
    assert_eq!(first.handshake_kind(), Some(rustls::HandshakeKind::Full));
    // It resumes, but the ticket allows no early data.
    let (second, text) = request_from(ground.tls, &config, "broker.example").await.unwrap();
    assert_eq!(second.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    assert!(!second.is_early_data_accepted() && text.starts_with("HTTP/1.1 200"));
    ground.close().await;
}

#[tokio::test]
async fn h_09_heartbeats_compression_and_garbage_get_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    // A heartbeat that asks for 16 KiB back.
    let heartbeat = [0x18, 0x03, 0x02, 0x00, 0x03, 0x01, 0x40, 0x00];
    for (case, bytes) in [
        ("a heartbeat", heartbeat.to_vec()),
        ("compression alone", client_hello(0x0303, &[0x1301], &[1], &[])),
        ("garbage", vec![0x5a; 600]),
        ("a record of 64 KiB", [&[0x16, 0x03, 0x01, 0xff, 0xff][..], &[0; 20_000]].concat()),
        ("an empty hello", vec![0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00]),
    ] {
        let got = told(ground.tls, &bytes).await;
        assert!(got.is_empty() || got[0] == ALERT, "{case}: {got:?}");
        assert!(got.len() < 64, "{case}: nothing of ours is echoed");
        ground.unharmed().await;
    }
    ground.close().await;
}

/// A second ClientHello in the middle of a connection, as a renegotiation begins; gives what the client hears of it.
fn hello_again(address: SocketAddr) -> Result<rustls::IoState, rustls::Error> {
    let config = Arc::new(client(&rustls::version::TLS13, &[]));
    let mut connection = ClientConnection::new(config, "broker.example".try_into().unwrap()).unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).unwrap();
    }
    socket.write_all(&client_hello(0x0303, &[0x1301], &[0], &[])).unwrap();
    let mut got = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut got);
    let mut got = &got[..];
    while !got.is_empty() {
        connection.read_tls(&mut got).unwrap();
        connection.process_new_packets()?;
    }
    connection.process_new_packets()
}

#[tokio::test]
async fn h_09_a_handshake_inside_a_connection_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let address = ground.tls;
    let heard = tokio::task::spawn_blocking(move || hello_again(address)).await.unwrap();
    assert!(matches!(heard, Err(rustls::Error::AlertReceived(_))), "{heard:?}");
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_10_a_storm_of_resets_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    // More than may be strangers at once: were a place lost with each, nobody could come in any more.
    for n in 0..5 * limits::UNAUTHENTICATED_MAX {
        let stream = TcpStream::connect(if n % 2 == 0 { ground.plain } else { ground.tls }).await.unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        if n % 3 == 0 {
            let _ = stream.try_write(b"G");
        }
        drop(stream);
    }
    ground.unharmed().await;
    let target = ground.place.target(equipoise::client::Transport::Ws);
    let key = ground.key(equipoise::wire::control::KeyKind::Link).await;
    let hello = crate::place::hello(Role::Customer, Credential::Key(key));
    let (other, happenings) = in_time(Client::connect(target, hello)).await.unwrap();
    happenings.ignore();
    in_time(other.close()).await;
    ground.close().await;
}

//! Peers that take their time, each to its deadline (H-01, H-02, H-21, H-35, H-97). They wait side by side, for these
//! are the only tests here that wait.

use crate::{
    attack::{Ground, Raw, frame, http, in_time},
    quic::Attacker,
    tls::client_hello,
};
use equipoise::framing;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends `first`, then `drop` again and again; gives all that came until the connection ended.
async fn drip(address: SocketAddr, first: &[u8], drop: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(first).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut got = Vec::new();
    let dripping = async {
        let mut each = tokio::time::interval(Duration::from_millis(500));
        loop {
            each.tick().await;
            if writer.write_all(drop).await.is_err() {
                return std::future::pending::<()>().await;
            }
        }
    };
    in_time(async {
        tokio::select! {
            // A reset is an end as well.
            _ = reader.read_to_end(&mut got) => {}
            () = dripping => {}
        }
    })
    .await;
    got
}

async fn a_text_and_no_answer_to_the_close(mut raw: Raw) -> u16 {
    raw.send(&frame(0x81, b"no")).await;
    let code = raw.ends().await;
    let mut rest = [0; 64];
    while in_time(raw.stream.read(&mut rest)).await.is_ok_and(|read| read > 0) {}
    code
}

/// As many streams as there may be, each with the first bytes of a frame that never goes on.
async fn half_frames(attacker: Attacker) -> (usize, u64) {
    let mut streams = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_secs(1), attacker.connection.open_uni()).await {
        let Ok(mut stream) = stream else { break };
        let _ = stream.write_all(&[0, 0]).await;
        streams.push(stream);
        assert!(streams.len() < 1_000, "streams are bounded");
    }
    (streams.len(), attacker.ends().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn h_01_h_02_h_21_h_35_h_97_whoever_is_slow_is_let_go_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut no_hello = ground.socket().await;
    let welcomed = ground.stranger().await;
    let streams = Attacker::welcomed(&ground).await;
    let idle = Attacker::connect(ground.quic, framing::ALPN).await.unwrap();
    let half_hello = &client_hello(0x0303, &[0x1301], &[0], &[])[..9];
    let body =
        "POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{";
    let (plain, tls) = (ground.plain, ground.tls);
    let ((), (nothing, tls_nothing, by_bytes, head, body), (no_hello, farewell, (streams, half), no_stream)) = tokio::join!(
        async {
            // Meanwhile everybody else is served.
            for _ in 0..20 {
                ground.unharmed().await;
                assert_eq!(http(plain, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.0, 200);
            }
        },
        async {
            tokio::join!(
                drip(plain, b"", b""),
                drip(tls, b"", b""),
                drip(tls, half_hello, b"\x07"),
                drip(plain, b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n", b"X-More: x\r\n"),
                drip(plain, body.as_bytes(), b" "),
            )
        },
        async {
            tokio::join!(
                no_hello.ends(),
                a_text_and_no_answer_to_the_close(welcomed),
                half_frames(streams),
                idle.ends(),
            )
        },
    );
    assert_eq!((nothing.len(), tls_nothing.len()), (0, 0), "H-01: no word for who says none");
    assert!(by_bytes.is_empty(), "H-02: {by_bytes:?}");
    assert!(head.is_empty() || head.starts_with(b"HTTP/1.1 408"), "H-21: {}", String::from_utf8_lossy(&head));
    assert!(body.starts_with(b"HTTP/1.1 408"), "H-21: {}", String::from_utf8_lossy(&body));
    assert_eq!(no_hello, 4008, "H-01: after the upgrade");
    assert_eq!(farewell, 1003, "H-35");
    assert_eq!((streams, half), (64, 4008), "H-97: a customer's streams");
    assert_ne!(no_stream, u64::MAX, "H-01: over QUIC");
    ground.close().await;
}

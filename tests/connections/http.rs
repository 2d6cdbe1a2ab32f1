//! HTTP requests and upgrades that nobody honest sends (H-11…H-24, and what comes in over HTTP: H-51…H-55).

use crate::attack::{Ground, Raw, answer, header, http, in_time, upgrade, upgrade_with};
use equipoise::{
    framing::{SIGN_IN_PATH, SUBPROTOCOL, TICKET_PATH, WEBSOCKET_PATH},
    limits,
    wire::{Credential, control::Role},
};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

/// Each request gets its status, and nothing else happens.
async fn get_status(cases: &[(&str, Vec<u8>, &[u16])]) {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, bytes, expected) in cases {
        let (status, text) = http(ground.plain, bytes).await;
        assert!(expected.contains(&status), "{case}: {status} {text}");
        ground.unharmed().await;
    }
    ground.close().await;
}

/// An upgrade in which one line is replaced; none: left out.
fn upgrade_but(name: &str, line: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let good = upgrade("Origin: https://console.example\r\n");
    for good in good.split_inclusive("\r\n") {
        if good.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())) {
            if let Some(line) = line {
                bytes.extend_from_slice(line);
                bytes.extend_from_slice(b"\r\n");
            }
        } else {
            bytes.extend_from_slice(good.as_bytes());
        }
    }
    bytes
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{body}").into_bytes()
}

fn post_json(path: &str, body: &str) -> Vec<u8> {
    post(path, &format!("Content-Length: {}\r\n", body.len()), body)
}

#[tokio::test]
async fn h_11_large_heads_are_431_or_closed() {
    let many: String = (0..500).map(|n| format!("X-{n}: x\r\n")).collect();
    let large = |bytes: usize| format!("X-Large: {}\r\n", "x".repeat(bytes));
    let spread: String = (0..60).map(|n| format!("X-{n}: {}\r\n", "x".repeat(1_100))).collect();
    get_status(&[
        ("500 headers", upgrade(&many).into_bytes(), &[431]),
        ("one of 32 KiB", upgrade(&large(32 * 1024)).into_bytes(), &[431, 0]),
        ("64 KiB in all", upgrade(&spread).into_bytes(), &[431, 0]),
        (
            "a path of 64 KiB",
            upgrade_with(&format!("/{}", "x".repeat(65_536)), "Host: x\r\n").into_bytes(),
            &[414, 431, 0],
        ),
        ("a good one", upgrade("").into_bytes(), &[101]),
    ])
    .await;
}

#[tokio::test]
async fn h_12_strange_bytes_in_headers_are_400() {
    let mut cases: Vec<(&str, Vec<u8>, &[u16])> = Vec::new();
    for name in ["Sec-WebSocket-Protocol", "Origin", "Host"] {
        for bytes in [&b"\xc3\xa9quipoise.v1"[..], b"\xff", b"a\x01b", b"a\x00b", b"a\x7fb"] {
            cases.push((name, upgrade_but(name, Some(&[name.as_bytes(), b": ", bytes].concat())), &[400]));
        }
    }
    get_status(&cases).await;
}

#[tokio::test]
async fn h_13_a_missing_doubled_or_short_key_is_400() {
    const KEY: &str = "Sec-WebSocket-Key";
    let twice = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    get_status(&[
        ("missing", upgrade_but(KEY, None), &[400]),
        ("doubled", upgrade_but(KEY, Some(twice)), &[400]),
        ("short", upgrade_but(KEY, Some(b"Sec-WebSocket-Key: c2hvcnQ=")), &[400]),
        ("long", upgrade_but(KEY, Some(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXMh")), &[400]),
        ("no base64", upgrade_but(KEY, Some(b"Sec-WebSocket-Key: ????????????????????????")), &[400]),
        ("empty", upgrade_but(KEY, Some(b"Sec-WebSocket-Key:")), &[400]),
    ])
    .await;
}

#[tokio::test]
async fn h_14_another_version_is_426_and_told_13() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    for version in ["8", "14", "", "13, 8", "0x0d"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let (status, text) = http(ground.plain, upgrade_but("Sec-WebSocket-Version", Some(line.as_bytes()))).await;
        assert_eq!(status, 426, "{version}: {text}");
        assert_eq!(header(&text, "sec-websocket-version"), Some("13"));
    }
    let (status, _) = http(ground.plain, upgrade_but("Sec-WebSocket-Version", None)).await;
    assert_eq!(status, 426);
    ground.close().await;
}

#[tokio::test]
async fn h_15_two_ways_to_say_where_a_body_ends_are_400_and_the_connection_closes() {
    let body = r#"{"username":"ana","password":"x"}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = body.len();
    let cases: [(&str, String, &str); 8] = [
        ("length and chunks", format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked),
        ("chunks and length", format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunked),
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), body),
        ("minus one", "Content-Length: -1\r\n".into(), body),
        ("hexadecimal", "Content-Length: 0x10\r\n".into(), body),
        ("a sign", format!("Content-Length: +{length}\r\n"), body),
        ("an overflow", "Transfer-Encoding: chunked\r\n".into(), "fffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ("chunks of another kind", "Transfer-Encoding: gzip\r\n".into(), body),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for (case, headers, body) in cases {
        let mut stream = TcpStream::connect(ground.plain).await.unwrap();
        stream.write_all(&post(SIGN_IN_PATH, &headers, body)).await.unwrap();
        let (status, text) = answer(&mut stream).await;
        assert_eq!(status, 400, "{case}: {text}");
        // What is left of the request is never taken for another one.
        let mut rest = Vec::new();
        let _ = in_time(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{case}: {}", String::from_utf8_lossy(&rest));
        ground.unharmed().await;
    }
    ground.close().await;
}

#[tokio::test]
async fn h_16_other_methods_on_the_socket_s_path_are_405() {
    let cases: Vec<(&str, Vec<u8>, &[u16])> = ["POST", "TRACE", "OPTIONS", "PUT", "DELETE", "PATCH"]
        .into_iter()
        .map(|method| (method, upgrade("").replacen("GET", method, 1).into_bytes(), &[405][..]))
        .collect();
    get_status(&cases).await;
}

#[tokio::test]
async fn h_17_a_foreign_page_is_403_whatever_cookie_it_brings() {
    let cookie = "Cookie: session=dGhlIHJpZ2h0IG9uZQ\r\n";
    get_status(&[
        ("a cookie", upgrade(&format!("Origin: https://evil.example\r\n{cookie}")).into_bytes(), &[403]),
        ("none", upgrade("Origin: https://evil.example\r\n").into_bytes(), &[403]),
    ])
    .await;
}

#[tokio::test]
async fn h_18_an_origin_is_compared_byte_for_byte() {
    let cases: Vec<(&str, Vec<u8>, &[u16])> = [
        "null",
        "https://console.example.evil.com",
        "https://console.example@evil.com",
        "https://evil.com/https://console.example",
        "HTTPS://CONSOLE.EXAMPLE",
        "https://console.example:443",
        "https://console.example:8443",
        "http://console.example",
        "https://console.example/",
        "https://console.example.",
        "console.example",
        "",
        "*",
    ]
    .into_iter()
    .map(|origin| (origin, upgrade(&format!("Origin: {origin}\r\n")).into_bytes(), &[403][..]))
    .chain([("the right one", upgrade("Origin: https://console.example\r\n").into_bytes(), &[101][..])])
    .collect();
    get_status(&cases).await;
}

#[tokio::test]
async fn h_19_a_cookie_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let token = ground.token("ana").await;
    // The very token that would be good in a hello.
    for name in ["session", "token", "Authorization", "equipoise"] {
        let cookie = format!("Cookie: {name}={token}\r\n");
        let (status, text) =
            http(ground.plain, format!("POST {TICKET_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{cookie}\r\n"))
                .await;
        assert_eq!(status, 401, "{text}");
        assert_eq!(header(&text, "set-cookie"), None);
        let mut raw = Raw::upgraded(ground.plain, &cookie).await;
        let entered = raw.enter(crate::place::hello(Role::Rep, Credential::Ticket(String::new()))).await;
        assert_eq!(entered.unwrap_err(), 4501);
    }
    ground.close().await;
}

#[tokio::test]
async fn h_20_a_ticket_in_the_query_is_400_and_burnt() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let token = ground.token("ben").await;
    for shape in ["ticket={}", "{}", "a=b&ticket={}&c", "={}"] {
        let ticket = ground.place.broker.ticket(&token, None, "rep").unwrap();
        let path = format!("{WEBSOCKET_PATH}?{}", shape.replace("{}", &ticket));
        let (status, text) = http(ground.plain, upgrade("").replacen(WEBSOCKET_PATH, &path, 1)).await;
        assert_eq!(status, 400, "{text}");
        assert!(!text.contains(&ticket), "the secret is not said again");
        let entered = ground.greet(crate::place::hello(Role::Rep, Credential::Ticket(ticket))).await;
        assert_eq!(entered.err(), Some(4501), "{shape}");
    }
    let ticket = ground.place.broker.ticket(&token, None, "rep").unwrap();
    let entered = ground.greet(crate::place::hello(Role::Rep, Credential::Ticket(ticket))).await;
    assert!(entered.is_ok(), "in its place it is good");
    ground.close().await;
}

#[tokio::test]
async fn h_22_a_subprotocol_that_is_not_ours_is_400() {
    const NAME: &str = "Sec-WebSocket-Protocol";
    let line = |value: &str| upgrade_but(NAME, Some(format!("{NAME}: {value}").as_bytes()));
    get_status(&[
        ("none", upgrade_but(NAME, None), &[400]),
        ("another", line("chat"), &[400]),
        ("a later major", line("equipoise.v2"), &[400]),
        ("others only", line("chat, superchat, equipoise.v0"), &[400]),
        ("ours among others", line(&format!("equipoise.v2, {SUBPROTOCOL}")), &[101]),
    ])
    .await;
}

#[tokio::test]
async fn h_24_an_address_in_a_header_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    // Wrong keys from one socket address: another claimed one for each does not help. Keys, for nothing else limits them.
    let mut told = Vec::new();
    for n in 0..=limits::WRONG_KEYS_PER_MIN {
        let claimed = format!(
            "X-Forwarded-For: 203.0.{n}.1\r\nForwarded: for=203.0.{n}.1\r\nX-Real-IP: 203.0.{n}.1\r\nTrue-Client-IP: 203.0.{n}.1\r\n"
        );
        let mut raw = Raw::upgraded(ground.plain, &claimed).await;
        let wrong = Credential::Key(format!("0000-000{n}"));
        told.push(raw.enter(crate::place::hello(Role::Customer, wrong)).await.unwrap_err());
    }
    assert_eq!(told, [4510, 4510, 4510, 4510, 4510, 4029]);
    ground.close_among_limited().await;
}

#[tokio::test]
async fn h_82_no_path_of_the_public_listener_sets_anything_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let body = r#"{"token":"x","username":"eve","password":"long enough for all"}"#;
    for place in ["/", "//", "/./", "/v1/", "/v1//", "/healthz/", "/v1/ws/../", "/v1/%2e%2e/", "http://localhost/"] {
        for name in ["setup", "setup/", "setup/x", "setup%2f", "setup;x", "setup?x", "%73etup", "SETUP"] {
            for (method, version) in [("GET", "1.1"), ("POST", "1.1"), ("POST", "1.0")] {
                let request = format!(
                    "{method} {place}{name} HTTP/{version}\r\nHost: x\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let (status, text) = http(ground.plain, request).await;
                assert_eq!(status, 404, "{method} {place}{name} HTTP/{version}: {text}");
            }
        }
    }
    let eve = ground.place.broker.look(|state| state.site.codes.users.contains_key("eve")).await.unwrap();
    assert!(!eve, "nobody was made");
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_51_a_password_over_1024_bytes_is_400_and_its_bytes_count() {
    let body = |password: &str| {
        post_json(SIGN_IN_PATH, &serde_json::json!({ "username": "eve", "password": password }).to_string())
    };
    get_status(&[
        ("1,025 bytes", body(&"x".repeat(1_025)), &[400]),
        ("600 letters of two bytes", body(&"é".repeat(600)), &[400]),
        ("1 MB", body(&"x".repeat(1 << 20)), &[413, 0]),
        ("a NUL", body("a\0b"), &[401]),
        ("another composition", body("e\u{301}"), &[401]),
    ])
    .await;
}

#[tokio::test]
async fn h_54_whatever_is_no_good_token_gets_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let good = ground.token("ana").await;
    let tampered = format!("{}{}", if good.starts_with('A') { 'B' } else { 'A' }, &good[1..]);
    let half = &good[..good.len() / 2];
    let long = "A".repeat(8_000);
    let mut answers = std::collections::BTreeSet::new();
    for bearer in ["", "x", half, tampered.as_str(), long.as_str(), "../../etc/passwd", "' or 1=1 --"] {
        let (status, text) = http(
            ground.plain,
            format!(
                "POST {TICKET_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer {bearer}\r\n\r\n"
            ),
        )
        .await;
        assert_eq!(status, 401, "{bearer}: {text}");
        answers.insert(text.split_once("\r\n\r\n").unwrap().1.to_owned());
        if bearer.len() < 4_000 {
            let hello = crate::place::hello(Role::Rep, Credential::Token(bearer.to_owned()));
            assert_eq!(ground.greet(hello).await.err(), Some(4501), "{bearer}");
        }
    }
    // An empty one is told apart from a wrong one at most by what is missing.
    assert!(answers.len() <= 2, "{answers:?}");
    ground.close().await;
}

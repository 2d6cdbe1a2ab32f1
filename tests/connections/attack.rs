//! Ground for attacks: one broker that listens in plain text, with TLS and with QUIC, a pair that works beside the
//! attacker, and raw ends to attack with.

use crate::place::{PASSWORD, Person, Place, SITE, hello, open};
use bytes::Bytes;
use equipoise::{
    client::{Client, Reader, Target, Transport, Writer},
    engine::{Actor, Event, Stamped, State},
    framing::{
        self, SUBPROTOCOL, WEBSOCKET_PATH,
        websocket::{Decoder, End, Item},
    },
    transport::{
        Congestion, HttpListener, HttpSettings, PerAddress, QuicListener, QuicSettings,
        tls::{self, Certificate, Source},
    },
    wire::{
        Credential, Do, Done, Flags, FromBroker, FromClient, Hello, Kind, Welcome,
        control::{KeyKind, Role, Value},
    },
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

/// Longer than anything here takes: only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that one address may have on plain text and QUIC together: more than any attack here but one opens.
pub const PER_ADDRESS: usize = 5_000;

/// Events on record that no test has looked at: more than any test here makes.
const RECORD: usize = 1 << 16;

/// Panics of the product: those of failing assertions are in `tests/`.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().starts_with("tests/")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
}

pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("done in time")
}

/// A broker, its three listeners, and the pair that must not notice anything.
pub struct Ground {
    pub place: Place,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub quic: SocketAddr,
    pub ana: Person,
    pub customer: Person,
    /// What becomes durable, in order.
    pub record: mpsc::Receiver<Event>,
    reader: Reader,
    writer: Writer,
    passed: u64,
    listeners: Vec<JoinHandle<()>>,
}

impl Ground {
    pub async fn open(folder: &Path) -> Self {
        count_panics();
        let (tell, record) = mpsc::channel(RECORD);
        let follower = move |turn: &[Stamped], _: &State| {
            for stamped in turn {
                // The test may have ended.
                let _ = tell.try_send(stamped.event.clone());
            }
        };
        let place = Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), SITE, Box::new(follower)).await;
        place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
        let source = Source::SelfMade { folder: folder.to_owned(), names: tls::names_for([]) };
        let certificate = Certificate::load(source, 1_800_000_000_000).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let origins = vec!["https://console.example".to_owned()];
        let per_address = PerAddress::new(PER_ADDRESS);
        let plain = HttpSettings { listen, tls: None, behind_proxy: false, origins, per_address: per_address.clone() };
        let plain = HttpListener::bind(plain).await.unwrap();
        let config = tls::server_config(&certificate, &[framing::ALPN], false).unwrap();
        let quic = QuicListener::bind(QuicSettings {
            listen,
            tls: Arc::new(config),
            congestion: Congestion::Bbr,
            window_max: equipoise::limits::WINDOW_BYTES_MAX,
            reset_key: certificate.reset_key(),
            per_address,
        })
        .unwrap();
        let (plain_at, quic_at) = (plain.address(), quic.address());
        let listeners =
            vec![tokio::spawn(plain.serve(place.broker.clone())), tokio::spawn(quic.serve(place.broker.clone()))];
        let at = Target {
            url: format!("http://{plain_at}").parse().unwrap(),
            transport: Transport::Ws,
            pin: None,
            congestion: Congestion::default(),
        };
        let (mut ana, mut customer) = crate::place::a_session(at.clone(), at).await;
        let args = [("direction", Value::Text("download".into())), ("path", Value::Text("/srv/file".into()))];
        let (to_ana, to_customer) = open(&mut ana, &mut customer, "file_transfer", &args).await;
        let reader = ana.client.reader(&to_ana.channels[0]);
        let writer = customer.client.writer(&to_customer.channels[0]);
        let (tls, quic) = (place.address, quic_at);
        Self { place, plain: plain_at, tls, quic, ana, customer, record, reader, writer, passed: 0, listeners }
    }

    pub fn target(&self) -> Target {
        Target {
            url: format!("http://{}", self.plain).parse().unwrap(),
            transport: Transport::Ws,
            pin: None,
            congestion: Congestion::default(),
        }
    }

    /// Nothing of the product panicked, and the pair beside the attacker still works.
    pub async fn unharmed(&mut self) {
        let bytes = Bytes::from_static(b"still here");
        in_time(self.writer.write(Kind::File, Flags::default(), bytes.clone())).await.unwrap();
        let chunk = in_time(self.reader.read()).await.unwrap().expect("the pair's channel is open");
        assert_eq!((chunk.offset, &chunk.bytes), (self.passed, &bytes));
        self.passed += bytes.len() as u64;
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something panicked");
    }

    /// The pair works, and so does a third party that comes only now.
    pub async fn close(mut self) {
        self.unharmed().await;
        let key = self.key(KeyKind::Link).await;
        let (late, happenings) =
            in_time(Client::connect(self.target(), hello(Role::Customer, Credential::Key(key)))).await.unwrap();
        happenings.ignore();
        in_time(late.close()).await;
        self.end().await;
    }

    /// Only the pair works: its address may use no more keys.
    pub async fn close_among_limited(mut self) {
        self.unharmed().await;
        self.end().await;
    }

    async fn end(self) {
        let Self { place, listeners, .. } = self;
        in_time(place.close()).await;
        for listener in listeners {
            in_time(listener).await.unwrap();
        }
    }

    /// A fresh key of Ana's.
    pub async fn key(&self, kind: KeyKind) -> String {
        let made = in_time(self.ana.client.act(Do::MakeKey { queue: None, kind, lives_s: None })).await.unwrap();
        let Done::Key { key, .. } = made else { panic!("a key was made: {made:?}") };
        key.into()
    }

    pub async fn customers_hello(&self) -> Hello {
        hello(Role::Customer, Credential::Key(self.key(KeyKind::Link).await))
    }

    /// A raw WebSocket before its hello.
    pub async fn socket(&self) -> Raw {
        Raw::upgraded(self.plain, "").await
    }

    /// A raw WebSocket of a customer who was welcomed.
    pub async fn stranger(&self) -> Raw {
        let hello = self.customers_hello().await;
        let mut raw = self.socket().await;
        raw.enter(hello).await.expect("a good hello is welcomed");
        raw
    }

    /// Says hello on a connection of its own; gives the close code where it is not welcome.
    pub async fn greet(&self, hello: Hello) -> Result<(Raw, Welcome), u16> {
        let mut raw = self.socket().await;
        let welcome = raw.enter(hello).await?;
        Ok((raw, welcome))
    }

    /// Waits until something of this kind is on record.
    pub async fn recorded<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.record.recv().await.expect("the broker goes on")) {
                    return found;
                }
            }
        };
        in_time(found).await
    }

    pub async fn token(&self, username: &str) -> String {
        self.place.broker.token_for(username).await.unwrap()
    }

    /// Somebody at a console.
    pub async fn rep(&self, username: &str) -> Person {
        let token = self.token(username).await;
        let (client, happenings) =
            in_time(Client::connect(self.target(), hello(Role::Rep, Credential::Token(token)))).await.unwrap();
        Person { client, happenings, session: 0 }
    }
}

// ---- HTTP -----------------------------------------------------------------------------------------------------------

/// Sends these bytes and gives the status of the answer, or 0 where the connection just ended, and all that came.
pub async fn http(address: SocketAddr, bytes: impl AsRef<[u8]>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other end may have refused and gone before all is written.
    let _ = stream.write_all(bytes.as_ref()).await;
    answer(&mut stream).await
}

/// Reads one answer: its head, and the body its length promises unless the connection ends before.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return (status(head), text);
            }
        }
        match in_time(stream.read(&mut piece)).await {
            Ok(read) if read > 0 => got.extend_from_slice(&piece[..read]),
            _ => return (status(&text), text),
        }
    }
}

fn status(head: &str) -> u16 {
    head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok()).unwrap_or(0)
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A good upgrade, with more header lines.
pub fn upgrade(more: &str) -> String {
    upgrade_with(
        WEBSOCKET_PATH,
        &format!(
            "Host: broker.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{more}"
        ),
    )
}

pub fn upgrade_with(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

// ---- WebSocket ------------------------------------------------------------------------------------------------------

/// A WebSocket whose frames are made by hand.
pub struct Raw<S = TcpStream> {
    pub stream: S,
    decoder: Decoder,
    early: Vec<u8>,
}

impl Raw {
    pub async fn upgraded(address: SocketAddr, more: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(upgrade(more).as_bytes()).await.unwrap();
        Self::over(stream).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// After the request was written.
    pub async fn over(mut stream: S) -> Self {
        let (status, text) = answer(&mut stream).await;
        assert_eq!(status, 101, "{text}");
        let early = text.split_once("\r\n\r\n").map(|(_, rest)| rest.as_bytes().to_vec()).unwrap_or_default();
        assert!(early.is_empty(), "the broker speaks before a hello");
        Self { stream, decoder: Decoder::new(End::Client, 1 << 20), early }
    }

    /// The other end may have closed meanwhile; what it said is read later.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = in_time(self.stream.write_all(bytes)).await;
    }

    pub async fn message(&mut self, message: &[u8]) {
        self.send(&frame(0x82, message)).await;
    }

    pub async fn say(&mut self, message: &FromClient) {
        self.message(&message.encode()).await;
    }

    pub async fn request(&mut self, id: u64, act: Do) {
        self.say(&FromClient::Request { id, act: Box::new(act) }).await;
    }

    pub async fn enter(&mut self, hello: Hello) -> Result<Welcome, u16> {
        self.say(&FromClient::Hello(Box::new(hello))).await;
        loop {
            match self.next().await {
                Some(Item::Message(message)) => {
                    if let Ok(FromBroker::Welcome(welcome)) = FromBroker::decode(&message) {
                        return Ok(*welcome);
                    }
                }
                Some(Item::Close(close)) => return Err(close.map_or(1005, |(code, _)| code)),
                Some(_) => {}
                None => return Err(0),
            }
        }
    }

    /// The next item the broker sends; none where the connection ended.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            let mut input = &self.early[..];
            let item = self.decoder.feed(&mut input).expect("the broker frames well");
            self.early = input.to_vec();
            if item.is_some() {
                return item;
            }
            let mut piece = vec![0; 16 * 1024];
            match in_time(self.stream.read(&mut piece)).await {
                Ok(read) if read > 0 => self.early.extend_from_slice(&piece[..read]),
                _ => return None,
            }
        }
    }

    /// Reads to the answer of this request.
    pub async fn reply(&mut self, id: u64) -> Result<Done, equipoise::wire::Refused> {
        loop {
            match self.next().await {
                Some(Item::Message(message)) => {
                    if let Ok(FromBroker::Reply { re, answer }) = FromBroker::decode(&message)
                        && re == id
                    {
                        return answer.map(|done| *done).map_err(|refused| *refused);
                    }
                }
                Some(Item::Close(close)) => panic!("closed before the answer: {close:?}"),
                Some(_) => {}
                None => panic!("the connection ended before the answer"),
            }
        }
    }

    /// Reads to the end; gives the close code, 0 where there was none.
    pub async fn ends(&mut self) -> u16 {
        self.ends_with_reason().await.0
    }

    pub async fn ends_with_reason(&mut self) -> (u16, String) {
        while let Some(item) = self.next().await {
            if let Item::Close(close) = item {
                return close.unwrap_or((1005, String::new()));
            }
        }
        (0, String::new())
    }

    /// The connection carries on: a ping is answered.
    pub async fn is_alive(&mut self) {
        self.say(&FromClient::Ping(4_711)).await;
        loop {
            match self.next().await.expect("the connection lives") {
                Item::Message(message) if FromBroker::decode(&message) == Ok(FromBroker::Pong(4_711)) => return,
                Item::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked client frame; `first` is its first byte: FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame_head(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Only its head, whatever length it claims.
pub fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

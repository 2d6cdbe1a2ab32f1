//! A small mail server that speaks SMTP over a real socket, and shows what it was given.

use equipoise::{
    mail::{self, Encryption, Post, Tries},
    time::Span,
    transport::tls::{self, Certificate, Source},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How it treats whoever speaks to it.
#[derive(Clone)]
pub enum Manner {
    Takes,
    /// No such recipient, for good.
    Refuses,
    /// Not now, so many times.
    NotYet(u32),
    /// Takes the connection and says nothing.
    Silent,
    /// Takes letters over TLS alone, after `STARTTLS`.
    StartTls(TlsAcceptor),
}

/// A letter it took.
#[derive(Debug)]
pub struct Taken {
    pub to: String,
    /// Headers and text.
    pub text: String,
    pub encrypted: bool,
    /// What came with `AUTH`, in base64.
    pub login: Option<String>,
}

impl Taken {
    /// The secret in the link or line that begins so.
    pub fn secret(&self, before: &str) -> String {
        // Long lines are cut by quoted-printable.
        let whole = self.text.replace("=\n", "");
        let (_, rest) = whole.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {}", self.text));
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

pub struct MailServer {
    pub address: SocketAddr,
    letters: mpsc::Receiver<Taken>,
    connections: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl MailServer {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, letters) = mpsc::channel(64);
        let connections = Arc::new(AtomicU32::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let before = counted.fetch_add(1, Ordering::SeqCst);
                // Whoever spoke may have gone.
                tokio::spawn(converse(stream, manner.clone(), before, taken.clone()));
            }
        });
        Self { address, letters, connections, task }
    }

    /// The next letter it takes.
    pub async fn letter(&mut self) -> Taken {
        let next = tokio::time::timeout(Duration::from_secs(30), self.letters.recv()).await;
        next.expect("a letter comes in time").expect("the server runs")
    }

    pub fn has_more(&mut self) -> bool {
        self.letters.try_recv().is_ok()
    }

    /// How often somebody connected.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A post that hands letters to this address, three tries of half a second each at once one after the other.
pub fn settings(server: SocketAddr) -> mail::Settings {
    mail::Settings {
        server: server.ip().to_string(),
        port: server.port(),
        encryption: Encryption::None,
        login: None,
        authority: None,
        from: "equipoise@help.example".into(),
        public_url: "https://help.example".parse().unwrap(),
        tries: Tries { most: 3, each: Span(500), pause: Span(2) },
    }
}

pub fn post(server: SocketAddr) -> Post {
    Post::open(&settings(server)).unwrap()
}

/// How it speaks TLS, and the certificate that vouches for it.
pub fn tls_in(folder: &Path) -> (TlsAcceptor, Vec<u8>) {
    let source = Source::SelfMade { folder: folder.to_owned(), names: tls::names_for([]) };
    let certificate = Certificate::load(source, equipoise::clock::wall_ms() as i64).unwrap();
    let config = tls::server_config(&certificate, &[], false).unwrap();
    (TlsAcceptor::from(Arc::new(config)), std::fs::read(folder.join("certificate.pem")).unwrap())
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

async fn converse(stream: TcpStream, manner: Manner, before: u32, taken: mpsc::Sender<Taken>) -> Option<()> {
    let mut wire: BufStream<Box<dyn Wire>> = BufStream::new(Box::new(stream));
    if matches!(manner, Manner::Silent) {
        // Until whoever connected goes away.
        return line(&mut wire).await.map(|_| ());
    }
    say(&mut wire, "220 mail.example").await?;
    let (mut encrypted, mut login, mut to) = (false, None, String::new());
    loop {
        let said = line(&mut wire).await?;
        let verb = said.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match (verb.as_str(), &manner) {
            ("EHLO", Manner::StartTls(_)) if !encrypted => "250-mail.example\r\n250 STARTTLS",
            ("EHLO", _) => "250-mail.example\r\n250 AUTH PLAIN",
            ("STARTTLS", Manner::StartTls(acceptor)) => {
                say(&mut wire, "220 go on").await?;
                let over_tls = acceptor.accept(wire.into_inner()).await.ok()?;
                wire = BufStream::new(Box::new(over_tls));
                encrypted = true;
                continue;
            }
            ("AUTH", _) => {
                login = said.rsplit(' ').next().map(str::to_owned);
                "235 known"
            }
            ("MAIL", Manner::StartTls(_)) if !encrypted => "530 STARTTLS first",
            ("RCPT", Manner::Refuses) => "550 nobody of this name",
            ("RCPT", Manner::NotYet(times)) if before < *times => "451 try again",
            ("RCPT", _) => {
                to = said.split(['<', '>']).nth(1)?.to_owned();
                "250 fine"
            }
            ("DATA", _) => {
                say(&mut wire, "354 go on").await?;
                let text = data(&mut wire).await?;
                taken.send(Taken { to: to.clone(), text, encrypted, login: login.clone() }).await.ok()?;
                "250 taken"
            }
            ("QUIT", _) => {
                say(&mut wire, "221 bye").await?;
                return Some(());
            }
            _ => "250 fine",
        };
        say(&mut wire, answer).await?;
    }
}

async fn say(wire: &mut (impl AsyncWrite + Unpin), answer: &str) -> Option<()> {
    wire.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    wire.flush().await.ok()
}

/// None: the other end has gone.
async fn line(wire: &mut BufStream<Box<dyn Wire>>) -> Option<String> {
    let mut line = String::new();
    let read = wire.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

async fn data(wire: &mut BufStream<Box<dyn Wire>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match line(wire).await?.as_str() {
            "." => return Some(text),
            stuffed => {
                text.push_str(stuffed.strip_prefix('.').unwrap_or(stuffed));
                text.push('\n');
            }
        }
    }
}

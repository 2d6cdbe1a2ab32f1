//! From an address to a connection that was welcomed: TCP, TLS, the plain requests, the upgrade, the hello.

use super::{ClientError, Target, Transport, tls};
use crate::{
    framing::{
        ALPN, Link, SIGN_IN_PATH, SUBPROTOCOL, Stream, WEBSOCKET_PATH,
        quic::{Congestion, Quic, transport_config},
        websocket::{End, Fault, Item, Socket, Step},
    },
    limits,
    wire::{Credential, FromBroker, FromClient, Hello, Refused, Welcome, Work},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use quinn::{ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::pki_types::ServerName;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use url::{Host, Url};

const DIAL: Duration = Duration::from_millis(limits::DIAL.0);

/// Signs in with a password. Gives an access token for the hello.
pub async fn sign_in(target: &Target, username: &str, password: &str) -> Result<String, ClientError> {
    sign_in_with(target, SignIn { username, password, ..SignIn::default() }).await
}

/// Everything that may be shown to sign in.
#[derive(Clone, Copy, Default, serde::Serialize)]
pub struct SignIn<'a> {
    pub username: &'a str,
    pub password: &'a str,
    /// Of who has a second factor: a code of the authenticator, or a recovery code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// What the password becomes: of who has to choose another one, or wants to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_password: Option<&'a str>,
}

/// The same with more than a password.
pub async fn sign_in_with(target: &Target, shown: SignIn<'_>) -> Result<String, ClientError> {
    let dialer = Dialer::new(target)?;
    let body = serde_json::json!(shown).to_string();
    let answer = timeout(DIAL, dialer.post(SIGN_IN_PATH, body)).await.map_err(|_| too_slow())??;
    answer["token"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| ClientError::Protocol("the answer to a sign-in holds no token".into()))
}

/// Opens a connection on which nothing is said yet, for a client with a loop of its own.
pub async fn open(target: &Target) -> Result<Link, ClientError> {
    Dialer::new(target)?.open(target.transport).await
}

/// Knows one broker's address and certificate.
pub(super) struct Dialer {
    host: String,
    port: u16,
    authority: String,
    name: ServerName<'static>,
    tls: Option<TlsConnector>,
    pin: Option<[u8; 32]>,
    congestion: Congestion,
    /// Made with the first QUIC connection, on the address family of the broker.
    endpoint: OnceCell<Endpoint>,
}

impl Dialer {
    pub(super) fn new(target: &Target) -> Result<Self, ClientError> {
        let url = &target.url;
        let wrong = || ClientError::Url(url.to_string());
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let (host, port) = (host(url).ok_or_else(wrong)?, url.port_or_known_default().ok_or_else(wrong)?);
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let tls = secure.then(|| tls::config(target.pin, b"http/1.1")).transpose()?;
        let authority = match url.host().ok_or_else(wrong)? {
            Host::Ipv6(address) => format!("[{address}]:{port}"),
            host => format!("{host}:{port}"),
        };
        let tls = tls.map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self {
            host,
            port,
            authority,
            name,
            tls,
            pin: target.pin,
            congestion: target.congestion,
            endpoint: OnceCell::new(),
        })
    }

    /// Opens a connection and says hello on it.
    pub(super) async fn enter(&self, transport: Transport, hello: &Hello) -> Result<Entered, ClientError> {
        let denied = match say_hello(self.open(transport).await?, hello).await {
            Err(ClientError::Denied { work: Some(work), .. }) => work,
            other => return other,
        };
        let hello = worked(hello, denied).await?;
        say_hello(self.open(transport).await?, &hello).await
    }

    /// Opens a connection on which nothing is said yet.
    pub(super) async fn open(&self, transport: Transport) -> Result<Link, ClientError> {
        let dialled = async {
            match transport {
                Transport::Ws => self.websocket().await,
                Transport::Quic => self.quic().await,
            }
        };
        timeout(DIAL, dialled).await.map_err(|_| too_slow())?
    }

    async fn stream(&self) -> Result<Stream, ClientError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        match tls.connect(self.name.clone(), tcp).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream.into()))),
            Err(error) => Err(tls_error(error)),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.stream().await?)).await.map_err(protocol)?;
        // Ends with the connection; the response says what went wrong.
        tokio::spawn(async move { connection.with_upgrades().await.ok() });
        sender.send_request(request).await.map_err(protocol)
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header(header::HOST, &self.authority)
    }

    async fn post(&self, path: &str, body: String) -> Result<serde_json::Value, ClientError> {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(protocol)?;
        let response = self.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::BODY_BYTES_MAX).collect().await.map_err(protocol)?;
        let value: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        if status.is_success() { Ok(value) } else { Err(refused(status, &value)) }
    }

    async fn websocket(&self) -> Result<Link, ClientError> {
        let key = generate_key();
        let request = self
            .request(Method::GET, WEBSOCKET_PATH)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .body(Full::default())
            .map_err(protocol)?;
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::Protocol(format!("an upgrade was answered with {}", response.status())));
        }
        let headers = response.headers();
        let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        let spoken = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) || spoken != Some(SUBPROTOCOL.as_bytes()) {
            return Err(ClientError::Protocol("an upgrade was answered by something else".into()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(protocol)?;
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| ClientError::Protocol("the upgraded stream is another".into()))?;
        Ok(Link::Ws(Box::new(Socket::new(End::Client, parts.io.into_inner(), parts.read_buf))))
    }
}

impl Dialer {
    async fn quic(&self) -> Result<Link, ClientError> {
        let address = lookup_host((self.host.as_str(), self.port)).await.map_err(unreachable)?.next();
        let address = address.ok_or_else(|| ClientError::Unreachable(format!("no address of {}", self.host)))?;
        let endpoint = self.endpoint.get_or_try_init(async || self.endpoint(address)).await?;
        let connecting = endpoint.connect(address, &self.host).map_err(protocol)?;
        let connection = connecting.await.map_err(quic_error)?;
        let (send, receive) = connection.open_bi().await.map_err(quic_error)?;
        Ok(Link::Quic(Box::new(Quic::new(connection, send, receive))))
    }

    fn endpoint(&self, broker: SocketAddr) -> Result<Endpoint, ClientError> {
        let any: IpAddr = if broker.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let crypto = QuicClientConfig::try_from(tls::config(self.pin, ALPN)?).map_err(protocol)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        // How much the broker allows it says later; what comes is what this end gives credit for.
        let transport = transport_config(self.congestion, limits::LEGS_OF_CONSOLE, limits::WINDOW_BYTES_MOST);
        config.transport_config(Arc::new(transport));
        let mut endpoint = Endpoint::client((any, 0).into()).map_err(unreachable)?;
        endpoint.set_default_client_config(config);
        Ok(endpoint)
    }
}

/// The same hello, with the work that the broker asked for (I-K3).
async fn worked(hello: &Hello, work: Work) -> Result<Hello, ClientError> {
    let Credential::Key(key) = &hello.credential else {
        return Err(ClientError::Protocol("work was asked for where no session key was shown".into()));
    };
    let key = key.clone();
    let credential = tokio::task::spawn_blocking(move || {
        work.solve().map(|answer| Credential::WorkedKey { key, challenge: work.challenge, answer })
    });
    let credential = credential.await.map_err(protocol)?;
    let credential = credential.ok_or_else(|| ClientError::Protocol("more work is asked for than is sane".into()))?;
    Ok(Hello { credential, ..hello.clone() })
}

/// A connection that was welcomed.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) link: Link,
    pub(super) welcome: Welcome,
    /// What came in the same read after the welcome.
    pub(super) rest: Vec<Bytes>,
}

/// Says hello and waits for the welcome.
pub(super) async fn say_hello(mut link: Link, hello: &Hello) -> Result<Entered, ClientError> {
    enum Early {
        Closed(u16, String),
        Fault(String),
    }
    impl From<Fault> for Early {
        fn from(fault: Fault) -> Self {
            Self::Fault(fault.to_string())
        }
    }
    link.queue_control(&FromClient::Hello(Box::new(hello.clone())).encode());
    let (mut retry_after_ms, mut work, mut welcome, mut rest) = (None, None, None, Vec::new());
    let mut said = String::new();
    let answered = async {
        while welcome.is_none() {
            let step = link.step(|item| match item {
                Item::Message(message) if welcome.is_some() => {
                    rest.push(message);
                    Ok(())
                }
                Item::Message(message) => match FromBroker::decode(&message) {
                    Ok(FromBroker::Welcome(welcomed)) => {
                        welcome = Some(*welcomed);
                        Ok(())
                    }
                    Ok(FromBroker::Bye(bye)) => {
                        (retry_after_ms, work) = (bye.retry_after_ms, bye.work);
                        said = bye.reason;
                        Ok(())
                    }
                    Ok(_) => Err(Early::Fault("something else came before the welcome".into())),
                    Err(bad) => Err(Early::Fault(bad.to_string())),
                },
                Item::Close(close) => {
                    let (code, reason) = close.unwrap_or((1000, String::new()));
                    Err(Early::Closed(code, reason))
                }
                _ => Ok(()),
            });
            if step.await? == Step::End {
                return Err(Early::Fault("the connection ended before the welcome".into()));
            }
        }
        Ok(())
    };
    match (timeout(DIAL, answered).await.map_err(|_| too_slow())?, welcome) {
        (Ok(()), Some(welcome)) => Ok(Entered { link, welcome, rest }),
        (Err(Early::Closed(code, reason)), _) => {
            let reason = if said.is_empty() { reason } else { said };
            Err(ClientError::Denied { code, reason, retry_after_ms, work })
        }
        (Err(Early::Fault(reason)), _) => Err(ClientError::Unreachable(reason)),
        (Ok(()), None) => Err(ClientError::Unreachable("no welcome".into())),
    }
}

fn host(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

fn too_slow() -> ClientError {
    ClientError::Unreachable("no answer in time".into())
}

fn unreachable(error: io::Error) -> ClientError {
    ClientError::Unreachable(error.to_string())
}

fn protocol(error: impl std::fmt::Display) -> ClientError {
    ClientError::Protocol(error.to_string())
}

/// A certificate that is refused stays refused; whatever else went wrong may pass.
fn tls_error(error: io::Error) -> ClientError {
    let refused = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    if refused { ClientError::Certificate(error.to_string()) } else { unreachable(error) }
}

fn quic_error(error: ConnectionError) -> ClientError {
    // The alerts of TLS that say: not this certificate (bad_certificate to access_denied).
    let refused = matches!(&error, ConnectionError::TransportError(error)
        if (0x12a..=0x131).contains(&u64::from(error.code)));
    if refused { ClientError::Certificate(error.to_string()) } else { ClientError::Unreachable(error.to_string()) }
}

/// A problem document as the refusal it came from.
fn refused(status: StatusCode, problem: &serde_json::Value) -> ClientError {
    let Some(code) = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:equipoise:problem:")) else {
        return ClientError::Protocol(format!("the broker answered {status}"));
    };
    ClientError::Refused(Refused {
        code: code.to_owned(),
        rule: String::new(),
        message: problem["detail"].as_str().unwrap_or_default().to_owned(),
        at: None,
        tool: None,
        source: None,
        retry_after_ms: problem["retry_after_ms"].as_u64(),
    })
}

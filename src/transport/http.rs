//! The public HTTP listener: accepts, speaks TLS, answers the few plain requests there are, and upgrades the rest to
//! WebSocket. Accepting does nothing but accept and spawn, so nobody's handshake holds up another's (H-01…H-04).

use super::{PerAddress, invitation, per_address::Place, problem, pump, sign_in};
use crate::{
    broker::{Broker, Origin, TransportName},
    framing::{
        Link, SUBPROTOCOL, Stream, WEBSOCKET_PATH,
        websocket::{End, Socket},
    },
    limits,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use futures_util::FutureExt;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::task::TaskTracker;

/// How the public listener is set up.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    /// `None`: plain text, which only loopback and a proxy that ends TLS may have.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// A proxy in front ends TLS, so plain text may be listened for on any address.
    pub behind_proxy: bool,
    /// Origins whose pages may open a WebSocket, exactly as browsers send them. Empty: no page may.
    pub origins: Vec<String>,
    /// Behind a proxy all come from its address: then it is the proxy that has to count.
    pub per_address: PerAddress,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{0} is not a loopback address: plain text is spoken there only behind a proxy that ends TLS")]
    PlainText(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
}

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    address: SocketAddr,
    settings: HttpSettings,
}

impl HttpListener {
    pub async fn bind(settings: HttpSettings) -> Result<Self, ListenError> {
        let listen = settings.listen;
        if settings.tls.is_none() && !settings.behind_proxy && !listen.ip().is_loopback() {
            return Err(ListenError::PlainText(listen));
        }
        let listener = TcpListener::bind(listen).await.map_err(|error| ListenError::Bind(listen, error))?;
        let address = listener.local_addr().map_err(|error| ListenError::Bind(listen, error))?;
        Ok(Self { listener, address, settings })
    }

    /// Where it listens; the port is the system's choice if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the broker is about to go, then waits until its connections have closed.
    pub async fn serve(self, broker: Broker) {
        let shared = Arc::new(Shared {
            secure: self.settings.tls.is_some() || self.settings.behind_proxy,
            acceptor: self.settings.tls.map(TlsAcceptor::from),
            origins: self.settings.origins,
            per_address: self.settings.per_address,
            strangers: Arc::new(Semaphore::new(limits::UNAUTHENTICATED_MAX)),
            tasks: TaskTracker::new(),
            broker: broker.clone(),
        });
        let router = router(shared.clone());
        let shutdown = broker.shutdown().clone();
        tokio::select! {
            () = accept(&self.listener, &shared, &router) => {}
            () = shutdown.cancelled() => {}
        }
        drop(self.listener);
        super::close_all(&broker);
        shared.tasks.close();
        if timeout(super::DRAIN, shared.tasks.wait()).await.is_err() {
            tracing::info!(left = shared.tasks.len(), "connections were still open at the end of the drain");
        }
    }
}

pub(super) struct Shared {
    acceptor: Option<TlsAcceptor>,
    secure: bool,
    origins: Vec<String>,
    per_address: PerAddress,
    /// Room for those who have not said who they are.
    strangers: Arc<Semaphore>,
    tasks: TaskTracker,
    pub(super) broker: Broker,
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, router: &Router) {
    // Closing this file makes room to accept, and at once drop, one socket where the process has no descriptor left:
    // its peer is told, and the loop does not spin on a socket that stays in the queue (H-04).
    let mut spare = File::open("/dev/null").ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = shared.per_address.enter(peer.ip()) else {
                    super::refused("address");
                    continue;
                };
                match shared.strangers.clone().try_acquire_owned() {
                    Ok(permit) => {
                        let peer = Peer { address: peer.ip(), permit: Arc::new(permit), place: Arc::new(place) };
                        shared.tasks.spawn(serve(stream, peer, shared.clone(), router.clone()));
                    }
                    Err(_) => super::refused("strangers"),
                }
            }
            Err(error) if is_out_of_files(&error) => {
                super::refused("files");
                drop(spare.take());
                drop(listener.accept().now_or_never());
                spare = File::open("/dev/null").ok();
                tokio::time::sleep(super::OUT_OF_FILES).await;
            }
            // The peer went before it was accepted.
            Err(error) => tracing::debug!(%error, "accepting failed"),
        }
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let out = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| out.iter().any(|errno| errno.raw_os_error() == code))
}

async fn serve(stream: TcpStream, peer: Peer, shared: Arc<Shared>, router: Router) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // Where unsupported, frames only wait a little longer behind bulk.
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(super::UNSENT_BYTES);
    let stream = match &shared.acceptor {
        None => Stream::Plain(stream),
        Some(acceptor) => match timeout(super::HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Stream::Tls(Box::new(stream.into())),
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        },
    };
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(super::HANDSHAKE)
        .max_headers(super::HEADERS_MAX)
        .max_buf_size(super::HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

/// Who sits at the other end of a connection that has not said hello.
#[derive(Clone)]
pub(super) struct Peer {
    /// Of the socket: a header that claims another is not looked at (H-24).
    pub(super) address: IpAddr,
    permit: Arc<OwnedSemaphorePermit>,
    /// Among the connections of this address, until the last of it is gone.
    place: Arc<Place>,
}

// ---- routes ---------------------------------------------------------------------------------------------------------

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(WEBSOCKET_PATH, routing::get(upgrade))
        .route("/healthz", routing::get(health))
        .merge(sign_in::routes())
        .merge(invitation::routes())
        .fallback(async || problem::response(StatusCode::NOT_FOUND, "not_found", "there is nothing here"))
        .method_not_allowed_fallback(async || {
            problem::response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is meant")
        })
        .layer(axum::extract::DefaultBodyLimit::max(super::BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(only_lengths))
        .with_state(shared)
}

/// Bodies come with their length. Two ways to say where a body ends are how requests are smuggled past a proxy, so the
/// other one is not spoken here (H-15).
async fn only_lengths(request: Request, next: axum::middleware::Next) -> Response {
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        let mut response = problem::response(
            StatusCode::BAD_REQUEST,
            "malformed",
            "a body comes with `Content-Length`, not in chunks",
        );
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    next.run(request).await
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    if shared.broker.shutdown().is_cancelled() {
        return problem::response(StatusCode::SERVICE_UNAVAILABLE, "draining", "the broker is about to go");
    }
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    if let Some(query) = request.uri().query() {
        query.split(['&', '=']).for_each(|word| shared.broker.burn_ticket(word));
    }
    let accept = match check_upgrade(&request, &shared.origins) {
        Ok(accept) => accept,
        Err(refused) => return *refused,
    };
    let origin = shared.origin(peer.address, request.headers());
    let (upgraded, opened) = (hyper::upgrade::on(&mut request), Instant::now());
    let broker = shared.broker.clone();
    shared.tasks.spawn(async move {
        let Peer { permit, place: _place, .. } = peer;
        // Fails only where the connection died meanwhile.
        let Ok(upgraded) = upgraded.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else { return };
        let socket = Socket::new(End::Broker, parts.io.into_inner(), parts.read_buf);
        pump::serve(Link::Ws(Box::new(socket)), origin, broker, permit, opened).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Everything that is asked of an upgrade before a byte is read from it (H-12…H-20, H-22). Cookies are not looked at;
/// extensions are not offered back, so nothing is ever compressed (H-38).
fn check_upgrade(request: &Request, origins: &[String]) -> Result<HeaderValue, Box<Response>> {
    let bad = |message: &str| Box::new(problem::response(StatusCode::BAD_REQUEST, "bad_upgrade", message));
    let headers = request.headers();
    let text = |name: header::HeaderName| -> Result<Option<&str>, Box<Response>> {
        let mut values = headers.get_all(&name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(bad(&format!("`{name}` is there twice")));
        }
        value.to_str().map(Some).map_err(|_| bad(&format!("`{name}` is not plain ASCII")))
    };
    if request.method() != Method::GET {
        let message = "a WebSocket is opened with GET";
        return Err(Box::new(problem::response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)));
    }
    if request.uri().query().is_some() {
        return Err(bad("nothing may stand in the query: what proves who you are goes into the hello"));
    }
    let lists = |value: Option<&str>, wanted: &str| {
        value.is_some_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    text(header::HOST)?;
    let origin = text(header::ORIGIN)?;
    let offered = text(header::SEC_WEBSOCKET_PROTOCOL)?;
    if !lists(text(header::CONNECTION)?, "upgrade") || !lists(text(header::UPGRADE)?, "websocket") {
        let mut response = problem::response(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "speak WebSocket here");
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(response));
    }
    if text(header::SEC_WEBSOCKET_VERSION)? != Some("13") {
        let message = "the version of WebSocket is 13";
        let mut response = problem::response(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let key = text(header::SEC_WEBSOCKET_KEY)?.ok_or_else(|| bad("`Sec-WebSocket-Key` is missing"))?;
    if !data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(bad("`Sec-WebSocket-Key` is not 16 bytes in base64"));
    }
    if !offered.is_some_and(|offered| offered.split(',').any(|name| name.trim() == SUBPROTOCOL)) {
        return Err(bad(&format!("the subprotocol `{SUBPROTOCOL}` must be offered")));
    }
    // A native client sends no origin. A page's must be on the list, byte for byte.
    if origin.is_some_and(|origin| !origins.iter().any(|allowed| allowed == origin)) {
        let message = "pages of this origin may not connect";
        return Err(Box::new(problem::response(StatusCode::FORBIDDEN, "foreign_origin", message)));
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| bad("`Sec-WebSocket-Key` is unusable"))
}

impl Shared {
    pub(super) fn origin(&self, address: IpAddr, headers: &HeaderMap) -> Origin {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| {
            let name = host
                .rsplit_once(':')
                .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
            name.to_ascii_lowercase()
        });
        let page = headers.get(header::ORIGIN).and_then(|page| page.to_str().ok()).map(str::to_owned);
        Origin { address, host, page, transport: if self.secure { TransportName::Wss } else { TransportName::Ws } }
    }
}

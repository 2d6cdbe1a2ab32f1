//! The operations listener: `/metrics`, `/livez`, `/readyz` and `/healthz`, on loopback unless a setting says otherwise
//! (H-91). It knows nothing that may be changed through it.

use super::{Health, metrics::Recorder};
use crate::limits;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    #[error("ops.listen {0} is not a loopback address, and ops.allow_remote is off")]
    NotLoopback(SocketAddr),
    #[error("ops.listen {0}")]
    Bind(SocketAddr, #[source] std::io::Error),
}

/// A bound listener; it serves once it is run.
pub struct OpsListener {
    listener: TcpListener,
    allow_remote: bool,
}

#[derive(Clone)]
struct Shared {
    health: Health,
    recorder: Recorder,
    allow_remote: bool,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    failed: BTreeMap<&'static str, String>,
}

impl OpsListener {
    /// Refuses an address that others can reach, unless `allow_remote`.
    pub async fn bind(address: SocketAddr, allow_remote: bool) -> Result<Self, OpsError> {
        if !address.ip().is_loopback() && !allow_remote {
            return Err(OpsError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address).await.map_err(|e| OpsError::Bind(address, e))?;
        Ok(Self { listener, allow_remote })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; scrapes that are under way are finished first.
    pub async fn run(self, health: Health, recorder: Recorder, stop: CancellationToken) {
        let app = router(Shared { health, recorder, allow_remote: self.allow_remote });
        let places = Arc::new(Semaphore::new(limits::OPS_CONNECTIONS));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                // Out of files: whoever holds one must get the chance to give it back.
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE.0)).await;
                continue;
            };
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let service = TowerToHyperService::new(app.clone());
            let stop = stop.clone();
            tasks.spawn(async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(limits::OPS_HEADER.0));
                let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(socket), service));
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .layer(middleware::from_fn_with_state(shared.clone(), own_host))
        .with_state(shared)
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.recorder.render())
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let failed = shared.health.failed();
    let ready = failed.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, failed }))
}

/// A browser that was led here by another name is turned away: no page reads the metrics by rebinding its own host.
async fn own_host(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if shared.allow_remote || names_loopback(request.headers()) {
        return next.run(request).await;
    }
    StatusCode::MISDIRECTED_REQUEST.into_response()
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Check, metrics};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(address: SocketAddr, host: &str, path: &str) -> String {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    struct Running {
        address: SocketAddr,
        health: Health,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start() -> Running {
        let listener = OpsListener::bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let address = listener.address().unwrap();
        let (health, stop) = (Health::default(), CancellationToken::new());
        let task = tokio::spawn(listener.run(health.clone(), metrics::recorder(), stop.clone()));
        Running { address, health, stop, task }
    }

    #[tokio::test]
    async fn h_91_an_address_others_can_reach_is_refused_by_default() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let refused = OpsListener::bind(address.parse().unwrap(), false).await;
            assert!(matches!(refused, Err(OpsError::NotLoopback(_))), "{address}");
        }
    }

    #[tokio::test]
    async fn h_91_a_foreign_host_name_is_turned_away() {
        let ops = start().await;
        for host in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""] {
            assert!(ask(ops.address, host, "/metrics").await.starts_with("HTTP/1.1 421"), "{host}");
        }
        for host in ["localhost", "127.0.0.1:9464", "[::1]:9464"] {
            assert!(ask(ops.address, host, "/livez").await.starts_with("HTTP/1.1 200"), "{host}");
        }
    }

    #[tokio::test]
    async fn readyz_lists_each_failed_check_with_its_reason() {
        let ops = start().await;
        ops.health.fail(Check::Disk, "3 MiB left");
        let answer = ask(ops.address, "localhost", "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#""disk_full":"3 MiB left""#) && answer.contains(r#""starting""#), "{answer}");
        ops.health.pass(Check::Disk);
        ops.health.pass(Check::Started);
        for path in ["/readyz", "/healthz"] {
            let answer = ask(ops.address, "localhost", path).await;
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"ready":true,"failed":{}}"#),
                "{answer}"
            );
        }
    }

    #[tokio::test]
    async fn h_82_there_is_no_setup_under_any_name() {
        let ops = start().await;
        for path in ["/setup", "/setup/", "/setup/x", "//setup", "/%73etup", "/setup;x", "/SETUP", "/livez/../setup"] {
            assert!(ask(ops.address, "localhost", path).await.starts_with("HTTP/1.1 404"), "{path}");
        }
    }

    #[tokio::test]
    async fn i_m7_it_ends_when_told_even_while_a_connection_idles() {
        let ops = start().await;
        let _idle = tokio::net::TcpStream::connect(ops.address).await.unwrap();
        assert!(ask(ops.address, "localhost", "/livez").await.ends_with("alive\n"));
        ops.stop.cancel();
        ops.task.await.unwrap();
    }
}

//! The plain requests that prove who somebody is: signing in, second factors, tickets. Each shows everything itself; no
//! cookie is ever looked at.

use super::{
    http::{Peer, Shared},
    problem,
};
use crate::{
    broker::{Origin, Shows},
    framing::{SECOND_FACTOR_PATH, SIGN_IN_PATH, TICKET_PATH},
    identity::Secret,
};
use axum::{
    Json, Router,
    extract::{FromRequest, OptionalFromRequest, Request, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::time::timeout;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(SIGN_IN_PATH, routing::post(sign_in))
        .route(SECOND_FACTOR_PATH, routing::post(begin_second_factor))
        .route(&format!("{SECOND_FACTOR_PATH}/confirm"), routing::post(confirm_second_factor))
        .route(&format!("{SECOND_FACTOR_PATH}/end"), routing::post(end_second_factor))
        .route(TICKET_PATH, routing::post(ticket))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    new_password: Option<String>,
}

impl Credentials {
    fn shows(&self) -> Shows<'_> {
        let (code, new_password) = (self.code.as_deref(), self.new_password.as_deref());
        Shows { username: &self.username, password: &self.password, code, new_password }
    }
}

/// Somebody who shows a name, a password and perhaps more, and from where.
struct Caller {
    credentials: Credentials,
    origin: Origin,
}

impl FromRequest<Arc<Shared>> for Caller {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
        let origin = shared.origin(peer.address, request.headers());
        let body = <Json<Credentials> as FromRequest<()>>::from_request(request, &());
        match timeout(super::BODY, body).await {
            Ok(Ok(Json(credentials))) => Ok(Self { credentials, origin }),
            Ok(Err(rejection)) => Err(bad_body(&rejection)),
            Err(_) => Err(problem::too_slow()),
        }
    }
}

#[derive(Serialize)]
struct Token {
    token: String,
    expires_at_ms: u64,
}

async fn sign_in(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    match shared.broker.sign_in(caller.credentials.shows(), &caller.origin).await {
        Ok(signed_in) => secret(Token { token: signed_in.token, expires_at_ms: signed_in.expires_at_ms }),
        Err(refused) => problem::refused(&refused),
    }
}

async fn begin_second_factor(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    match shared.broker.begin_second_factor(caller.credentials.shows(), &caller.origin).await {
        Ok(begun) => secret(json!({ "secret": *begun.secret, "uri": *begun.uri })),
        Err(refused) => problem::refused(&refused),
    }
}

async fn confirm_second_factor(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    match shared.broker.confirm_second_factor(caller.credentials.shows(), &caller.origin).await {
        Ok(codes) => secret(json!({ "recovery_codes": codes.iter().map(Secret::reveal).collect::<Vec<_>>() })),
        Err(refused) => problem::refused(&refused),
    }
}

async fn end_second_factor(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    match shared.broker.end_second_factor(caller.credentials.shows(), &caller.origin).await {
        Ok(()) => secret(json!({})),
        Err(refused) => problem::refused(&refused),
    }
}

/// What a ticket is for; left out: a rep's console.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketFor {
    role: String,
}

async fn ticket(State(shared): State<Arc<Shared>>, headers: HeaderMap, request: Request) -> Response {
    let body = <Json<TicketFor> as OptionalFromRequest<()>>::from_request(request, &());
    let body = match timeout(super::BODY, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => {
            return problem::response(rejection.status(), "malformed", "the body is `{\"role\"}` in JSON, or none");
        }
        Err(_) => return problem::too_slow(),
    };
    let role = body.map_or_else(|| "rep".to_owned(), |Json(wanted)| wanted.role);
    if !matches!(role.as_str(), "rep" | "admin") {
        return problem::response(StatusCode::BAD_REQUEST, "malformed", "a ticket's role is `rep` or `admin`");
    }
    let page = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match bearer.map(|bearer| shared.broker.ticket(bearer, page, &role)) {
        Some(Ok(ticket)) => secret(json!({ "ticket": ticket })),
        Some(Err(refused)) => problem::refused(&refused),
        None => problem::response(StatusCode::UNAUTHORIZED, "unauthenticated", "a bearer token is needed"),
    }
}

/// An answer that nobody on the way may keep.
fn secret(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn bad_body(rejection: &JsonRejection) -> Response {
    problem::response(
        rejection.status(),
        "malformed",
        "the body is `{\"username\", \"password\"}` in JSON, with `code` where there is a second factor and `new_password` \
         where another is chosen, at most 8 KiB",
    )
}

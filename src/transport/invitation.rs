//! The page that a mailed invitation's links open, and the answer its button sends. Looking at the page answers nothing
//! (H-105): mail scanners follow every link.

use super::{
    http::{Peer, Shared},
    problem,
};
use crate::{broker::InvitationAnswer, framing::INVITATION_PATH};
use axum::{
    Json, Router,
    extract::{Extension, FromRequest, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use serde::Deserialize;
use std::sync::Arc;
use tokio::time::timeout;

const PAGE: &str = include_str!("../../web/invitation.html");
const SCRIPT: &str = include_str!("../../web/invitation.js");
/// Its own script and its own requests, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(INVITATION_PATH, routing::get(async || file("text/html; charset=utf-8", PAGE)).post(answer))
        .route(&format!("{INVITATION_PATH}.js"), routing::get(async || file("text/javascript; charset=utf-8", SCRIPT)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    token: String,
    answer: InvitationAnswer,
}

async fn answer(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let origin = shared.origin(peer.address, request.headers());
    let Answered { token, answer } = match timeout(super::BODY, Json::from_request(request, &())).await {
        Ok(Ok(Json(answered))) => answered,
        Ok(Err(rejection)) => {
            let message = "the body is `{\"token\", \"answer\"}` in JSON";
            return problem::response(rejection.status(), "malformed", message);
        }
        Err(_) => return problem::too_slow(),
    };
    match shared.broker.answer_invitation(&token, answer, &origin).await {
        Ok(()) => ([(header::CACHE_CONTROL, "no-store")], Json(serde_json::json!({}))).into_response(),
        Err(refused) => problem::refused(&refused),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::OK, headers, text).into_response()
}

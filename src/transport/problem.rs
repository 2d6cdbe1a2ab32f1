//! Errors over HTTP, as RFC 9457 problems with stable types.

use crate::wire::Refused;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// `code` is one of the documented names; the type is made of it.
pub(super) fn response(status: StatusCode, code: &str, detail: &str) -> Response {
    build(status, code, detail, None)
}

pub(super) fn too_slow() -> Response {
    response(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long")
}

/// A refusal of the broker.
pub(super) fn refused(refused: &Refused) -> Response {
    let status = match refused.code.as_str() {
        "unauthenticated" | "second_factor_required" | "password_reset_required" => StatusCode::UNAUTHORIZED,
        "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
        "overloaded" | "draining" | "storage" => StatusCode::SERVICE_UNAVAILABLE,
        "not_permitted" => StatusCode::FORBIDDEN,
        "key_gone" => StatusCode::GONE,
        _ => StatusCode::BAD_REQUEST,
    };
    build(status, &refused.code, &refused.message, refused.retry_after_ms)
}

fn build(status: StatusCode, code: &str, detail: &str, retry_after_ms: Option<u64>) -> Response {
    let problem = Problem {
        kind: format!("urn:equipoise:problem:{code}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
        retry_after_ms,
    };
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    response
}

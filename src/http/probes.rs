//! The probes: whether the process lives, whether it can take mail, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::AdminState;

/// The content type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn live() -> &'static str {
    "ok\n"
}

/// What `/readyz` tells.
#[derive(Debug, Serialize)]
struct Checks {
    ready: bool,
    store: &'static str,
    upstream: &'static str,
    draining: bool,
    /// Causes whose bounces are held until an operator has looked.
    pending: u64,
}

/// Ready means: mail that comes now can be judged.
///
/// An upstream that cannot be reached is told but does not count. Only new mail finds out that it is
/// back, and a gateway that is not ready gets none.
async fn ready(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    let store = state.ledger.health().await;
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready: the store fails its check");
    }
    let draining = state.readiness.is_draining();
    let checks = Checks {
        ready: store.is_ok() && !draining,
        store: if store.is_ok() { "ok" } else { "failing" },
        upstream: if state.readiness.is_upstream_failing() {
            "failing"
        } else {
            "ok"
        },
        draining,
        pending: state.learner.holding(),
    };
    let status = if checks.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(checks))
}

async fn metrics(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, OPEN_METRICS)],
        state.metrics.encode(),
    )
}

//! The API of returned mail: an operator hands in a message, and it is learnt from.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;

use super::AdminState;
use super::change::is_of_type;
use super::error::ApiError;
use super::peer::Peer;
use crate::gateway::Context;
use crate::gateway::returns::{Bearer, Intake, Letter, Seals, Taken};

/// What the handlers work with.
#[derive(Clone)]
struct Gate {
    state: Arc<AdminState>,
    context: Arc<Context>,
}

/// The routes, for a gateway that is running.
pub fn routes(state: Arc<AdminState>, context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/bounces", post(take_in))
        .with_state(Gate { state, context })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: Option<String>,
    /// Whether a message without a signed address is believed, too. Without a word, where nothing is
    /// signed.
    trust_unsigned: Option<bool>,
}

/// Takes in one message. The signed addresses in it decide, however old they are; where there are
/// none, the addresses that it names, if the operator wishes.
async fn take_in(
    State(gate): State<Gate>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, ApiError> {
    let Query(options) = query.map_err(|error| {
        ApiError::bad_request(
            error.body_text(),
            "known here are `tenant` and `trust_unsigned` (true or false)",
        )
    })?;
    let tenant = gate.state.tenant(options.tenant.as_deref())?;
    check_type(&headers)?;
    let settings = gate.context.settings.load_full();
    let message = bounded(body, settings.limits.report_size_limit).await?;
    let mut domains: Vec<String> = settings
        .returns
        .values()
        .flat_map(|rules| rules.domains.iter().cloned())
        .chain(settings.return_domain.as_deref().map(str::to_owned))
        .collect();
    domains.sort_unstable();
    domains.dedup();
    let operator = peer.acting_for(None);
    let letter = Letter {
        message,
        tokens: Vec::new(),
        bearer: Bearer {
            name: &operator,
            trusted: options.trust_unsigned.unwrap_or(!settings.signs()),
            archive: true,
            tenant: &tenant,
            via: "ingest",
            hostname: &settings.hostname,
        },
        seals: Seals {
            signer: settings.signer.as_deref(),
            tenants: &settings.tenants,
            domains: &domains,
        },
    };
    let taken = Intake::of(&gate.context).take_in(letter).await?;
    // A3: who handed it in, and what came of it.
    tracing::info!(target: "sendgate::audit", operator, %tenant, kind = taken.kind,
        counted = taken.counted, held = taken.held, "returned mail was handed in");
    Ok(Json(taken))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_of_type(headers, "message/rfc822") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body is no message",
        "send one message as Content-Type: message/rfc822",
    ))
}

async fn bounded(body: Body, limit: u64) -> Result<Vec<u8>, ApiError> {
    let octets = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = axum::body::to_bytes(body, octets).await;
    read.map(Vec::from).map_err(|_| {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the message is too large or broke off",
            format!("at most {limit} octets are read (limits.report_size_limit)"),
        )
    })
}

//! The API of recipients: what is known of one, its history, and the changes an operator makes.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::AdminState;
use super::answer::{Changed, History, Mailability, Outcome, Recipient};
use super::change::{self, Action};
use super::error::{self, ApiError};
use super::peer::Peer;
use crate::mail::Address;
use crate::store::{HISTORY_LIMIT, StoreError, Versioned};
use crate::suppression::{Event, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// Largest body, in octets.
const BODY_LIMIT: usize = 64 << 10;

/// How many history entries are shown unless the request says otherwise.
const HISTORY_SHOWN: usize = 50;

/// What the command line calls itself; its changes are recorded as `cli`.
pub(crate) const CLI_AGENT: &str = concat!("sendgate/", env!("CARGO_PKG_VERSION"));

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/recipients/{address}", get(show))
        .route("/v1/recipients/{address}/history", get(history))
        .route("/v1/recipients/{address}/{action}", post(change))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: Option<String>,
    limit: Option<usize>,
}

type OptionsQuery = Result<Query<Options>, QueryRejection>;

/// Whom a request is about.
struct Subject {
    tenant: Tenant,
    address: Address,
    key: RecipientKey,
}

async fn show(
    State(state): State<Arc<AdminState>>,
    path: Result<Path<String>, PathRejection>,
    query: OptionsQuery,
) -> Result<Json<Recipient>, ApiError> {
    let (subject, _) = subject(&state, &readable(path)?, query)?;
    let versioned = state.ledger.read(&subject.tenant, &subject.key).await?;
    Ok(Json(describe(&state, subject, versioned)))
}

async fn history(
    State(state): State<Arc<AdminState>>,
    path: Result<Path<String>, PathRejection>,
    query: OptionsQuery,
) -> Result<Json<History>, ApiError> {
    let (subject, options) = subject(&state, &readable(path)?, query)?;
    let limit = options.limit.unwrap_or(HISTORY_SHOWN).min(HISTORY_LIMIT);
    let history = state
        .ledger
        .history(&subject.tenant, &subject.key, limit)
        .await?;
    Ok(Json(History {
        tenant: subject.tenant,
        address: subject.address.to_string(),
        key: subject.key,
        history,
    }))
}

async fn change(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: OptionsQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>, ApiError> {
    let (written, action) = readable(path)?;
    let Some(action) = Action::parse(&action) else {
        return Err(error::no_such_path().await);
    };
    let body = bounded(body).await?;
    let now = Timestamp::now();
    let request = change::Request::read(action, &headers, &body, now)?;
    let (subject, _) = subject(&state, &written, query)?;
    let event = Event {
        id: change::event_id(&headers, &subject.tenant, &subject.key)?,
        at: now,
        actor: peer.acting_for(request.actor.as_deref()),
        via: via(&headers).to_owned(),
        message_at: None,
        address: Some(written),
        change: request.change,
    };
    commit(&state, subject, event).await
}

/// Records the event, writes it to the audit trail and tells how things stand now.
async fn commit(
    state: &AdminState,
    subject: Subject,
    event: Event,
) -> Result<Json<Changed>, ApiError> {
    let Subject { tenant, key, .. } = &subject;
    let id = event.id.clone();
    let asked = serde_json::to_string(&event.change).unwrap_or_default();
    let actor = event.actor.clone();
    let name = event.change.name();
    let before = state.ledger.read(tenant, key).await?;
    let recorded = state.ledger.record(tenant, key, event).await?;
    state.metrics.recorded(name, recorded.effect);
    let effect = Outcome::from(recorded.effect);
    // A3: who asked for what, and what came of it. The store's history holds the same.
    tracing::info!(target: "sendgate::audit", event = %id, %tenant, %key, actor, change = asked,
        ?effect, version_before = before.version, "a record was to be changed");
    if effect == Outcome::Outdated {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "something newer stands in the record; the change is remembered and decides nothing",
            "look at the history; a clock that goes back can be the cause",
        ));
    }
    let after = match state.ledger.read(tenant, key).await {
        Ok(after) => after,
        // The change is made: an answer that says less is better than one that says it failed.
        Err(StoreError::Unavailable(_)) => Versioned {
            record: recorded.record,
            version: before.version + 1,
        },
        Err(error) => return Err(error.into()),
    };
    Ok(Json(Changed {
        event: id,
        effect,
        recipient: describe(state, subject, after),
    }))
}

fn describe(state: &AdminState, subject: Subject, versioned: Versioned) -> Recipient {
    let now = Timestamp::now();
    let mailability = state
        .names
        .load()
        .streams
        .values()
        .map(|stream| Mailability::of(&versioned.record, stream, now))
        .collect();
    Recipient {
        tenant: subject.tenant,
        address: subject.address.to_string(),
        key: subject.key,
        version: versioned.version,
        mailability,
        record: versioned.record,
    }
}

fn subject(
    state: &AdminState,
    written: &str,
    query: OptionsQuery,
) -> Result<(Subject, Options), ApiError> {
    let Query(options) = query.map_err(|error| {
        ApiError::bad_request(error.body_text(), "known here are `tenant` and `limit`")
    })?;
    let tenant = state.tenant(options.tenant.as_deref())?;
    let address = Address::parse(written)?;
    let key = state.ledger.key(&tenant, &address);
    let subject = Subject {
        tenant,
        address,
        key,
    };
    Ok((subject, options))
}

impl AdminState {
    /// The tenant of this name; without a name `default`, or the only one there is.
    pub(super) fn tenant(&self, name: Option<&str>) -> Result<Tenant, ApiError> {
        let names = self.names.load();
        let tenants = &names.tenants;
        let known = |name: &str| tenants.get(name).cloned();
        let all = || {
            let all: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
            all.join(", ")
        };
        match name {
            Some(name) => known(name).ok_or_else(|| {
                ApiError::new(
                    StatusCode::NOT_FOUND,
                    "no listener and no user has this tenant",
                    format!("configured are: {}", all()),
                )
            }),
            None if tenants.len() == 1 => Ok(tenants.first().cloned().unwrap_or_default()),
            None => known(Tenant::default().as_str()).ok_or_else(|| {
                ApiError::bad_request(
                    "there are several tenants",
                    format!("name one of them: {}", all()),
                )
            }),
        }
    }
}

pub(super) fn readable<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    let Path(parts) = path.map_err(|error| {
        ApiError::bad_request(
            error.body_text(),
            "give what is in the path as percent-encoded UTF-8",
        )
    })?;
    Ok(parts)
}

pub(super) async fn bounded(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or broke off",
            format!("at most {BODY_LIMIT} octets are read"),
        )
    })
}

pub(super) fn via(headers: &HeaderMap) -> &'static str {
    let agent = headers.get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes() == CLI_AGENT.as_bytes()) {
        "cli"
    } else {
        "api"
    }
}

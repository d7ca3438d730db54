//! The API of imports: a list that was kept elsewhere comes in requests of some thousand rows.
//!
//! An import is begun, gets rows, and is ended. Each request does a bounded piece of work, so a list
//! of any length needs no memory, and mail is judged meanwhile. Rows that were sent twice change
//! nothing, so whoever does not know whether a request was served repeats it.

mod registry;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;

pub use self::registry::Imports;

use self::registry::Import;
use super::AdminState;
use super::answer::{Begun, Ended, RowFailure, Taken};
use super::api::{bounded, readable};
use super::change::{is_of_type, json, random_id, text};
use super::error::ApiError;
use super::peer::Peer;
use crate::import::{Provenance, Row};
use crate::mail::Address;
use crate::store::StoreError;
use crate::store::ledger::{Guess, RecordedMany};
use crate::suppression::event::Effect;
use crate::suppression::{Event, RecipientKey};
use crate::timestamp::Timestamp;

/// Largest request of rows, in octets.
pub(crate) const BODY_LIMIT: usize = 4 << 20;

/// Rows that are recorded together: few enough that look-ups of others do not wait long for the store.
const BATCH: usize = 500;

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/imports", post(begin))
        .route("/v1/imports/{import}/rows", post(rows))
        .route("/v1/imports/{import}/end", post(end))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    /// The list, where it came from; a file name will do.
    source: Option<String>,
    /// The reason of rows that did not say, for the audit trail.
    reason: Option<String>,
    note: Option<String>,
    actor: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

async fn begin(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Begun>, ApiError> {
    let Query(options) = query
        .map_err(|error| ApiError::bad_request(error.body_text(), "known here is `tenant`"))?;
    let tenant = state.tenant(options.tenant.as_deref())?;
    let body: BeginBody = json(&headers, &bounded(body).await?)?;
    let id = random_id()?.to_string();
    let import = Import::new(
        id.clone(),
        Provenance {
            tenant: tenant.clone(),
            actor: peer.acting_for(text("actor", body.actor)?.as_deref()),
            source: text("source", body.source)?,
            note: text("note", body.note)?,
        },
        text("reason", body.reason)?,
        body.dry_run,
    );
    // A store that is not there is better known before the first row.
    state.ledger.health().await?;
    state.imports.begin(import)?;
    Ok(Json(Begun { import: id, tenant }))
}

async fn rows(
    State(state): State<Arc<AdminState>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, ApiError> {
    let import = state.imports.get(&readable(path)?)?;
    check_type(&headers)?;
    let permit = state.imports.permit().await;
    let body = read(body).await?;
    let work = tokio::spawn(async move {
        let taken = take(&state, &import, &body).await;
        import.add(&taken);
        drop(permit);
        taken
    });
    // It goes on when whoever asked waits no more: what is written shall be counted.
    let taken = work.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the import broke off: {error}"),
            "begin again; repeating it does no harm",
        )
    })?;
    Ok(Json(taken))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndBody {
    /// Rows that were not sent because they could not be taken.
    #[serde(default)]
    failed: u64,
    /// Rows that were not sent because they are not carried over.
    #[serde(default)]
    skipped: u64,
}

async fn end(
    State(state): State<Arc<AdminState>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Ended>, ApiError> {
    let import = readable(path)?;
    let body: EndBody = json(&headers, &bounded(body).await?)?;
    Ok(Json(state.imports.end(
        &import,
        body.failed,
        body.skipped,
    )?))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_of_type(headers, "application/x-ndjson") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body is no list of rows",
        "send one JSON object a line as Content-Type: application/x-ndjson",
    ))
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request is too large or broke off",
            format!("at most {BODY_LIMIT} octets of rows are taken at once"),
        )
    })
}

/// The events of some rows, each with the place of its row in the request.
#[derive(Default)]
struct Batch {
    places: Vec<u64>,
    events: Vec<(RecipientKey, Event)>,
}

/// Takes the rows, some at a time; those that the store did not take shall come again.
async fn take(state: &AdminState, import: &Import, body: &[u8]) -> Taken {
    let mut taken = Taken::default();
    let lines = lines(body);
    let now = Timestamp::now();
    let mut rest = lines.chunks(BATCH);
    for part in rest.by_ref() {
        let mut batch = Batch::default();
        for (place, line) in part {
            match event(state, import, line, now) {
                Ok(event) => {
                    batch.places.push(*place);
                    batch.events.push(event);
                }
                Err(error) => taken.failed.push(RowFailure {
                    place: *place,
                    error,
                }),
            }
        }
        record(state, import, batch, &mut taken).await;
        if taken.unavailable.is_some() {
            break;
        }
    }
    taken.again.extend(rest.flatten().map(|(place, _)| place));
    taken
}

/// The rows with their places; empty lines are none.
fn lines(body: &[u8]) -> Vec<(u64, &[u8])> {
    let lines = body.split(|&b| b == b'\n');
    let rows = lines.filter(|line| !line.trim_ascii().is_empty());
    (0..).zip(rows).collect()
}

fn event(
    state: &AdminState,
    import: &Import,
    line: &[u8],
    now: Timestamp,
) -> Result<(RecipientKey, Event), String> {
    let row: Row<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let address = Address::parse(&row.address).map_err(|error| error.to_string())?;
    let key = state.ledger.key(&import.from.tenant, &address);
    let event = row.event(&key, &import.from, now);
    Ok((key, event.map_err(|error| error.to_string())?))
}

async fn record(state: &AdminState, import: &Import, batch: Batch, taken: &mut Taken) {
    let Batch { places, events } = batch;
    let tenant = &import.from.tenant;
    let names: Vec<_> = events
        .iter()
        .map(|(_, event)| event.change.name())
        .collect();
    let recorded = if import.dry_run {
        let preview = state.ledger.preview_many(tenant, &events).await;
        preview.unwrap_or_else(|error| RecordedMany {
            outcomes: vec![Err(error); places.len()],
            created: 0,
        })
    } else {
        let guess = import.guess();
        let recorded = state.ledger.record_many(tenant, events, guess).await;
        import.learn(2 * recorded.created >= places.len());
        recorded
    };
    for ((place, outcome), name) in places.into_iter().zip(recorded.outcomes).zip(names) {
        if !import.dry_run
            && let Ok(effect) = &outcome
        {
            state.metrics.recorded(name, *effect);
        }
        match outcome {
            Ok(Some(Effect::Changed)) => taken.recorded += 1,
            Ok(Some(Effect::Outdated)) => taken.outdated += 1,
            Ok(None | Some(Effect::AlreadySo | Effect::Dropped)) => taken.known += 1,
            Err(StoreError::Unavailable(cause)) => {
                taken.again.push(place);
                taken.unavailable = Some(cause);
            }
            Err(error) => taken.failed.push(RowFailure {
                place,
                error: error.to_string(),
            }),
        }
    }
}

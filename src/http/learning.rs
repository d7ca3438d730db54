//! The API of what was learnt: bounces that are pending, and undoing a batch of lessons.
//!
//! Each call does a bounded piece of work and says what is left; whoever asks goes on until nothing
//! is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::AdminState;
use super::answer::{Decided, PendingCause, PendingCauses, Undone, UndoneGroup};
use super::api::{bounded, readable, via};
use super::change::{json, random_id, text};
use super::error::{self, ApiError};
use super::peer::Peer;
use crate::bounce::Cause;
use crate::learning::pending::Decision;
use crate::learning::undo::{Filter, UndoPage, UndoneBy};
use crate::store::DecidedBy;
use crate::store::lessons::{CauseId, Pending, Place};
use crate::suppression::Tenant;
use crate::timestamp::Timestamp;

/// How many addresses of a cause are shown.
const EXAMPLES: usize = 5;

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/pending", get(pending))
        .route("/v1/pending/{cause}/{decision}", post(decide))
        .route("/v1/undo", post(undo))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tenant: Option<String>,
}

type OptionsQuery = Result<Query<Options>, QueryRejection>;

fn options(query: OptionsQuery) -> Result<Options, ApiError> {
    let Query(options) = query
        .map_err(|error| ApiError::bad_request(error.body_text(), "known here is `tenant`"))?;
    Ok(options)
}

/// The causes of one tenant, or of all.
async fn pending(
    State(state): State<Arc<AdminState>>,
    query: OptionsQuery,
) -> Result<Json<PendingCauses>, ApiError> {
    let tenants: Vec<Tenant> = match options(query)?.tenant {
        Some(name) => vec![state.tenant(Some(&name))?],
        None => state.names.load().tenants.iter().cloned().collect(),
    };
    let mut causes = Vec::new();
    for tenant in tenants {
        for pending in state.learner.pending(&tenant).await? {
            causes.push(describe(&state, &tenant, pending).await?);
        }
    }
    Ok(Json(PendingCauses { pending: causes }))
}

async fn describe(
    state: &AdminState,
    tenant: &Tenant,
    pending: Pending,
) -> Result<PendingCause, ApiError> {
    let held = state.learner.held(tenant, &pending.cause, EXAMPLES).await?;
    let addresses = held.into_iter().filter_map(|lesson| lesson.event.address);
    Ok(PendingCause {
        tenant: tenant.clone(),
        cause: pending.cause,
        held: pending.held,
        examples: addresses.collect(),
        hold: pending.hold,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    reason: Option<String>,
    actor: Option<String>,
}

async fn decide(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: OptionsQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Decided>, ApiError> {
    let (cause, decision) = readable(path)?;
    let decision = match decision.as_str() {
        "accept" => Decision::Accept,
        "drop" => Decision::Drop,
        _ => return Err(error::no_such_path().await),
    };
    let cause: CauseId = cause.parse().map_err(|error| {
        ApiError::bad_request(format!("{error}"), "see \"sendgate pending list\"")
    })?;
    let tenant = state.tenant(options(query)?.tenant.as_deref())?;
    let body: DecisionBody = json(&headers, &bounded(body).await?)?;
    let by = DecidedBy {
        at: Timestamp::now(),
        actor: peer.acting_for(text("actor", body.actor)?.as_deref()),
        via: via(&headers).to_owned(),
        reason: text("reason", body.reason)?,
    };
    let request = random_id()?;
    let decided = to_the_end(async move {
        let decided = state.learner.decide(&tenant, &cause, decision, &by).await?;
        let Some(decided) = decided else {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                format!("nothing of cause {cause} is pending"),
                "see \"sendgate pending list\"; somebody else may have decided",
            ));
        };
        // A3: who decided what, about how many, and why; also when it broke off.
        tracing::info!(target: "sendgate::audit", %request, %tenant, %cause, actor = by.actor,
            ?decision, reason = by.reason, provider = decided.hold.provider,
            host = decided.hold.host, words = decided.hold.words, decided = decided.decided,
            known = decided.known, left = decided.left,
            failure = decided.failure.as_ref().map(tracing::field::display),
            "pending bounces were decided on");
        if let Some(error) = decided.failure {
            return Err(error.into());
        }
        Ok(Decided {
            tenant,
            cause,
            decided: decided.decided,
            known: decided.known,
            left: decided.left,
        })
    });
    decided.await.map(Json)
}

/// Does the work to its end and its audit line, also when whoever asked waits no more.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the work broke off: {error}"),
            "try again; repeating it does no harm",
        ))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    since: Timestamp,
    until: Option<Timestamp>,
    reason: Option<String>,
    diagnostic: Option<String>,
    #[serde(default)]
    dry_run: bool,
    comment: Option<String>,
    actor: Option<String>,
    /// Where the last call ended.
    from: Option<String>,
}

async fn undo(
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    query: OptionsQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Undone>, ApiError> {
    let tenant = state.tenant(options(query)?.tenant.as_deref())?;
    let body: UndoBody = json(&headers, &bounded(body).await?)?;
    let from = body.from.as_deref().map(place).transpose()?;
    let filter = Filter {
        since: body.since,
        until: body.until,
        reason: body.reason.as_deref().map(reason).transpose()?,
        diagnostic: text("diagnostic", body.diagnostic)?,
    };
    let by = UndoneBy {
        actor: peer.acting_for(text("actor", body.actor)?.as_deref()),
        via: via(&headers).to_owned(),
        reason: text("comment", body.comment)?,
        dry_run: body.dry_run,
    };
    check(&filter, &by)?;
    let request = random_id()?;
    let undone = to_the_end(async move {
        let page = state.learner.undo(&tenant, &filter, &by, from).await?;
        if !by.dry_run {
            // A3: who took back what, how much of it, and why; also when it broke off.
            tracing::info!(target: "sendgate::audit", %request, %tenant, actor = by.actor,
                comment = by.reason, since = %filter.since,
                until = filter.until.map(tracing::field::display), reason = filter.reason,
                diagnostic = filter.diagnostic, matched = page.matched, undone = page.undone,
                failure = page.failure.as_ref().map(tracing::field::display),
                "lessons were undone");
        }
        if let Some(error) = page.failure {
            return Err(error.into());
        }
        Ok(tell(tenant, by.dry_run, page))
    });
    undone.await.map(Json)
}

/// Refuses what would undo more than was meant, or nothing, or nobody could account for.
fn check(filter: &Filter, by: &UndoneBy) -> Result<(), ApiError> {
    if filter.reason.is_none() && filter.diagnostic.is_none() {
        return Err(ApiError::bad_request(
            "everything would be undone that was learnt since then",
            "say in `reason` or `diagnostic` which lessons are meant",
        ));
    }
    if filter.reason.as_deref() == Some(Cause::Complaint.name()) && filter.diagnostic.is_some() {
        return Err(ApiError::bad_request(
            "a complaint has no diagnostic: nothing would be found",
            "leave `diagnostic` out",
        ));
    }
    if !by.dry_run && by.reason.is_none() {
        return Err(ApiError::bad_request(
            "an undo needs a reason",
            "say in `comment` why the lessons are wrong; it is kept in the history",
        ));
    }
    Ok(())
}

fn tell(tenant: Tenant, dry_run: bool, page: UndoPage) -> Undone {
    let groups = page.groups.into_iter().map(|(group, count)| UndoneGroup {
        reason: group.reason,
        provider: group.provider,
        host: group.host,
        count,
    });
    Undone {
        tenant,
        dry_run,
        matched: page.matched,
        undone: page.undone,
        said_again: page.said_again,
        forgotten: page.forgotten,
        groups: groups.collect(),
        examples: page.examples,
        next: page.next.map(|place| place.to_string()),
    }
}

fn place(text: &str) -> Result<Place, ApiError> {
    text.parse().map_err(|error| {
        ApiError::bad_request(format!("{error}"), "give `next` of the last answer")
    })
}

/// A reason in the words that are kept.
fn reason(word: &str) -> Result<String, ApiError> {
    let word = word.trim().to_lowercase().replace('-', "_");
    let cause: Result<Cause, serde_json::Error> = serde_json::from_value(word.as_str().into());
    match cause {
        Ok(cause) => Ok(cause.name().to_owned()),
        Err(_) => Err(ApiError::bad_request(
            "no such reason",
            "give one as the history shows it, such as user_unknown, complaint or opt_out",
        )),
    }
}

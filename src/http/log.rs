//! The suppression log over HTTP: the newest lines, and with `follow=true` those that come.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::AdminState;
use super::error::ApiError;
use crate::log::{Filter, Line, Wanted};
use crate::mail::Address;
use crate::suppression::{Reason, Tenant, Verdict};
use crate::timestamp::Timestamp;

/// One JSON object a line.
const JSON_LINES: &str = "application/x-ndjson";

pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new().route("/v1/log", get(read))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    follow: bool,
    reason: Option<Reason>,
    verdict: Option<Verdict>,
    recipient: Option<String>,
    stream: Option<String>,
    tenant: Option<Tenant>,
    since: Option<Timestamp>,
}

async fn read(
    State(state): State<Arc<AdminState>>,
    query: Result<Query<Options>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(options) = query.map_err(|error| {
        ApiError::bad_request(
            error.body_text(),
            "known here are follow, reason, verdict, recipient, stream, tenant and since",
        )
    })?;
    let follow = options.follow;
    let filter = filter(&state, options)?;
    let (recent, following) = state.log.follow();
    let shown = Some(wanted(&recent, &filter)).filter(|lines| !lines.is_empty());
    let start = stream::iter(shown.map(Ok::<_, Infallible>));
    let body = if follow {
        Body::from_stream(start.chain(coming(following, filter)))
    } else {
        Body::from_stream(start)
    };
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], body).into_response())
}

fn filter(state: &AdminState, options: Options) -> Result<Filter, ApiError> {
    let recipient = match options.recipient {
        None => None,
        Some(written) => {
            let address = Address::parse(&written)?;
            let tenant = options.tenant.clone().unwrap_or_default();
            let key = Some(state.ledger.key(&tenant, &address));
            Some(Wanted { address, key })
        }
    };
    Ok(Filter {
        reason: options.reason,
        verdict: options.verdict,
        recipient,
        stream: options.stream,
        tenant: options.tenant,
        since: options.since,
    })
}

/// The lines that come. A follower that reads too slowly misses some rather than slow us down.
fn coming(
    following: Receiver<Bytes>,
    filter: Filter,
) -> impl stream::Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((following, filter), |(mut following, filter)| async move {
        loop {
            match following.recv().await {
                Ok(chunk) => {
                    let lines = wanted(&chunk, &filter);
                    if !lines.is_empty() {
                        return Some((Ok(lines), (following, filter)));
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

/// Those lines of a chunk that the filter admits.
fn wanted(chunk: &Bytes, filter: &Filter) -> Bytes {
    let lines = chunk.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| Line::parse(line).is_some_and(|line| filter.admits(&line)))
        .collect::<Vec<_>>()
        .concat()
        .into()
}

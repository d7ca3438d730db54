//! A [`Request`] to change a record: its body is read, checked and made a [`Change`].

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::suppression::event::{Grounds, TEXT_LIMIT};
use crate::suppression::{Change, EventId, RecipientKey, Scope, Tenant};
use crate::timestamp::Timestamp;

/// Longest Idempotency-Key, in octets.
const IDEMPOTENCY_KEY_LIMIT: usize = 255;

/// What is to be done to a recipient; the last part of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    OptOut,
    OptIn,
    Block,
    Unblock,
    ResetBounces,
}

impl Action {
    /// Reads the last part of a path.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "opt-out" => Self::OptOut,
            "opt-in" => Self::OptIn,
            "block" => Self::Block,
            "unblock" => Self::Unblock,
            "reset-bounces" => Self::ResetBounces,
            _ => return None,
        })
    }
}

/// A change as it was asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) change: Change,
    /// The person on whose behalf the peer says it acts.
    pub(super) actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentBody {
    scope: Option<Scope>,
    campaign: Option<String>,
    reason: Option<String>,
    comment: Option<String>,
    evidence: Option<String>,
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockBody {
    reason: Option<String>,
    until: Option<Timestamp>,
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnblockBody {
    reason: Option<String>,
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    hard: Option<bool>,
    soft: Option<bool>,
    reason: Option<String>,
    actor: Option<String>,
}

impl Request {
    /// Reads what the body asks for.
    pub(super) fn read(
        action: Action,
        headers: &HeaderMap,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let (change, actor) = match action {
            Action::OptOut => {
                let (scope, grounds, actor) = consent(json(headers, body)?)?;
                (Change::OptOut { scope, grounds }, actor)
            }
            Action::OptIn => {
                let (scope, grounds, actor) = consent(json(headers, body)?)?;
                required(grounds.reason.as_deref(), "an opt-in")?;
                (Change::OptIn { scope, grounds }, actor)
            }
            Action::Block => block(json(headers, body)?, now)?,
            Action::Unblock => {
                let UnblockBody { reason, actor } = json(headers, body)?;
                let reason = required(text("reason", reason)?.as_deref(), "an unblock")?.to_owned();
                (Change::Unblock { reason }, actor)
            }
            Action::ResetBounces => reset(json(headers, body)?)?,
        };
        Ok(Self {
            change,
            actor: text("actor", actor)?,
        })
    }
}

fn consent(body: ConsentBody) -> Result<(Scope, Grounds, Option<String>), ApiError> {
    let grounds = Grounds {
        campaign: text("campaign", body.campaign)?,
        reason: text("reason", body.reason)?,
        comment: text("comment", body.comment)?,
        evidence: text("evidence", body.evidence)?,
    };
    Ok((body.scope.unwrap_or(Scope::All), grounds, body.actor))
}

fn block(body: BlockBody, now: Timestamp) -> Result<(Change, Option<String>), ApiError> {
    if body.until.is_some_and(|until| until <= now) {
        return Err(ApiError::bad_request(
            "`until` is in the past",
            "give a time to come, or none for a block without end",
        ));
    }
    let why = text("reason", body.reason)?.unwrap_or_else(|| "set by an operator".to_owned());
    let until = body.until;
    Ok((Change::Block { why, until }, body.actor))
}

fn reset(body: ResetBody) -> Result<(Change, Option<String>), ApiError> {
    // Whoever names neither means both; whoever names one means that one.
    let all = body.hard.is_none() && body.soft.is_none();
    let (hard, soft) = (body.hard.unwrap_or(all), body.soft.unwrap_or(all));
    if !hard && !soft {
        return Err(ApiError::bad_request(
            "neither hard nor soft bounces are to be reset",
            "set `hard` or `soft` to true, or leave both out to reset both",
        ));
    }
    let reason = text("reason", body.reason)?;
    Ok((Change::ResetBounces { hard, soft, reason }, body.actor))
}

/// Reads a JSON body. A page cannot send this type without asking first, and we never consent (A2).
pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, ApiError> {
    if !is_of_type(headers, "application/json") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a change needs a JSON body",
            "send Content-Type: application/json",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(
            format!("the body cannot be read: {error}"),
            "send one JSON object; {} will do where nothing is required",
        )
    })
}

/// Whether the body is said to be of this media type; its parameters do not count.
pub(super) fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

/// A text of bounded length, its control characters as spaces; empty is none.
pub(super) fn text(name: &str, value: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(value) = value else {
        return Ok(None);
    };
    if value.len() > TEXT_LIMIT {
        return Err(ApiError::bad_request(
            format!("`{name}` is too long"),
            format!("at most {TEXT_LIMIT} octets are kept"),
        ));
    }
    let clean = value.replace(char::is_control, " ");
    let clean = clean.trim();
    Ok((!clean.is_empty()).then(|| clean.to_owned()))
}

fn required<'a>(reason: Option<&'a str>, what: &str) -> Result<&'a str, ApiError> {
    reason.ok_or_else(|| {
        ApiError::bad_request(
            format!("{what} needs a reason"),
            "say in `reason` why mail may go out again; it is kept in the history",
        )
    })
}

/// The id of a change: what the Idempotency-Key stands for, or a new one.
pub(super) fn event_id(
    headers: &HeaderMap,
    tenant: &Tenant,
    key: &RecipientKey,
) -> Result<EventId, ApiError> {
    if let Some(value) = headers.get("idempotency-key") {
        if value.is_empty() || value.len() > IDEMPOTENCY_KEY_LIMIT {
            return Err(ApiError::bad_request(
                "the Idempotency-Key is empty or too long",
                format!("give 1 to {IDEMPOTENCY_KEY_LIMIT} octets"),
            ));
        }
        let parts: [&[u8]; 3] = [tenant.as_str().as_bytes(), key.as_bytes(), value.as_bytes()];
        return Ok(EventId::of(&parts));
    }
    random_id()
}

/// An id that nobody else has.
pub(super) fn random_id() -> Result<EventId, ApiError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the system gives no random numbers: {error}"),
            "try again; nothing was changed",
        )
    })?;
    Ok(EventId::of(&[&random]))
}

//! An [`ApiError`] is a refusal as the API words it: what happened, then what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Problem;
use crate::mail::AddressError;
use crate::store::StoreError;

/// Seconds after which a client may try a store that did not answer again.
const RETRY_AFTER: &str = "5";

/// Why a request was not served.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    problem: Problem,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// The request says something that cannot be.
    pub(super) fn bad_request(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
}

impl From<AddressError> for ApiError {
    fn from(error: AddressError) -> Self {
        Self::bad_request(
            format!("the address has no canonical form: {error}"),
            "give it as local-part@domain, percent-encoded in the path",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.to_string(),
                "nothing was confirmed; try again, repeating a change does no harm",
            ),
            StoreError::Corrupt(_) | StoreError::Foreign(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.to_string(),
                "waiting does not help: see the gateway's operational log",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

/// Answers a path that leads nowhere.
pub(super) async fn no_such_path() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path",
        "the API is served on the Unix socket under /v1; probes are /livez, /readyz and /metrics",
    )
}

/// Answers a method that the path does not know.
pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know the method",
        "see the Allow field for those it knows",
    )
}

//! Guards stand before every handler: time limits, and the rules that keep web pages out (A2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The names under which the probes may be asked for.
///
/// A page that rebinds its own name to our address (DNS rebinding) sends that name, and is refused.
/// An address in digits cannot be rebound, so any is fine.
#[derive(Debug, Clone)]
pub struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// `localhost` and these names, in any case.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let mut names: Vec<String> = names.iter().map(|name| bare(name)).collect();
        names.push("localhost".to_owned());
        Self { names }
    }

    fn admit(&self, host: &str) -> bool {
        let is_address = host.parse::<IpAddr>().is_ok()
            || host.parse::<SocketAddr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|inner| inner.parse::<IpAddr>().is_ok());
        is_address || self.names.contains(&bare(host))
    }
}

/// The name in lower case, without port and trailing dot.
fn bare(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Refuses a request that names a host we do not know.
pub(super) async fn known_host(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let named = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| {
            let host = request.headers().get(header::HOST)?;
            Some(host.to_str().ok()?.to_owned())
        });
    match named {
        Some(host) if hosts.admit(&host) => next.run(request).await,
        _ => ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not ours",
            "ask by address, as localhost or by the configured hostname",
        )
        .into_response(),
    }
}

/// Refuses what a web page sends: we have no pages, so its origin is foreign.
pub(super) async fn no_browser(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "requests of web pages are refused",
            "send no Origin field",
        )
        .into_response();
    }
    next.run(request).await
}

/// Gives up a request that takes too long.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the request took too long",
            "send it faster; repeating a change does no harm",
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_only_our_names_and_plain_addresses_are_admitted() {
        let hosts = Hosts::new(&["Mail.example.com"]);
        for host in [
            "localhost",
            "LOCALHOST:8026",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8026",
            "[::1]",
            "[::1]:8026",
            "mail.example.com:80",
        ] {
            assert!(hosts.admit(host), "{host}");
        }
        for host in [
            "",
            ":",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a:b",
        ] {
            assert!(!hosts.admit(host), "{host}");
        }
    }
}

//! A [`Client`] asks the running gateway over its admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::http::answer::Problem;
use crate::http::{CLI_AGENT, socket};

/// How long a request may take altogether.
const DEADLINE: Duration = Duration::from_secs(30);

/// Largest answer that is read, in octets.
const ANSWER_LIMIT: usize = 16 << 20;

/// Asks the gateway at one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The path of the socket cannot be one.
    #[error("{0}")]
    Path(io::Error),
    /// Nobody listens.
    #[error(
        "no gateway answers at {}: start it with \"sendgate serve\", \
         or name its configuration with --config", .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket belongs to somebody else.
    #[error(
        "the gateway at {} does not let you in: run this as the user it runs as", .0.display()
    )]
    Forbidden(PathBuf),
    /// The gateway refused.
    #[error("{error}: {hint}", error = .0.error, hint = .0.hint)]
    Refused(Problem),
    /// It did not answer in time.
    #[error(
        "the gateway at {} did not answer within {} seconds: see its operational log",
        .0.display(), .1.as_secs()
    )]
    TooSlow(PathBuf, Duration),
    /// It answered with something else than an answer.
    #[error("the gateway gave no proper answer ({0}): is it of another version?")]
    Garbled(String),
}

impl Client {
    /// A client for the gateway at this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            deadline: DEADLINE,
        }
    }

    /// Gets the JSON text at a path with its query.
    ///
    /// # Errors
    /// When nobody answers, not in time, or with a refusal.
    pub async fn get(&self, path: &str) -> Result<String, ClientError> {
        self.request(Method::GET, path, "application/json", Bytes::new())
            .await
    }

    /// Posts a JSON body; returns the JSON text of the answer.
    ///
    /// # Errors
    /// When nobody answers, not in time, or with a refusal.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<String, ClientError> {
        let body = body.to_string().into();
        self.request(Method::POST, path, "application/json", body)
            .await
    }

    /// Posts a message as it is; returns the JSON text of the answer.
    ///
    /// # Errors
    /// When nobody answers, not in time, or with a refusal.
    pub async fn post_message(&self, path: &str, message: Vec<u8>) -> Result<String, ClientError> {
        self.request(Method::POST, path, "message/rfc822", message.into())
            .await
    }

    /// Posts one JSON object a line; returns the JSON text of the answer.
    ///
    /// # Errors
    /// When nobody answers, not in time, or with a refusal.
    pub async fn post_rows(&self, path: &str, rows: Vec<u8>) -> Result<String, ClientError> {
        self.request(Method::POST, path, "application/x-ndjson", rows.into())
            .await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<String, ClientError> {
        socket::check_length(&self.socket).map_err(ClientError::Path)?;
        let exchange = self.exchange(method, path, content_type, body);
        let (status, text) = tokio::time::timeout(self.deadline, exchange)
            .await
            .map_err(|_| ClientError::TooSlow(self.socket.clone(), self.deadline))??;
        if status.is_success() {
            return Ok(text);
        }
        Err(match serde_json::from_str(&text) {
            Ok(problem) => ClientError::Refused(problem),
            Err(_) => ClientError::Garbled(status.to_string()),
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, String), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.no_connection(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(garbled)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::USER_AGENT, CLI_AGENT)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(garbled)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(garbled)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT)
                .collect()
                .await
                .map_err(garbled)?;
            let text = String::from_utf8(body.to_bytes().into()).map_err(garbled)?;
            Ok((status, text))
        };
        // The connection does the work: it must be polled until the answer is there.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // An end of the connection does not end the answer: its last part may be read already.
            _ = &mut connection => answer.await,
        }
    }

    fn no_connection(&self, error: &io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(self.socket.clone()),
            _ => ClientError::NotRunning(self.socket.clone()),
        }
    }
}

fn garbled(error: impl std::fmt::Display) -> ClientError {
    ClientError::Garbled(error.to_string())
}

/// Reads an answer of the gateway.
///
/// # Errors
/// When it is not what this version expects.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(garbled)
}

/// A text as one segment of a path, or one value of a query.
#[must_use]
pub fn encode(text: &str) -> String {
    use std::fmt::Write;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_keeps_nothing_that_has_a_meaning_in_a_path() {
        assert_eq!(encode("a/b?c@é.example"), "a%2Fb%3Fc%40%C3%A9.example");
    }

    #[tokio::test]
    async fn says_what_to_do_when_nobody_answers() {
        let error = Client::new(Path::new("nowhere/sendgate.sock"))
            .get("/livez")
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no gateway answers at nowhere/sendgate.sock: start it with \"sendgate serve\", \
             or name its configuration with --config"
        );
        let long = "x".repeat(200);
        let error = Client::new(Path::new(&long)).get("/").await.unwrap_err();
        assert!(error.to_string().contains("107"), "{error}");
    }
}

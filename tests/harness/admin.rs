//! [`Admin`] speaks HTTP/1.1 to the gateway's Unix socket: recipients' states are set through it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::PATIENCE;

/// The admin API of one gateway.
#[derive(Clone)]
pub(crate) struct Admin {
    socket: PathBuf,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Everything before the body.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Admin {
    pub(crate) fn new(socket: &Path) -> Self {
        let socket = socket.to_owned();
        Self { socket }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Sends these bytes and reads to the end.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        parse(&bytes)
    }

    /// Acts on a recipient and expects it to be done.
    #[track_caller]
    pub(crate) fn change(&self, address: &str, action: &str, body: &Value) -> Value {
        let answer = self.post(&recipient_path(address, action), body);
        assert_eq!(answer.status, 200, "{action} {address}: {}", answer.body);
        answer.json()
    }

    /// The recipient wants no mail at all.
    #[track_caller]
    pub(crate) fn opt_out(&self, address: &str) {
        self.change(address, "opt-out", &json!({}));
    }

    /// The recipient wants no mail of that scope (`list:news.example.com`, `stream:offers`).
    #[track_caller]
    pub(crate) fn opt_out_of(&self, address: &str, scope: &str) {
        self.change(address, "opt-out", &json!({ "scope": scope }));
    }

    /// An operator marks the recipient Do Not Email.
    #[track_caller]
    pub(crate) fn block(&self, address: &str) {
        self.change(address, "block", &json!({ "reason": "asked by phone" }));
    }

    /// What is known of the recipient.
    #[track_caller]
    pub(crate) fn show(&self, address: &str) -> Value {
        let answer = self.get(&recipient_path(address, ""));
        assert_eq!(answer.status, 200, "{address}: {}", answer.body);
        answer.json()
    }

    /// The record of the recipient.
    #[track_caller]
    pub(crate) fn record(&self, address: &str) -> Value {
        self.show(address)["record"].clone()
    }

    /// The key the recipient is known under.
    #[track_caller]
    pub(crate) fn key(&self, address: &str) -> String {
        self.show(address)["key"].as_str().unwrap().to_owned()
    }
}

/// The path of a recipient, its address percent-encoded.
pub(crate) fn recipient_path(address: &str, action: &str) -> String {
    let mut path = "/v1/recipients/".to_owned();
    for byte in address.bytes() {
        if byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte) {
            path.push(byte.into());
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    if !action.is_empty() {
        path.push('/');
        path.push_str(action);
    }
    path
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Answer {
        status,
        head: head.to_owned(),
        body: if chunked {
            join_chunks(body)
        } else {
            body.to_owned()
        },
    }
}

/// The body without the sizes of its chunks.
fn join_chunks(mut body: &str) -> String {
    let mut joined = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        joined.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    joined
}

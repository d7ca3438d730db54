//! The routers over real sockets, each with its own store.

mod recipients;
mod serving;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::answer::{Changed, Recipient};
use super::*;
use crate::cli::client::{Client, parse};
use crate::learning::LearnerRules;
use crate::log::{LogMetrics, LogOptions};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::identity::Identity;
use crate::store::ledger::LedgerOptions;
use crate::suppression::{EventRules, KeyMaker};

struct NoMetrics;

impl LogMetrics for NoMetrics {
    fn log_written(&self, _: u64) {}
    fn log_lost(&self, _: u64) {}
}

/// A gateway's admin side with its own store and its own socket.
struct Gateway {
    directory: TempDir,
    store: Arc<dyn Store>,
    state: Arc<AdminState>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Gateway {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (store, ledger) = open_store(directory.path()).await;
        let log = SuppressionLog::start(LogOptions::default(), Arc::new(NoMetrics)).unwrap();
        let learner = Arc::new(Learner::new(
            Arc::clone(&ledger),
            Arc::default(),
            LearnerRules::default(),
        ));
        let state = Arc::new(AdminState::new(
            &Config::default(),
            ledger,
            learner,
            log,
            Arc::default(),
            Arc::default(),
        ));
        let listener = socket::bind(&directory.path().join("admin.sock"))
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let router = api_router(Arc::clone(&state), Router::new());
        let shutdown = stop.clone().cancelled_owned();
        let served = tokio::spawn(serve::serve_unix(listener, router, shutdown));
        Self {
            directory,
            store,
            state,
            stop,
            served,
        }
    }

    /// From now on the store is not the one that is expected.
    fn lose_store(&self) {
        self.store.expect_generation("another");
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    async fn show(&self, address: &str) -> Recipient {
        let path = format!("/v1/recipients/{address}");
        parse(&self.client().get(&path).await.unwrap()).unwrap()
    }

    async fn change(&self, path: &str, body: Value) -> Changed {
        let path = format!("/v1/recipients/{path}");
        parse(&self.client().post(&path, &body).await.unwrap()).unwrap()
    }

    /// Sends the lines of a request as they are; answers the whole response.
    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        exchange(&mut stream, request).await
    }

    /// A POST of JSON with these further header fields.
    async fn post(&self, path: &str, fields: &str, body: &str) -> String {
        let length = body.len();
        self.raw(&format!(
            "POST /v1/recipients/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{fields}\r\n{body}"
        ))
        .await
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

async fn open_store(directory: &Path) -> (Arc<dyn Store>, Arc<Ledger>) {
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(&directory.join("store.redb")).unwrap());
    let keys = KeyMaker::new(b"pepper");
    let identity = Identity {
        keys: keys.clone(),
        state_file: directory.join("generation"),
        create: true,
    };
    identity.establish(&*store).await.unwrap();
    let options = LedgerOptions {
        rules: EventRules::default(),
        timeout: Duration::from_secs(5),
        remember: Duration::from_secs(3600),
    };
    let ledger = Ledger::new(Arc::clone(&store), keys, options);
    (store, Arc::new(ledger))
}

async fn exchange(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    request: &str,
) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    let read = stream.read_to_string(&mut response);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .unwrap()
        .unwrap();
    response
}

const JSON: &str = "Content-Type: application/json\r\n";

#[track_caller]
fn check(response: &str, status: u16, words: &str) {
    let start = format!("HTTP/1.1 {status} ");
    assert!(response.starts_with(&start), "{response}");
    assert!(response.contains(words), "{words} in {response}");
}

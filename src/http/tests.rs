//! The routers over real sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use super::answer::{Changed, History, Outcome, Recipient};
use super::*;
use crate::cli::client::{Client, parse};
use crate::log::{LogMetrics, LogOptions};
use crate::suppression::{Reason, Verdict};

struct NoMetrics;

impl LogMetrics for NoMetrics {
    fn log_written(&self, _: u64) {}
    fn log_lost(&self, _: u64) {}
}

/// A gateway's admin side with its own store and its own socket.
struct Gateway {
    directory: TempDir,
    state: Arc<AdminState>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Gateway {
    async fn start() -> Self {
        Self::with_ledger(Arc::new(Ledger::stub())).await
    }

    async fn with_ledger(ledger: Arc<Ledger>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = SuppressionLog::start(LogOptions::default(), Arc::new(NoMetrics)).unwrap();
        let state = Arc::new(AdminState::new(
            &Config::default(),
            ledger,
            log,
            Arc::default(),
            Box::new(|| "# EOF\n".to_owned()),
        ));
        let listener = socket::bind(&directory.path().join("admin.sock"))
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let router = api_router(Arc::clone(&state));
        let shutdown = stop.clone().cancelled_owned();
        let served = tokio::spawn(serve::serve_unix(listener, router, shutdown));
        Self {
            directory,
            state,
            stop,
            served,
        }
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

fn mail(recipient: &Recipient, stream: &str) -> (Verdict, Option<Reason>) {
    let found = recipient.mailability.iter().find(|m| m.stream == stream);
    let ruling = &found.unwrap().ruling;
    (ruling.verdict, ruling.reason)
}

#[tokio::test]
async fn tells_why_a_person_gets_no_mail() {
    let gateway = Gateway::start().await;
    let nobody = gateway.show("bob%40example.net").await;
    assert_eq!(nobody.version, 0);
    assert_eq!(mail(&nobody, "campaign"), (Verdict::Relay, None));

    let body = json!({"reason": "asked by phone", "actor": "support"});
    let changed = gateway.change("bob@example.net/opt-out", body).await;
    assert_eq!(changed.effect, Outcome::Changed);

    let known = gateway.show("%22Bob%22@EXAMPLE.net.").await;
    assert_eq!(known, changed.recipient);
    assert_eq!(known.address, "bob@example.net");
    let refused = (Verdict::Reject, Some(Reason::OptOut));
    assert_eq!(mail(&known, "campaign"), refused);
    assert_eq!(mail(&known, "transactional"), (Verdict::Relay, None));
}

#[tokio::test]
async fn the_command_line_tells_it_in_words_and_in_json() {
    use crate::cli::recipient::{Command, Request, ask};

    let gateway = Gateway::start().await;
    let mut request = Request {
        address: "Bob@example.net".to_owned(),
        tenant: None,
        json: false,
        command: Command::Block {
            reason: Some("a rival".to_owned()),
            until: None,
        },
    };
    let text = ask(&request, &gateway.socket()).await.unwrap();
    assert!(
        text.starts_with("changed\n\nbob@example.net  tenant default"),
        "{text}"
    );
    assert!(
        text.contains("campaign       blocked   Do Not Email"),
        "{text}"
    );
    request.command = Command::History { limit: None };
    let text = ask(&request, &gateway.socket()).await.unwrap();
    assert!(text.contains("a rival"), "{text}");
    request.command = Command::Show;
    request.json = true;
    let text = ask(&request, &gateway.socket()).await.unwrap();
    let known: Recipient = parse(&text).unwrap();
    assert_eq!(known, gateway.show("bob@example.net").await);
    request.address = "nobody".to_owned();
    let refusal = ask(&request, &gateway.socket()).await.unwrap_err();
    assert!(
        refusal.to_string().contains("local-part@domain"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_list_is_told_apart_from_the_rest() {
    let gateway = Gateway::start().await;
    let body = json!({"scope": "list:news.example.com"});
    let changed = gateway.change("bob@example.net/opt-out", body).await;
    let campaign = &changed.recipient.mailability[0];
    assert_eq!(campaign.stream, "campaign");
    assert_eq!(campaign.ruling.verdict, Verdict::Relay);
    let exception = &campaign.exceptions[0];
    assert_eq!(exception.scope.to_string(), "list:news.example.com");
    assert_eq!(exception.ruling.verdict, Verdict::Reject);
}

#[tokio::test]
async fn a3_every_change_is_in_the_history_with_its_actor() {
    let gateway = Gateway::start().await;
    let me = peer::Peer::of(&UnixStream::connect(gateway.socket()).await.unwrap()).name;
    let body = json!({"reason": "asked\nby phone", "actor": "support"});
    let changed = gateway.change("bob@example.net/block", body).await;
    gateway
        .change("bob@example.net/reset-bounces", json!({}))
        .await;
    let answer = gateway
        .client()
        .get("/v1/recipients/bob@example.net/history?limit=2")
        .await
        .unwrap();
    let history: History = parse(&answer).unwrap();
    assert_eq!(history.history.len(), 2);
    let first = &history.history[1].event;
    assert_eq!(first.id, changed.event);
    assert_eq!(first.actor, format!("support (as {me})"));
    assert_eq!(first.via, "cli");
    assert_eq!(history.history[0].event.actor, me);
    let block = changed.recipient.record.do_not_email.unwrap();
    assert_eq!(block.why, "asked by phone");
}

#[tokio::test]
async fn a3_mail_goes_out_again_only_for_a_reason() {
    let gateway = Gateway::start().await;
    gateway.change("bob@example.net/opt-out", json!({})).await;
    gateway.change("bob@example.net/block", json!({})).await;
    for action in ["opt-in", "unblock"] {
        let path = format!("bob@example.net/{action}");
        for body in ["{}", r#"{"reason": " "}"#] {
            check(
                &gateway.post(&path, JSON, body).await,
                400,
                "needs a reason",
            );
        }
    }
    let known = gateway.show("bob@example.net").await;
    assert!(known.record.do_not_email.is_some());
    assert_eq!(known.record.opt_outs.len(), 1);

    let body = json!({"reason": "signed up again"});
    let unblocked = gateway
        .change("bob@example.net/unblock", body.clone())
        .await;
    assert!(unblocked.recipient.record.do_not_email.is_none());
    let opted_in = opt_in_later(&gateway, body).await;
    assert!(opted_in.recipient.record.opt_outs.is_empty());
}

/// An opt-in in the millisecond of the opt-out loses, so it is said until the clock has moved on.
async fn opt_in_later(gateway: &Gateway, body: Value) -> Changed {
    let path = "/v1/recipients/bob@example.net/opt-in";
    loop {
        match gateway.client().post(path, &body).await {
            Ok(answer) => return parse(&answer).unwrap(),
            Err(error) => assert!(error.to_string().contains("newer"), "{error}"),
        }
    }
}

#[tokio::test]
async fn a2_only_json_changes_anything() {
    let gateway = Gateway::start().await;
    let path = "bob@example.net/opt-out";
    for fields in ["", "Content-Type: text/plain\r\n"] {
        check(
            &gateway.post(path, fields, "{}").await,
            415,
            "application/json",
        );
    }
    let foreign = format!("{JSON}Origin: https://evil.example\r\n");
    check(&gateway.post(path, &foreign, "{}").await, 403, "web pages");
    let preflight = gateway
        .raw("OPTIONS /v1/recipients/bob@example.net/opt-out HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    check(&preflight, 405, "");
    assert!(!preflight.to_lowercase().contains("access-control"));
    assert_eq!(gateway.show("bob@example.net").await.version, 0);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let gateway = Gateway::start().await;
    let base = "/v1/recipients";
    check(
        &gateway.get(&format!("{base}/nobody")).await,
        400,
        "local-part@domain",
    );
    check(
        &gateway.get(&format!("{base}/%ff@x.example")).await,
        400,
        "UTF-8",
    );
    check(
        &gateway
            .get(&format!("{base}/a@x.example?tenant=other"))
            .await,
        404,
        "default",
    );
    check(
        &gateway.get(&format!("{base}/a@x.example?limit=x")).await,
        400,
        "limit",
    );
    check(&gateway.get("/v2").await, 404, "hint");
    check(
        &gateway.get(&format!("{base}/a@x.example/opt-out")).await,
        405,
        "hint",
    );
    let path = "a@x.example/opt-out";
    check(
        &gateway.post("a@x.example/forget", JSON, "{}").await,
        404,
        "hint",
    );
    check(&gateway.post(path, JSON, "{").await, 400, "cannot be read");
    check(
        &gateway.post(path, JSON, r#"{"scope": "all"}"#).await,
        400,
        "scope",
    );
    check(
        &gateway.post(path, JSON, r#"{"raeson": "x"}"#).await,
        400,
        "raeson",
    );
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(501));
    check(&gateway.post(path, JSON, &long).await, 400, "500");
    let huge = format!(r#"{{"reason": "{}"}}"#, "x".repeat(70_000));
    check(&gateway.post(path, JSON, &huge).await, 413, "65536");
    let past = r#"{"until": "2001-01-01T00:00:00Z"}"#;
    check(
        &gateway.post("a@x.example/block", JSON, past).await,
        400,
        "past",
    );
    let neither = r#"{"hard": false, "soft": false}"#;
    check(
        &gateway
            .post("a@x.example/reset-bounces", JSON, neither)
            .await,
        400,
        "hard",
    );
}

#[tokio::test]
async fn s7_an_idempotency_key_counts_once() {
    let gateway = Gateway::start().await;
    let fields = format!("{JSON}Idempotency-Key: import-7\r\n");
    let path = "bob@example.net/opt-out";
    check(
        &gateway.post(path, &fields, "{}").await,
        200,
        r#""effect":"changed""#,
    );
    check(
        &gateway.post(path, &fields, "{}").await,
        200,
        r#""effect":"duplicate""#,
    );
    check(
        &gateway.post(path, JSON, "{}").await,
        200,
        r#""effect":"already_so""#,
    );
}

#[tokio::test]
async fn f11_a_store_that_does_not_answer_is_503() {
    let gateway = Gateway::start().await;
    gateway.state.ledger.down.store(true, Ordering::SeqCst);
    let answer = gateway.get("/v1/recipients/bob@example.net").await;
    check(&answer, 503, "retry-after: 5");
    let answer = gateway.post("bob@example.net/opt-out", JSON, "{}").await;
    check(&answer, 503, "try again");
    check(&gateway.get("/readyz").await, 503, r#""store":"failing""#);
    check(&gateway.get("/livez").await, 200, "ok");
}

#[tokio::test]
async fn ready_until_the_drain() {
    let gateway = Gateway::start().await;
    check(&gateway.get("/readyz").await, 200, r#""ready":true"#);
    gateway.state.readiness.set_upstream_failing(true);
    check(
        &gateway.get("/readyz").await,
        200,
        r#""upstream":"failing""#,
    );
    gateway.state.readiness.drain();
    check(&gateway.get("/readyz").await, 503, r#""draining":true"#);
}

#[tokio::test]
async fn a1_tcp_serves_the_probes_and_nothing_else() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = probe_router(
        Arc::clone(&gateway.state),
        Hosts::new(&["mail.example.com"]),
    );
    let stop = gateway.stop.clone().cancelled_owned();
    tokio::spawn(serve::serve_tcp(listener, router, stop));
    let ask = async |method: &str, path: &str, host: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(&mut stream, &request).await
    };
    let metrics = ask("GET", "/metrics", "localhost").await;
    check(
        &metrics,
        200,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    assert!(metrics.ends_with("\r\n\r\n# EOF\n"));
    let head = ask("HEAD", "/metrics", &address.to_string()).await;
    check(&head, 200, "openmetrics");
    assert!(head.ends_with("\r\n\r\n"));
    check(&ask("GET", "/livez", "mail.example.com").await, 200, "ok");
    check(
        &ask("GET", "/v1/recipients/a@x.example", "localhost").await,
        404,
        "Unix socket",
    );
    check(
        &ask("GET", "/v1/log", "localhost").await,
        404,
        "Unix socket",
    );
    // A2: a rebound name is refused, whatever it asks for.
    check(
        &ask("GET", "/metrics", "evil.example").await,
        421,
        "not ours",
    );
    check(
        &ask("GET", "http://evil.example/metrics", "localhost").await,
        421,
        "not ours",
    );
}

#[tokio::test]
async fn a5_the_log_can_be_followed() {
    let gateway = Gateway::start().await;
    let example = crate::log::entry::example;
    gateway.state.log.write(example("one@example.net"));
    let mut stream = UnixStream::connect(gateway.socket()).await.unwrap();
    let request =
        "GET /v1/log?follow=true&recipient=two@example.net HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while !seen.contains("two@example.net") {
            // Said again and again: the follower may not have joined yet.
            gateway.state.log.write(example("two@example.net"));
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream stays open");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap();
    assert!(!seen.contains("one@example.net"), "{seen}");
}

#[tokio::test]
async fn stops_when_told() {
    let gateway = Gateway::start().await;
    let idle = UnixStream::connect(gateway.socket()).await.unwrap();
    gateway.stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), gateway.served)
        .await
        .unwrap()
        .unwrap();
    drop(idle);
}

#[tokio::test]
async fn a1_the_socket_is_its_owners_and_stale_ones_are_replaced() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/admin.sock");
    let listener = socket::bind(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = socket::bind(&path).await.unwrap_err();
    assert!(error.to_string().contains("answers"), "{error}");
    drop(listener);
    socket::bind(&path).await.unwrap();

    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = socket::bind(&file).await.unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert!(file.exists());
    let long = Path::new("/tmp").join("x".repeat(110));
    let error = socket::bind(&long).await.unwrap_err();
    assert!(error.to_string().contains("107"), "{error}");
}

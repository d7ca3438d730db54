//! Sockets, probes, the log, and what happens when the store is away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::{Gateway, JSON, check, exchange};
use crate::http::{Hosts, probe_router, serve, socket};

#[tokio::test]
async fn f11_a_store_that_does_not_answer_is_503() {
    let gateway = Gateway::start().await;
    gateway.lose_store();
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
    assert!(metrics.ends_with("# EOF\n"));
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
    gateway.state.log.write([example("one@example.net")]);
    let mut stream = UnixStream::connect(gateway.socket()).await.unwrap();
    let request =
        "GET /v1/log?follow=true&recipient=two@example.net HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while !seen.contains("two@example.net") {
            // Said again and again: the follower may not have joined yet.
            gateway.state.log.write([example("two@example.net")]);
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

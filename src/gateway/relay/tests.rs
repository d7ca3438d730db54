use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Mode, Suppressed};
use crate::gateway::upstream::{UpstreamOptions, UpstreamTimeouts};
use crate::log::entry::Outcome;
use crate::mail::{ForwardPath, ReversePath};
use crate::smtp::{MailParameters, RcptParameters};
use crate::suppression::{Finding, Stream, StreamClass, Tenant};
use crate::timestamp::Timestamp;
use crate::transaction::Policy;
use crate::transaction::Transaction;

const PATIENCE: Duration = Duration::from_secs(10);

/// An upstream that greets and then gives one of these replies to each command.
async fn upstream(replies: &'static [&'static str]) -> Arc<Upstream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 upstream\r\n").await.unwrap();
        for reply in replies {
            stream.read_line(&mut String::new()).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        }
    });
    crate::gateway::tls::install_provider();
    let options = UpstreamOptions {
        url: url.parse().unwrap(),
        credentials: None,
        ca_file: None,
        hostname: "gw.example".to_owned(),
        idle_connections: 1,
        workers: 1,
        idle_timeout: PATIENCE,
        reply_limit: 1000,
        timeouts: UpstreamTimeouts {
            connect: PATIENCE,
            command: PATIENCE,
            data: PATIENCE,
            block: PATIENCE,
            final_reply: PATIENCE,
        },
    };
    Arc::new(Upstream::new(options, Arc::default()).unwrap())
}

fn transaction() -> Transaction {
    let stream = Arc::new(Stream::new("campaign", StreamClass::Campaign));
    let policy = Arc::new(Policy {
        tenant: Tenant::default(),
        stream: Arc::clone(&stream),
        choices: vec![stream],
        suppressed: Suppressed::Reject,
        mode: Mode::Enforce,
        scopes: true,
        sign: false,
        list_unsubscribe: false,
    });
    let parameters = MailParameters::default();
    let mut transaction = Transaction::new("id".into(), ReversePath::Null, parameters, policy);
    let (path, _) = ForwardPath::parse(&Bytes::from_static(b"<b@example.net>")).unwrap();
    let (parameters, now) = (RcptParameters::default(), Timestamp::now());
    transaction.add(path, parameters, None, Finding::Clear, now);
    transaction
}

#[tokio::test]
async fn e7_requiretls_is_worth_nothing_where_the_upstream_is_not_verified() {
    let replies = &["250-upstream\r\n250-8BITMIME\r\n250 REQUIRETLS"];
    let upstream = upstream(replies).await;
    let offered = upstream.extensions().await.unwrap();
    assert!(offered.eight_bit_mime && !offered.require_tls);
}

#[tokio::test]
async fn r5_a_refused_data_is_told_with_the_upstreams_own_words() {
    let replies = &["250 upstream", "250 ok", "250 ok", "452 4.3.1 disk full"];
    let mut relay = Relay::new(upstream(replies).await, Home::ELSEWHERE, origin());
    let offered = relay.offer(&transaction(), &[0]).await;
    assert_eq!(offered[0].reply.code(), 250);
    let ending = relay.open_data().await.unwrap_err();
    assert_eq!(ending.reply.to_string(), "452 4.3.1 disk full");
    assert_eq!(
        ending.upstream_reply.as_deref(),
        Some("452 4.3.1 disk full")
    );
    assert_eq!(ending.outcome, Outcome::Refused);
}

fn origin() -> Origin {
    Origin {
        client: [192, 0, 2, 1].into(),
        helo: "client.example".to_owned(),
        extended: true,
    }
}

/// A relay whose upstream takes commands together and gives these replies, past MAIL and RCPT.
async fn begun(replies: &'static [&'static str]) -> (Relay, Transaction) {
    let mut relay = Relay::new(upstream(replies).await, Home::ELSEWHERE, origin());
    let mut transaction = transaction();
    let offered = relay.offer(&transaction, &[0]).await;
    assert_eq!(offered[0].reply.code(), 250);
    transaction.recipients[0].fate = crate::transaction::Fate::Accepted;
    (relay, transaction)
}

#[tokio::test]
async fn r14_a_new_envelope_opens_the_data_too() {
    let replies = &[
        "250-upstream\r\n250 PIPELINING",
        "250 ok",
        "250 ok",
        "250 reset",
        "250 ok",
        "250 ok",
        "354 go ahead",
    ];
    let (mut relay, transaction) = begun(replies).await;
    relay.reopen(&transaction).await.unwrap();
    assert!(relay.stage == Stage::Data && relay.connection.is_some());
}

#[tokio::test]
async fn r14_data_that_was_opened_for_nobody_is_never_ended() {
    let replies = &[
        "250-upstream\r\n250 PIPELINING",
        "250 ok",
        "250 ok",
        "250 reset",
        "250 ok",
        "550 5.1.1 no more",
        "354 go ahead",
    ];
    let (mut relay, transaction) = begun(replies).await;
    let ending = relay.reopen(&transaction).await.unwrap_err();
    assert_eq!(ending.reply.to_string(), "550 5.1.1 no more");
    assert_eq!(ending.outcome, Outcome::Refused);
    assert!(relay.connection.is_none(), "it would wait for a message");
}

#[tokio::test]
async fn r14_a_connection_lost_in_a_new_envelope_is_not_replaced() {
    let replies = &[
        "250-upstream\r\n250 PIPELINING",
        "250 ok",
        "250 ok",
        "421 going down",
    ];
    let (mut relay, transaction) = begun(replies).await;
    let ending = relay.reopen(&transaction).await.unwrap_err();
    assert_eq!(ending.reply, answers::upstream_lost());
    assert_eq!(ending.outcome, Outcome::Aborted);
}

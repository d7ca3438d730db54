//! What the API tells of recipients, and what it changes.

use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{Gateway, JSON, check};
use crate::cli::client::parse;
use crate::http::answer::{Changed, History, Outcome, Recipient};
use crate::http::peer;
use crate::suppression::{Reason, Verdict};

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

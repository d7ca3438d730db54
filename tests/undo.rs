//! Undo: a batch of what was learnt by mistake is taken back, as events of its own.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Act, FakeUpstream, Gateway, Options, RedisServer};

/// An upstream that refuses everybody at two providers, in other words each.
fn broken() -> FakeUpstream {
    FakeUpstream::scripted(|moment| match (moment.verb, moment.line) {
        ("RCPT", line) if line.contains("@example.net") => {
            Act::Say("550 5.1.1 directory lookup says: no such user")
        }
        ("RCPT", line) if line.contains("@example.org") => {
            Act::Say("550 5.2.1 account is disabled")
        }
        _ => Act::Usual,
    })
}

fn without_brake(upstream: &FakeUpstream) -> Options {
    Options::before(upstream).extra("[learning]\nbrake_recipients = 0")
}

#[track_caller]
fn refuse(gateway: &Gateway, provider: &str, numbers: std::ops::Range<u32>) {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for number in numbers {
        client.say(&format!("RCPT TO:<r{number}@{provider}>"), "550 5.");
    }
    client.quit();
}

fn taken_out(gateway: &Gateway, provider: &str, numbers: std::ops::Range<u32>) -> usize {
    let admin = gateway.admin();
    numbers
        .filter(|number| {
            let record = admin.record(&format!("r{number}@{provider}"));
            !record["hard"].is_null()
        })
        .count()
}

/// What `sendgate undo --json` says.
#[track_caller]
fn undo(gateway: &Gateway, arguments: &[&str]) -> Value {
    let ran = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .args(["undo", "--since", "1h", "--json"])
        .args(arguments)
        .arg("--config")
        .arg(gateway.dir().path().join("sendgate.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[track_caller]
fn history(gateway: &Gateway, address: &str) -> Vec<(String, String)> {
    let path = format!("/v1/recipients/{address}/history");
    let history = gateway.admin().get(&path).json();
    let entries = history["history"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| {
            let change = text(&entry["event"]["change"]["change"]);
            (change, text(&entry["effect"]))
        })
        .collect()
}

fn took(event: &str, effect: &str) -> (String, String) {
    (event.to_owned(), effect.to_owned())
}

/// The story of an incident, over one store.
#[track_caller]
fn an_incident_is_taken_back(options: Options) {
    let gateway = options.start();
    refuse(&gateway, "example.net", 0..30);
    refuse(&gateway, "example.org", 0..3);
    let admin = gateway.admin();
    // What people and operators do meanwhile stays.
    admin.block("r1@example.net");
    admin.change("r2@example.net", "reset-bounces", &json!({ "hard": true }));

    let words = ["--diagnostic", "DIRECTORY lookup"];
    let dry = undo(&gateway, &[&words[..], &["--dry-run"]].concat());
    assert_eq!((&dry["matched"], &dry["undone"]), (&json!(30), &json!(29)));
    assert_eq!(dry["groups"][0]["provider"], "example.net");
    assert_eq!(dry["groups"][0]["reason"], "user_unknown");
    assert_eq!(dry["groups"][0]["count"], 29);
    assert_eq!(dry["examples"].as_array().unwrap().len(), 10);
    assert_eq!(
        taken_out(&gateway, "example.net", 0..30),
        29,
        "nothing was done"
    );

    let done = undo(
        &gateway,
        &[&words[..], &["--comment", "their directory broke"]].concat(),
    );
    assert_eq!(done["undone"], 29, "{done}");
    assert_eq!(taken_out(&gateway, "example.net", 0..30), 0);
    assert_eq!(taken_out(&gateway, "example.org", 0..3), 3, "other words");
    assert!(!admin.record("r1@example.net")["do_not_email"].is_null());
    assert_eq!(
        history(&gateway, "r0@example.net"),
        [took("undo", "changed"), took("bounce", "changed")]
    );
    assert_eq!(
        history(&gateway, "r2@example.net"),
        [took("reset_bounces", "changed"), took("bounce", "changed")],
        "nothing was left to undo"
    );
    let audit = gateway.stderr();
    let line = audit
        .lines()
        .find(|line| line.contains("lessons were undone"));
    let line = line.unwrap_or_else(|| panic!("no audit line: {audit}"));
    for part in ["request", "their directory broke"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    // Again changes nothing, and what comes back later counts.
    let comment = ["--comment", "a mistake"];
    assert_eq!(undo(&gateway, &[words, comment].concat())["undone"], 0);
    refuse(&gateway, "example.net", 0..1);
    assert_eq!(taken_out(&gateway, "example.net", 0..1), 1);
    let disabled = undo(
        &gateway,
        &[["--reason", "mailbox-disabled"], comment].concat(),
    );
    assert_eq!(disabled["undone"], 3);
    assert_eq!(taken_out(&gateway, "example.org", 0..3), 0);
    let complaints = undo(&gateway, &["--reason", "complaint", "--dry-run"]);
    assert_eq!(complaints["matched"], 0);
}

#[test]
fn an_incident_is_taken_back_in_the_embedded_store() {
    let upstream = broken();
    an_incident_is_taken_back(without_brake(&upstream));
}

#[test]
fn an_incident_is_taken_back_in_redis() {
    let (upstream, redis) = (broken(), RedisServer::start());
    an_incident_is_taken_back(without_brake(&upstream).store_url(&redis.url()));
}

#[test]
fn what_was_accepted_by_mistake_can_be_undone() {
    let upstream = broken();
    let gateway = Options::before(&upstream).start();
    refuse(&gateway, "example.net", 0..55);
    let pending = gateway.admin().get("/v1/pending").json();
    let cause = pending["pending"][0]["cause"].as_str().unwrap();
    let accepted = gateway
        .admin()
        .post(&format!("/v1/pending/{cause}/accept"), &json!({}));
    assert_eq!(accepted.json()["decided"], 5, "{}", accepted.body);
    assert_eq!(taken_out(&gateway, "example.net", 0..55), 55);
    let arguments = ["--reason", "user_unknown", "--comment", "a mistake"];
    assert_eq!(undo(&gateway, &arguments)["undone"], 55);
    assert_eq!(taken_out(&gateway, "example.net", 0..55), 0);
}

#[test]
fn a_request_that_means_everything_or_has_no_reason_is_refused() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let undo = |body: Value| gateway.admin().post("/v1/undo", &body);
    let since = "2026-01-01T00:00:00Z";
    for (body, part) in [
        (json!({ "since": since }), "say in `reason` or `diagnostic`"),
        (json!({ "reason": "user_unknown" }), "since"),
        (
            json!({ "since": since, "reason": "no_such" }),
            "no such reason",
        ),
        (
            json!({ "since": since, "reason": "user_unknown", "from": "x" }),
            "`next`",
        ),
        (
            json!({ "since": since, "reason": "complaint", "diagnostic": "x", "dry_run": true }),
            "a complaint has no diagnostic",
        ),
        (
            json!({ "since": since, "reason": "user_unknown" }),
            "an undo needs a reason",
        ),
        (
            json!({ "since": since, "reason": "opt_out", "comment": " " }),
            "say in `comment`",
        ),
    ] {
        let answer = undo(body);
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    let ran = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .args(["undo", "--since", "1h", "--reason", "user_unknown"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        !ran.status.success() && said.contains("--comment"),
        "{said}"
    );
}

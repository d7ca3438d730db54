//! The brake on learning: when one cause takes out too many, an operator decides.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Act, Client, FakeUpstream, Gateway, Options, RedisServer, eventually};

/// An upstream that knows nobody whose name begins with `gone`.
fn forgetful() -> FakeUpstream {
    FakeUpstream::scripted(|moment| match (moment.verb, moment.line) {
        ("RCPT", line) if line.contains("<gone") => Act::Say("550 5.1.1 no such user"),
        ("RCPT", line) if line.contains("<full") => Act::Say("552 5.2.2 mailbox full"),
        _ => Act::Usual,
    })
}

/// Writes to these numbers of recipients, whom the upstream refuses.
#[track_caller]
fn refuse(gateway: &Gateway, provider: &str, numbers: std::ops::Range<u32>) {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for number in numbers {
        client.say(&format!("RCPT TO:<gone{number}@{provider}>"), "550 5.1.1");
    }
    client.quit();
}

/// Hands in one report about these numbers of recipients; what its sender hears.
#[track_caller]
fn report(gateway: &Gateway, provider: &str, numbers: std::ops::Range<u32>) -> String {
    let blocks: String = numbers
        .map(|number| {
            format!(
                "Final-Recipient: rfc822; gone{number}@{provider}\r\nAction: failed\r\n\
                 Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no user gone{number}\r\n\r\n"
            )
        })
        .collect();
    let mut client = Client::hello(gateway.returns());
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<bounce@returns.example.com>", "250 ");
    client.data(format!(
        "From: MAILER-DAEMON@mx.example.net\r\n\
         To: bounce@returns.example.com\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\n\
         Content-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\n\r\n\
         {blocks}\
         --b--\r\n"
    ));
    client.reply().last_line()
}

/// How many of these recipients are taken out.
fn taken_out(gateway: &Gateway, provider: &str, numbers: std::ops::Range<u32>) -> usize {
    let admin = gateway.admin();
    numbers
        .filter(|number| {
            let record = admin.record(&format!("gone{number}@{provider}"));
            record["hard"]["count"].as_u64().unwrap_or(0) > 0
        })
        .count()
}

/// The causes that are pending.
#[track_caller]
fn pending(gateway: &Gateway) -> Vec<Value> {
    let answer = gateway.admin().get("/v1/pending");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["pending"].as_array().unwrap().clone()
}

/// Runs the command line beside the gateway; what it printed.
#[track_caller]
fn cli(gateway: &Gateway, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .args(arguments)
        .arg("--config")
        .arg(gateway.dir().path().join("sendgate.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {said}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_fifty_first_of_a_cause_is_held_until_an_operator_accepts() {
    let upstream = forgetful();
    let gateway = Options::before(&upstream).start();
    refuse(&gateway, "example.net", 0..60);
    assert_eq!(taken_out(&gateway, "example.net", 0..60), 50);
    let held = pending(&gateway);
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0]["held"], 10);
    assert_eq!(held[0]["provider"], "example.net");
    assert_eq!(held[0]["recipients"], 51);

    // The alarm: once in the operational log, in the metrics, in the readiness.
    gateway.wait_for_stderr("too many recipients");
    let rang = gateway.stderr().matches("too many recipients").count();
    assert_eq!(rang, 1, "{}", gateway.stderr());
    let admin = gateway.admin();
    assert!(
        admin
            .get("/metrics")
            .body
            .contains("sendgate_learning_held_causes 1")
    );
    assert_eq!(admin.get("/readyz").json()["pending"], 1);

    // The same recipients again are held once, and another provider goes its own way.
    refuse(&gateway, "example.net", 50..60);
    refuse(&gateway, "example.org", 0..50);
    assert_eq!(taken_out(&gateway, "example.org", 0..50), 50);
    assert_eq!(pending(&gateway)[0]["recipients"], 51);

    let told = cli(&gateway, &["pending", "list"]);
    for part in ["example.net", "no such user", "gone50@example.net"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let cause = held[0]["cause"].as_str().unwrap();
    let told = cli(
        &gateway,
        &["pending", "accept", cause, "--reason", "checked"],
    );
    assert!(told.contains("recorded"), "{told}");
    assert_eq!(taken_out(&gateway, "example.net", 0..60), 60);
    assert_eq!(pending(&gateway), [Value::Null; 0]);
    let audit = gateway.stderr();
    assert!(audit.contains("pending bounces were decided on"), "{audit}");

    // Free for the day.
    refuse(&gateway, "example.net", 60..70);
    assert_eq!(taken_out(&gateway, "example.net", 60..70), 10);
    assert_eq!(cli(&gateway, &["pending", "list"]), "nothing is pending\n");
    let answer = admin.post(&format!("/v1/pending/{cause}/drop"), &json!({}));
    assert_eq!(
        answer.status, 200,
        "it is known for the day: {}",
        answer.body
    );
    let none = admin.post("/v1/pending/0123456789ab/drop", &json!({}));
    assert_eq!(none.status, 404, "{}", none.body);
    assert_eq!(admin.post("/v1/pending/x/drop", &json!({})).status, 400);
}

#[test]
fn b4_what_is_dropped_counts_nowhere_and_the_history_tells() {
    let upstream = forgetful();
    let gateway = Options::before(&upstream).start();
    refuse(&gateway, "example.net", 0..55);
    let told = cli(&gateway, &["pending", "drop", "--all", "--json"]);
    let done: Value = serde_json::from_str(told.trim()).unwrap();
    assert_eq!(
        (&done["decided"], &done["decision"]),
        (&json!(5), &json!("drop"))
    );
    assert_eq!(taken_out(&gateway, "example.net", 0..55), 50);
    let history = gateway
        .admin()
        .get("/v1/recipients/gone52@example.net/history")
        .json();
    let entries = history["history"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{history}");
    assert_eq!(entries[0]["effect"], "dropped");
    assert_eq!(entries[0]["event"]["change"]["change"], "bounce");
    assert_eq!(pending(&gateway), [Value::Null; 0]);
    let shown = cli(&gateway, &["recipient", "history", "gone52@example.net"]);
    assert!(shown.contains("dropped"), "{shown}");

    // The rate is above the limit still: the next one is held at once.
    refuse(&gateway, "example.net", 55..57);
    assert_eq!(taken_out(&gateway, "example.net", 55..57), 0);
    assert_eq!(pending(&gateway)[0]["held"], 2);
}

#[test]
fn b6_a_report_of_too_many_is_taken_and_the_rest_is_held() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    for _ in 0..2 {
        let heard = report(&gateway, "example.net", 0..60);
        assert!(heard.starts_with("250 "), "{heard}");
        assert_eq!(taken_out(&gateway, "example.net", 0..60), 50);
        assert_eq!(pending(&gateway)[0]["held"], 10);
    }
    assert_eq!(pending(&gateway)[0]["host"], "mx.example.net");
    cli(&gateway, &["pending", "accept", "--all"]);
    assert_eq!(taken_out(&gateway, "example.net", 0..60), 60);
    let record = gateway.admin().record("gone59@example.net");
    assert_eq!(record["hard"]["count"], 1, "{record}");
}

#[test]
fn soft_bounces_are_never_held_and_the_brake_can_be_off() {
    let upstream = forgetful();
    let gateway = Options::before(&upstream)
        .extra("[learning]\nbrake_recipients = 0")
        .start();
    refuse(&gateway, "example.net", 0..70);
    assert_eq!(taken_out(&gateway, "example.net", 0..70), 70);
    let gateway = Options::before(&upstream)
        .extra("[learning]\nbrake_recipients = 1\nbrake_share = \"0%\"")
        .start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for number in 0..10 {
        client.say(&format!("RCPT TO:<full{number}@example.net>"), "552 5.2.2");
    }
    assert_eq!(pending(&gateway), [Value::Null; 0]);
    let record = gateway.admin().record("full9@example.net");
    assert_eq!(record["soft"]["count"], 1, "{record}");
}

#[test]
fn what_is_held_is_there_after_a_crash() {
    let upstream = forgetful();
    let mut gateway = Options::before(&upstream).start();
    refuse(&gateway, "example.net", 0..53);
    let dir = gateway.dir();
    gateway.kill();
    let gateway = Options::before(&upstream).dir(&dir).start();
    assert_eq!(pending(&gateway)[0]["held"], 3);
    // The alarm rings again, though nothing new came.
    eventually("the gauge to tell", || {
        let metrics = gateway.admin().get("/metrics").body;
        metrics
            .contains("sendgate_learning_held_causes 1")
            .then_some(())
    });
    refuse(&gateway, "example.net", 53..54);
    assert_eq!(pending(&gateway)[0]["held"], 4, "it goes on holding");
    cli(&gateway, &["pending", "accept", "--all"]);
    assert_eq!(taken_out(&gateway, "example.net", 0..54), 54);
}

#[test]
fn two_gateways_of_one_store_share_the_brake() {
    let redis = RedisServer::start();
    let upstream = forgetful();
    let first = Options::before(&upstream).store_url(&redis.url()).start();
    let pepper = std::fs::read_to_string(first.dir().path().join("data/pepper")).unwrap();
    let second = Options::before(&upstream)
        .store_url(&redis.url())
        .env("SENDGATE_KEYS_PEPPER", pepper.trim())
        .start();
    refuse(&first, "example.net", 0..30);
    refuse(&second, "example.net", 30..60);
    assert_eq!(taken_out(&first, "example.net", 0..60), 50);
    assert_eq!(pending(&first)[0]["held"], 10);
    assert_eq!(pending(&first), pending(&second));
    refuse(&first, "example.net", 60..61);
    assert_eq!(pending(&second)[0]["held"], 11);
    cli(&second, &["pending", "drop", "--all"]);
    assert_eq!(pending(&first), [Value::Null; 0]);
}

#[test]
fn a_small_share_of_much_mail_is_not_held() {
    let redis = RedisServer::start();
    let upstream = forgetful();
    let gateway = Options::before(&upstream).store_url(&redis.url()).start();
    // 1,300 delivered recipients: 5 % of them are 65.
    for message in 0..13 {
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        for number in 0..100 {
            let recipient = format!("r{message}-{number}@example.net");
            client.say(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
        client.data("Subject: a\r\n\r\nb\r\n");
        client.expect("250 ");
        client.quit();
    }
    let script = "local sum = 0 \
        for _, key in ipairs(redis.call('KEYS', 'sendgate:default:relayed:*')) do \
        sum = sum + (redis.call('HGET', key, 'example.net') or 0) end return sum";
    eventually("the store to be told", || {
        (redis.command_of(&["EVAL", script, "0"]) == ":1300\r\n").then_some(())
    });
    refuse(&gateway, "example.net", 0..70);
    assert_eq!(taken_out(&gateway, "example.net", 0..70), 65);
    assert_eq!(pending(&gateway)[0]["relayed"], 1300);
}

#[test]
fn s1_bounces_wait_while_the_store_cannot_tell() {
    let redis = RedisServer::start();
    let upstream = forgetful();
    let gateway = Options::before(&upstream).store_url(&redis.url()).start();
    refuse(&gateway, "example.net", 0..51);
    let cause = pending(&gateway)[0]["cause"].as_str().unwrap().to_owned();
    redis.command_of(&["HSET", "sendgate:default:pending", &cause, "nonsense"]);
    refuse(&gateway, "example.net", 51..52);
    assert_eq!(taken_out(&gateway, "example.net", 51..52), 0);
    let heard = report(&gateway, "example.org", 0..51);
    assert!(
        heard.starts_with("250 "),
        "another cause can be read: {heard}"
    );
    let other = "for _, cause in ipairs(redis.call('HKEYS', KEYS[1])) do \
        redis.call('HSET', KEYS[1], cause, 'nonsense') end return 1";
    redis.command_of(&["EVAL", other, "1", "sendgate:default:pending"]);
    let heard = report(&gateway, "example.org", 51..52);
    assert!(heard.starts_with("451 4.3.0"), "{heard}");
    assert_eq!(taken_out(&gateway, "example.org", 51..52), 0);
    let answer = gateway.admin().get("/v1/pending");
    assert_eq!(answer.status, 500, "{}", answer.body);
}

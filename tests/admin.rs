//! The admin API on its socket, and the probes beside it (A1 to A3, X64).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Gateway, PATIENCE, plain_gateway};

/// One request to the probes over TCP, as it stands.
fn ask_probes(gateway: &Gateway, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.probes()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn a1_the_socket_is_its_owners_alone() {
    let (_upstream, gateway) = plain_gateway();
    let mode = std::fs::metadata(gateway.socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a1_over_tcp_no_recipient_can_be_asked_for_or_changed() {
    let (_upstream, gateway) = plain_gateway();
    for request in [
        "GET /v1/recipients/b@example.net HTTP/1.1",
        "POST /v1/recipients/b@example.net/opt-out HTTP/1.1",
        "DELETE /v1/recipients/b@example.net HTTP/1.1",
        "GET /v1/log HTTP/1.1",
    ] {
        let answer = ask_probes(
            &gateway,
            &format!(
                "{request}\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
        );
        assert!(
            matches!(status_of(&answer), "401" | "404"),
            "{request}: {answer}"
        );
    }
    let record = gateway.admin().record("b@example.net");
    assert_eq!(record, json!({}), "{record}");
}

#[test]
fn a2_x64_what_a_web_page_could_send_changes_nothing() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    let post = |fields: &str| {
        admin.raw(&format!(
            "POST /v1/recipients/b@example.net/opt-out HTTP/1.1\r\nConnection: close\r\n\
             Content-Length: 2\r\n{fields}\r\n{{}}"
        ))
    };
    let json_type = "Content-Type: application/json\r\n";
    for (fields, status) in [
        (
            "Host: localhost\r\nContent-Type: text/plain\r\n".to_owned(),
            415,
        ),
        ("Host: localhost\r\n".to_owned(), 415),
        (
            "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n".to_owned(),
            415,
        ),
        (
            format!("Host: localhost\r\nOrigin: https://evil.example\r\n{json_type}"),
            403,
        ),
    ] {
        let answer = post(&fields);
        assert_eq!(answer.status, status, "{fields}: {answer:?}");
        assert_eq!(admin.record("b@example.net"), json!({}));
    }
    let answer = post(&format!("Host: localhost\r\n{json_type}"));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a2_x64_a_foreign_host_is_not_served_over_tcp() {
    let (_upstream, gateway) = plain_gateway();
    for (host, status) in [
        ("evil.example", "421"),
        ("localhost.evil.example", "421"),
        ("localhost", "200"),
        ("127.0.0.1", "200"),
    ] {
        let answer = ask_probes(
            &gateway,
            &format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(status_of(&answer), status, "{host}: {answer}");
    }
}

#[test]
fn a2_no_answer_invites_a_browser() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    admin.opt_out("b@example.net");
    let preflight = admin.raw(
        "OPTIONS /v1/recipients/b@example.net/opt-in HTTP/1.1\r\nHost: localhost\r\n\
         Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\
         Connection: close\r\n\r\n",
    );
    assert!(preflight.status >= 400, "{preflight:?}");
    for answer in [
        preflight,
        admin.get("/v1/recipients/b@example.net"),
        admin.get("/readyz"),
        admin.get("/nowhere"),
    ] {
        let head = answer.head.to_ascii_lowercase();
        assert!(!head.contains("access-control-"), "{head}");
        assert!(!head.contains("set-cookie"), "{head}");
    }
}

#[test]
fn a3_every_change_is_in_the_history_and_an_opt_in_needs_a_reason() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    admin.change(
        "b@example.net",
        "opt-out",
        &json!({ "reason": "asked by phone", "actor": "carol" }),
    );
    let refused = admin.post("/v1/recipients/b@example.net/opt-in", &json!({}));
    assert_eq!(refused.status, 400, "{refused:?}");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
    admin.change(
        "b@example.net",
        "opt-in",
        &json!({ "reason": "signed up again", "actor": "dave" }),
    );
    client.say("RCPT TO:<b@example.net>", "250 ");
    let history = admin.get("/v1/recipients/b@example.net/history").json();
    let entries = history["history"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{history:#}");
    let text = history.to_string();
    for word in ["carol", "dave", "asked by phone", "signed up again"] {
        assert!(text.contains(word), "{word}: {history:#}");
    }
}

#[test]
fn a5_addresses_are_hidden_from_the_log_where_it_is_told_so() {
    let upstream = crate::harness::FakeUpstream::scripted(|moment| match moment.verb {
        "RCPT" => crate::harness::Act::Say("550 5.1.1 <secret.name@example.net> unknown"),
        _ => crate::harness::Act::Usual,
    });
    let gateway = crate::harness::Options::before(&upstream)
        .env("SENDGATE_LOG_ADDRESSES", "hashed")
        .start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<secret.name@example.net>", "550 5.1.1 ");
    client.say("RSET", "250 ");
    let line = gateway.wait_for_log(1).remove(0);
    assert_eq!(line["recipient"], "example.net");
    assert_eq!(
        line["key"],
        gateway.admin().key("secret.name@example.net").as_str()
    );
    assert!(!line.to_string().contains("secret.name"), "{line:#}");
    assert!(
        !gateway.stderr().contains("secret.name"),
        "{}",
        gateway.stderr()
    );
}

#[test]
fn s8_the_probes_tell_whether_mail_can_be_judged() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    let ready = admin.get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.json()["ready"], true);
    assert_eq!(admin.get("/livez").status, 200);
}

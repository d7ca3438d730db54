//! `sendgate bounce ingest`: files, Maildirs, mboxes and standard input, as often as you like.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{FakeUpstream, Gateway, Options, plain_gateway};

fn report(recipient: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n\
         --b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.net\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n\n\
         --b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <{recipient}>\n\n--b--\n"
    )
}

/// Runs the command against this gateway with this standard input.
fn ingest(gateway: &Gateway, arguments: &[&str], input: &str) -> Output {
    let folder = gateway.dir();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .arg("--config")
        .arg(folder.path().join("sendgate.toml"))
        .args(["bounce", "ingest"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The same; it must succeed, and tells its sums.
#[track_caller]
fn sums(gateway: &Gateway, arguments: &[&str], input: &str) -> Value {
    let arguments = [&["--json"], arguments].concat();
    let output = ingest(gateway, &arguments, input);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn hard(gateway: &Gateway, recipient: &str) -> u64 {
    let record = gateway.admin().record(recipient);
    record["hard"]["count"].as_u64().unwrap_or(0)
}

fn maildir(folder: &Path) {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::write(folder.join("new/1"), report("new@example.net", "5.1.1")).unwrap();
    fs::write(
        folder.join("cur/2:2,S"),
        report("seen@example.net", "5.1.1"),
    )
    .unwrap();
    fs::write(
        folder.join("tmp/3"),
        report("unfinished@example.net", "5.1.1"),
    )
    .unwrap();
}

#[test]
fn b4_a_maildir_and_an_mbox_given_twice_count_once() {
    let (_upstream, gateway) = plain_gateway();
    let folder = gateway.dir().path().join("kept");
    maildir(&folder);
    let mbox = folder.join("mbox");
    let separator = "From MAILER-DAEMON Mon Nov  2 09:00:00 2026\n";
    let mut text = String::new();
    for number in 0..30 {
        text.push_str(separator);
        text.push_str(&report(&format!("r{number}@example.net"), "5.1.1"));
        text.push('\n');
    }
    text.push_str(&format!("{separator}Subject: hello\n\n>From a person\n"));
    fs::write(&mbox, text).unwrap();
    let paths = [folder.to_str().unwrap(), mbox.to_str().unwrap()];

    let first = sums(&gateway, &paths, "");
    assert_eq!(first["messages"], 33, "{first}");
    assert_eq!(first["kinds"]["bounce"]["counted"], 32, "{first}");
    assert_eq!(first["kinds"]["other"]["nothing"], 1, "{first}");
    let second = sums(&gateway, &paths, "");
    assert_eq!(second["kinds"]["bounce"]["counted"], 0, "{second}");
    assert_eq!(second["kinds"]["bounce"]["known"], 32, "{second}");
    for recipient in [
        "new@example.net",
        "seen@example.net",
        "r0@example.net",
        "r29@example.net",
    ] {
        assert_eq!(hard(&gateway, recipient), 1, "{recipient}");
    }
    assert_eq!(hard(&gateway, "unfinished@example.net"), 0);
    let history = gateway.admin().get("/v1/recipients/r0@example.net/history");
    assert_eq!(history.json()["history"][0]["event"]["via"], "ingest");
}

#[test]
fn standard_input_is_a_message_or_an_mbox() {
    let (_upstream, gateway) = plain_gateway();
    let told = sums(&gateway, &["-"], &report("b@example.net", "5.1.1"));
    assert_eq!(told["kinds"]["bounce"]["counted"], 1, "{told}");
    let two = format!(
        "From a Mon Nov  2 09:00:00 2026\n{}\nFrom b Mon Nov  2 09:00:01 2026\n{}",
        report("c@example.net", "5.1.1"),
        report("d@example.net", "5.7.1")
    );
    let told = sums(&gateway, &["-"], &two);
    let bounces = &told["kinds"]["bounce"];
    assert_eq!(
        (&bounces["counted"], &bounces["nothing"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn b2_where_return_paths_are_signed_only_they_are_believed() {
    let upstream = FakeUpstream::start();
    // Even where no listener takes mail for the domain.
    let gateway = Options::before(&upstream)
        .extra("[return_path]\ndomain = \"bounces.example.com\"")
        .start();
    gateway.client().deliver("b@example.net", "250 ");
    let mail = upstream.message().mail;
    let path = mail.strip_prefix("MAIL FROM:<").unwrap();
    let path = path.split('>').next().unwrap();
    let unsigned = report("c@example.net", "5.1.1");
    let signed = format!("Delivered-To: {path}\n{}", report("b@example.net", "5.1.1"));
    let told = sums(&gateway, &["-"], &unsigned);
    assert_eq!(told["kinds"]["bounce"]["not_believed"], 1, "{told}");
    let told = sums(&gateway, &["-"], &signed);
    assert_eq!(told["kinds"]["bounce"]["counted"], 1, "{told}");
    assert_eq!(hard(&gateway, "c@example.net"), 0);
    let shown = ingest(&gateway, &["-"], &unsigned).stdout;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("1 message not believed"), "{shown}");
    let told = sums(&gateway, &["--trust-unsigned", "-"], &unsigned);
    assert_eq!(told["kinds"]["bounce"]["counted"], 1, "{told}");
    assert_eq!(hard(&gateway, "c@example.net"), 1);
}

#[test]
fn what_fails_is_told_and_the_others_are_taken() {
    let (_upstream, gateway) = plain_gateway();
    let file = gateway.dir().path().join("report.eml");
    fs::write(&file, report("b@example.net", "5.1.1")).unwrap();
    let output = ingest(&gateway, &["nowhere.eml", file.to_str().unwrap()], "");
    let (told, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(
        complained.contains("nowhere.eml: cannot be read"),
        "{complained}"
    );
    assert!(
        complained.contains("1 message could not be taken in"),
        "{complained}"
    );
    assert!(told.contains("1 message taken in"), "{told}");
    assert_eq!(hard(&gateway, "b@example.net"), 1);
}

#[test]
fn a_gateway_that_does_not_run_is_told_at_once() {
    let (_upstream, mut gateway) = plain_gateway();
    gateway.kill();
    let output = ingest(&gateway, &["-"], &report("b@example.net", "5.1.1"));
    let complained = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(complained.contains("no gateway answers"), "{complained}");
}

#[test]
fn the_api_takes_messages_only() {
    let (_upstream, gateway) = plain_gateway();
    let answer = gateway.admin().post("/v1/bounces", &serde_json::json!({}));
    assert_eq!(answer.status, 415, "{}", answer.body);
    let answer = gateway
        .admin()
        .post("/v1/bounces?tenant=nobody", &serde_json::json!({}));
    assert_eq!(answer.status, 404, "{}", answer.body);
}

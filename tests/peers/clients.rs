//! Clients that others wrote: swaks, Python's smtplib, Node's nodemailer.

use std::sync::Arc;

use super::gateway;
use super::program::{Ran, beside_the_build, run};
use crate::harness::{Certificate, FakeUpstream, Gateway, Options};

#[test]
fn swaks_one_dialogue() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let ran = swaks(&gateway, "--from a@example.com --to b@example.net");
    assert_eq!(ran.code, 0, "{ran:?}");
    let message = upstream.message();
    assert_eq!(message.mail, "MAIL FROM:<a@example.com>");
    assert_eq!(message.recipients, ["RCPT TO:<b@example.net>"]);
}

#[test]
fn swaks_pipelined_with_one_suppressed() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let ran = swaks(
        &gateway,
        "--from a@example.com --to b@example.net,out@example.net --pipeline",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("550 5.7.1 "), "{}", ran.stdout);
    assert_eq!(upstream.message().recipients, ["RCPT TO:<b@example.net>"]);
}

#[test]
fn swaks_to_nobody_but_a_suppressed_recipient() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let ran = swaks(&gateway, "--from a@example.com --to out@example.net");
    assert_eq!(ran.code, 24, "{ran:?}");
    assert!(
        ran.stdout.contains("Recipient suppressed (opt-out)"),
        "{}",
        ran.stdout
    );
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn e4_swaks_with_the_null_reverse_path() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let ran = swaks(&gateway, "--from <> --to b@example.net");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(upstream.message().mail, "MAIL FROM:<>");
}

#[test]
fn swaks_with_tls_and_auth() {
    let upstream = FakeUpstream::start();
    // Nobody may relay here without logging in.
    let options = Options::default()
        .listener("clients = []\ntls = \"required\"")
        .tls(&Arc::new(Certificate::new()))
        .user("u", "p", "");
    let gateway = gateway(&upstream, options);
    let envelope = "--from a@example.com --to b@example.net";
    let login = "--auth PLAIN --auth-user u --auth-password";
    let ran = swaks(&gateway, &format!("{envelope} --tls {login} p"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(upstream.message().received().contains("with ESMTPSA"));
    // 28: authentication failed; 23: MAIL refused.
    let ran = swaks(&gateway, &format!("{envelope} --tls {login} wrong"));
    assert_eq!(ran.code, 28, "{ran:?}");
    let ran = swaks(&gateway, envelope);
    assert_eq!(ran.code, 23, "{ran:?}");
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn f9_swaks_gone_before_the_dot() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    swaks(
        &gateway,
        "--from a@example.com --to b@example.net --drop-after DATA",
    );
    let log = gateway.wait_for_log(1);
    assert_eq!(log[0]["outcome"], "aborted");
    assert!(upstream.messages().is_empty());
}

#[test]
fn f9_swaks_gone_after_the_dot() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    swaks(
        &gateway,
        "--from a@example.com --to b@example.net --drop-after-send DOT",
    );
    // The upstream's answer is logged, because nobody else knows it.
    let log = gateway.wait_for_log(1);
    assert_eq!(log[0]["outcome"], "delivered");
    assert!(upstream.message().accepted);
}

#[test]
fn smtplib_delivers_to_the_others_and_reports_the_suppressed() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let program = "import os, smtplib\n\
        with smtplib.SMTP('127.0.0.1', int(os.environ['GW'])) as s:\n    \
            print(s.sendmail('a@example.com', ['b@example.net', 'out@example.net'], \
            'Subject: x\\r\\n\\r\\nx\\r\\n'))\n";
    let port = gateway.smtp().port().to_string();
    let ran = run("python3", &["-c", program], &[("GW", &port)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let id = gateway.wait_for_log(2)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let expected =
        format!("{{'out@example.net': (550, b'5.7.1 {id} Recipient suppressed (opt-out)')}}\n");
    assert_eq!(ran.stdout, expected);
    assert_eq!(upstream.message().recipients, ["RCPT TO:<b@example.net>"]);
}

#[test]
fn nodemailer_delivers_to_the_others_and_reports_the_suppressed() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream, Options::default());
    let program = "const t = require('nodemailer').createTransport(\
        {host: '127.0.0.1', port: +process.env.GW, ignoreTLS: true, pool: true});\n\
        Promise.all([...Array(50)].map(() => t.sendMail(\
        {from: 'a@example.com', to: 'b@example.net, out@example.net', text: 'x'})))\n\
        .then(r => { console.log(r.length, r[0].accepted, r[0].rejected); t.close(); })";
    let port = gateway.smtp().port().to_string();
    let modules = beside_the_build("node/node_modules").display().to_string();
    let environment = [("GW", port.as_str()), ("NODE_PATH", &modules)];
    let ran = run("node", &["-e", program], &environment);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout, "50 [ 'b@example.net' ] [ 'out@example.net' ]\n");
    let messages = upstream.messages();
    assert_eq!(messages.len(), 50);
    assert!(
        messages
            .iter()
            .all(|m| m.recipients == ["RCPT TO:<b@example.net>"])
    );
}

fn swaks(gateway: &Gateway, arguments: &str) -> Ran {
    let server = gateway.smtp().to_string();
    let mut all = vec!["--server", &server];
    all.extend(arguments.split(' '));
    run("swaks", &all, &[])
}

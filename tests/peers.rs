//! The gateway between real mail programs: what they send, what they hear, what arrives.

mod circuit;
mod clients;
mod exim;
mod jail;
mod lmtp;
mod opensmtpd;
mod postfix;
mod program;
mod relaying;
mod returned;
mod sink;

use serde_json::json;

use crate::harness::{FakeUpstream, Gateway, Options, eventually};
use program::run;
use sink::SmtpSink;

/// Two thousand messages over twenty sessions, with one recipient in three suppressed.
#[test]
fn smtp_source_to_smtp_sink() {
    const MESSAGES: usize = 2000;
    let sink = SmtpSink::start();
    let gateway = Options::default().upstream_url(&sink.url()).start();
    gateway.admin().opt_out("2load@example.net");
    // With -A it goes on after a refused recipient.
    let load = "-4 -A -s 20 -m 2000 -l 4096 -r 3 -f a@example.com -t load@example.net";
    let mut arguments: Vec<&str> = load.split(' ').collect();
    let address = gateway.smtp().to_string();
    arguments.push(&address);
    let ran = run("smtp-source", &arguments, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let recipients = sink.recipients();
    assert_eq!(recipients.get("<load@example.net>"), Some(&MESSAGES));
    assert_eq!(recipients.get("<3load@example.net>"), Some(&MESSAGES));
    assert_eq!(recipients.len(), 2, "{recipients:?}");

    let log = gateway.wait_for_log(3 * MESSAGES);
    assert_eq!(log.len(), 3 * MESSAGES);
    let rejected = log.iter().filter(|line| line["verdict"] == "reject");
    assert!(
        rejected
            .clone()
            .all(|line| line["recipient"] == "2load@example.net")
    );
    assert_eq!(rejected.count(), MESSAGES);
}

/// An upstream with few extensions: the gateway offers no more than it has (F6).
#[test]
fn f6_smtp_sink_without_extensions() {
    let sink = SmtpSink::start_with(&["-N", "-8", "-p", "-E", "-a", "-C", "-F"]);
    let gateway = Options::default().upstream_url(&sink.url()).start();
    let mut client = gateway.client();
    let hello = client.say("EHLO client.example", "250 ");
    for keyword in ["8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS"] {
        assert!(!hello.offers(keyword), "{hello:?}");
    }
    client.deliver("b@example.net", "250 ");
    client.quit();
    eventually("the dump", || (sink.recipients().len() == 1).then_some(()));
}

/// The listener of these tests: `out@example.net` opted out, everybody else may be mailed.
fn gateway(upstream: &FakeUpstream, options: Options) -> Gateway {
    let url = format!("smtp://{}", upstream.address());
    let gateway = options.upstream_url(&url).start();
    let reason = json!({"reason": "asked for it"});
    gateway
        .admin()
        .change("out@example.net", "opt-out", &reason);
    gateway
}

//! An existing mail server hands its returned mail over in LMTP, as to any mail store (RFC 2033).

use super::postfix::Postfix;
use super::program::{free_port, run};
use crate::harness::{Options, eventually};

const GONE: &str = "gone@example.net";

#[test]
fn rfc2033_postfix_hands_over_what_came_back() {
    let returns = free_port();
    let server = Postfix::start(
        "back.example",
        &format!(
            "smtpd_reject_unlisted_recipient = no\n\
             virtual_mailbox_domains = example.net\n\
             virtual_mailbox_maps = inline:{{ alive@example.net=alive/ }}\n\
             transport_maps = inline:{{ {{bounces.example.com = lmtp:inet:127.0.0.1:{returns}}} }}"
        ),
    );
    // Nobody is trusted: the signed return path alone proves what Postfix says.
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{}", server.port()))
        .env("SENDGATE_RETURNS_0_LISTEN", &format!("127.0.0.1:{returns}"))
        .returns("trusted = [\"192.0.2.0/24\"]")
        .extra("[return_path]\ndomain = \"bounces.example.com\"")
        .start();
    gateway.client().deliver(GONE, "250 ");
    let line = server.wait_for_log(&["@bounces.example.com", "status=sent", "lmtp"]);
    assert!(line.contains("250 2.0.0 Ok"), "{line}");
    let record = gateway.admin().record(GONE);
    assert_eq!(record["hard"]["count"], 1, "{record}");
}

#[test]
fn rfc2033_swaks_hears_a_reply_for_each_recipient() {
    let gateway = Options::default().start();
    let server = gateway.returns().to_string();
    let ran = run(
        "swaks",
        &[
            "--protocol",
            "LMTP",
            "--server",
            &server,
            "--from",
            "<>",
            "--to",
            "postmaster@returns.example.com,bounce@returns.example.com",
            "--body",
            "hello",
        ],
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("LHLO"), "{ran:?}");
    assert_eq!(ran.stdout.matches("250 2.0.0 Ok").count(), 2, "{ran:?}");
    eventually("the message to be counted", || {
        let metrics = gateway.admin().get("/metrics").body;
        metrics
            .contains("sendgate_reports_total{kind=\"other\"} 1")
            .then_some(())
    });
}

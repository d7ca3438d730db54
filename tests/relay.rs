//! What the gateway makes of an upstream that refuses, disappears, is slow or misbehaves (F1 to F8),
//! and what it passes on (R1 to R14).

use crate::harness::{FakeUpstream, Options};

#[test]
fn r1_a_message_is_delivered_and_then_acknowledged() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 ");
    let message = upstream.message();
    assert!(message.accepted);
    assert_eq!(message.mail, "MAIL FROM:<a@example.com>");
    assert_eq!(message.recipients, ["RCPT TO:<b@example.net>"]);
    assert_eq!(message.original(), b"Subject: a\r\n\r\nHello.\r\n");
    let lines = gateway.wait_for_log(1);
    assert_eq!(lines[0]["outcome"], "delivered");
    gateway.admin().opt_out("b@example.net");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
    client.quit();
}

//! X37: what a message says about itself reaches logs and replies without its control characters.

use crate::harness::{eventually, plain_gateway};

#[test]
fn x37_control_characters_of_a_header_reach_no_log_and_no_reply() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(
        "Message-ID: <\x1b[2J\x07@example.com>\r\n\
         X-Sendgate-Campaign: spring\x1b]0;x\x07\r\n\
         Subject: \x1b[31mred\r\n\r\nHello.\r\n",
    );
    let reply = client.reply();
    assert!(!reply.raw.contains(&0x1b), "{reply:?}");
    gateway.wait_for_log(1);
    let log = std::fs::read(gateway.dir().path().join("suppression.log")).unwrap();
    let clean = |bytes: &[u8]| {
        bytes
            .iter()
            .all(|&b| b == b'\n' || (b >= b' ' && b != 0x7f))
    };
    assert!(clean(&log), "{}", log.escape_ascii());
    assert!(clean(gateway.stderr().as_bytes()), "{:?}", gateway.stderr());
}

#[test]
fn x37_line_ends_do_not_make_a_second_log_line() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Message-ID: <a@example.com>\r\n \r\n {\"verdict\":\"relay\"}\r\n\r\nHello.\r\n");
    client.reply();
    client.deliver("c@example.net", "250 ");
    let lines = eventually("both messages in the log", || {
        let lines = gateway.log();
        (lines
            .last()
            .is_some_and(|line| line["recipient"] == "c@example.net"))
        .then_some(lines)
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

//! X1 to X18: what looks like the end of the data and is not, and what is.
//!
//! Behind the false end stands a second transaction. If it is ever taken for commands, a message
//! was smuggled.

use crate::harness::{Client, FakeUpstream, Gateway, each_way, plain_gateway};

const BEFORE: &[u8] = b"Subject: outer\r\n\r\nouter";
const BEHIND: &[u8] = b"MAIL FROM:<smuggled@example.com>\r\n\
RCPT TO:<smuggled@example.net>\r\nDATA\r\nSubject: inner\r\n\r\ninner\r\n.\r\nQUIT\r\n";

fn input(sequence: &[u8]) -> Vec<u8> {
    [BEFORE, sequence, BEHIND].concat()
}

/// Opens the data and sends the pieces; the replies up to the end of the connection.
fn replies(gateway: &Gateway, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = Client::connect(gateway.smtp());
    client.say("EHLO client.example", "250 ");
    client.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
    client.expect("250 ");
    client.expect("250 ");
    client.expect("354 ");
    client.send_pieces(pieces.iter().copied());
    client.remaining_replies()
}

fn assert_replies(heard: &[String], expected: &[&str], context: &str) {
    let fits =
        heard.len() == expected.len() && heard.iter().zip(expected).all(|(h, e)| h.starts_with(e));
    assert!(fits, "{context}: expected {expected:?}, heard {heard:?}");
}

fn nothing_smuggled(upstream: &FakeUpstream, context: &str) {
    assert!(upstream.messages().is_empty(), "{context}: delivered");
    let heard = upstream.heard();
    assert!(
        !upstream.heard_bare_bytes(),
        "{context}: bare bytes upstream"
    );
    for command in upstream.commands() {
        assert!(!command.contains("smuggled"), "{context}: {command:?}");
    }
    // Not in what the upstream could take for commands, and not at all.
    let text = String::from_utf8_lossy(&heard).into_owned();
    assert!(!text.contains("\r\n.\r\n"), "{context}: an end of data");
}

/// No end of the data: one refusal at the last dot, then the QUIT.
fn check_not_an_end(sequence: &[u8]) {
    let (upstream, gateway) = plain_gateway();
    let input = input(sequence);
    for pieces in each_way(&input) {
        let context = format!("{:?} in {} pieces", sequence.escape_ascii(), pieces.len());
        let heard = replies(&gateway, &pieces);
        assert_replies(&heard, &["550 5.5.2", "221"], &context);
    }
    nothing_smuggled(&upstream, &sequence.escape_ascii().to_string());
}

macro_rules! not_an_end {
    ($($name:ident: $sequence:literal;)*) => {
        $(#[test]
        fn $name() {
            check_not_an_end($sequence);
        })*
    };
}

not_an_end! {
    x1_lf_dot_lf: b"\n.\n";
    x2_lf_dot_crlf: b"\n.\r\n";
    x3_cr_dot_cr: b"\r.\r";
    x4_cr_dot_crlf: b"\r.\r\n";
    x5_crlf_dot_lf: b"\r\n.\n";
    x6_crlf_dot_cr: b"\r\n.\r";
    x8_crlf_nul_dot_crlf: b"\r\n\0.\r\n";
    x9_cr_nul_lf_dot_crlf: b"\r\0\n.\r\n";
    x11_crlf_dot_nul_crlf: b"\r\n.\0\r\n";
    x12_crlf_dot_cr_nul_lf: b"\r\n.\r\0\n";
    x14_crlf_dot_cr_crlf: b"\r\n.\r\r\n";
    x15_cr_crlf_dot_cr_crlf: b"\r\r\n.\r\r\n";
    x16_cr_dot_lf: b"\r.\n";
    x17_lf_dot_cr: b"\n.\r";
}

#[test]
fn x7_x10_a_true_end_behind_a_nul_delivers_nothing() {
    let (upstream, gateway) = plain_gateway();
    // In one write only: what follows are real commands, and the inner text came before its 354.
    let heard = replies(&gateway, &[&input(b"\0\r\n.\r\n")]);
    assert_replies(&heard, &["550 5.5.2", "250", "250", "554 5.5.0"], "X7");
    assert!(upstream.messages().is_empty());
    assert!(!upstream.heard_bare_bytes());
}

#[test]
fn x13_a_true_end_before_a_nul_delivers_the_outer_message_only() {
    let (upstream, gateway) = plain_gateway();
    let input = input(b"\r\n.\r\n\0");
    let ways = each_way(&input);
    for pieces in &ways {
        let heard = replies(&gateway, pieces);
        assert_replies(&heard, &["250", "500 5.5.2"], "X13");
    }
    let messages = upstream.messages();
    assert_eq!(messages.len(), ways.len());
    for message in messages {
        assert_eq!(message.original(), b"Subject: outer\r\n\r\nouter\r\n");
    }
    let commands = upstream.commands();
    assert!(!commands.iter().any(|line| line.contains("smuggled")));
}

#[test]
fn x18_a_stuffed_dot_is_an_ordinary_line() {
    let (upstream, gateway) = plain_gateway();
    let input = input(b"\r\n..\r\n");
    let ways = each_way(&input);
    for pieces in &ways {
        assert_replies(&replies(&gateway, pieces), &["250", "221"], "X18");
    }
    let messages = upstream.messages();
    assert_eq!(messages.len(), ways.len());
    let body = &input[..input.len() - b".\r\nQUIT\r\n".len()];
    for message in messages {
        assert_eq!(message.original(), body);
    }
}

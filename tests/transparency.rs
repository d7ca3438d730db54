//! What arrives upstream is what the client sent, byte for byte, behind our Received field (W4, R8).

use crate::dice::Dice;
use crate::harness::{Client, FakeUpstream, Message, Options};

const SEED: u64 = 5321;
const MESSAGES: usize = 1000;

#[test]
fn w4_r8_a_thousand_messages_arrive_byte_for_byte() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let mut dice = Dice::new(SEED);
    let mut client = gateway.client();
    let mut sent = Vec::with_capacity(MESSAGES);
    for number in 0..MESSAGES {
        let body = body(&mut dice);
        client.envelope(&["b@example.net"]);
        client.say("DATA", "354 ");
        let mut wire = body.clone();
        wire.extend_from_slice(b".\r\n");
        send_in_pieces(&mut client, &wire, &mut dice);
        let reply = client.reply();
        assert_eq!(
            reply.code(),
            250,
            "message {number}: {reply:?} to {}",
            body.escape_ascii()
        );
        sent.push(body);
    }
    client.quit();
    let messages = upstream.messages();
    assert_eq!(messages.len(), MESSAGES);
    for (number, (message, body)) in messages.iter().zip(&sent).enumerate() {
        let received = in_front_of(message, body)
            .unwrap_or_else(|| panic!("message {number} changed: {}", body.escape_ascii()));
        assert!(
            received.starts_with(b"Received: from client.example ([127.0.0.1])\r\n\tby "),
            "message {number}: {}",
            received.escape_ascii()
        );
        // One field of four lines, and nothing behind it.
        let lines: Vec<_> = received.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(
            lines.len(),
            4,
            "message {number}: {}",
            received.escape_ascii()
        );
        assert!(lines[1..].iter().all(|line| line.starts_with(b"\t")));
    }
    assert!(!upstream.heard_bare_bytes());
}

#[test]
fn r8_our_own_fields_are_taken_out_and_nothing_else() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("streams = [\"transactional\"]")
        .start();
    let mut client = gateway.client();
    for (sent, arrives) in [
        (
            "Subject: a\r\nX-Sendgate-Campaign: spring\r\nTo: b@example.net\r\n\r\nHello.\r\n",
            "Subject: a\r\nTo: b@example.net\r\n\r\nHello.\r\n",
        ),
        (
            "x-sendgate-stream: transactional\r\nSubject: a\r\n\r\nX-Sendgate-Campaign: text\r\n",
            "Subject: a\r\n\r\nX-Sendgate-Campaign: text\r\n",
        ),
        (
            "X-Sendgate-Campaign: folded\r\n once\r\n\ttwice\r\nX-Sendgated: no\r\n\r\n",
            "X-Sendgated: no\r\n\r\n",
        ),
    ] {
        client.envelope(&["b@example.net"]);
        client.data(sent);
        client.expect("250 ");
        let message = upstream.messages().pop().unwrap();
        let original = message.original();
        assert_eq!(String::from_utf8_lossy(&original), arrives);
    }
    client.quit();
}

/// What stands in front of the body; none when the body is another.
fn in_front_of(message: &Message, body: &[u8]) -> Option<Vec<u8>> {
    message.body.strip_suffix(body).map(<[u8]>::to_vec)
}

/// Sends the bytes in up to six segments, cut anywhere.
fn send_in_pieces(client: &mut Client, mut bytes: &[u8], dice: &mut Dice) {
    for _ in 0..dice.below(6) {
        let (piece, rest) = bytes.split_at(dice.below(bytes.len() + 1));
        client.send(piece);
        bytes = rest;
    }
    client.send(bytes);
}

/// A message as it stands on the wire, dots stuffed, without the final dot.
fn body(dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    // Some have no header at all, some nothing but a header, some nothing at all.
    let kind = dice.below(8);
    if kind > 1 {
        for number in 0..=dice.below(6) {
            lines.push(format!("X-Field-{number}: {}", "v".repeat(dice.below(60))).into_bytes());
            if dice.one_in(4) {
                lines.push(b"\tfolded".to_vec());
            }
        }
    }
    if kind > 2 {
        lines.push(Vec::new());
    }
    if kind != 0 && kind != 2 {
        for _ in 0..dice.below(12) {
            lines.push(line(dice));
        }
        for _ in 0..dice.below(3) {
            lines.push(Vec::new());
        }
    }
    let mut wire = Vec::new();
    for line in lines {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(&line);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// A line of any octets but CR, LF and NUL: dots, blanks, 8-bit, up to 998 of them.
fn line(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => b".".to_vec(),
        1 => b"..".to_vec(),
        2 => [b".".as_slice(), &octets(dice, 20)].concat(),
        3 => b" \t ".to_vec(),
        4 => octets(dice, 998),
        5 => vec![b'.'; 998],
        6 => b"From nobody, an old mailbox".to_vec(),
        _ => octets(dice, 80),
    }
}

fn octets(dice: &mut Dice, limit: usize) -> Vec<u8> {
    (0..dice.below(limit + 1))
        .map(|_| match u8::try_from(dice.below(256)).unwrap() {
            0 | b'\r' | b'\n' => b'.',
            octet => octet,
        })
        .collect()
}

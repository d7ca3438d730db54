use proptest::prelude::*;

use super::*;

type Replies = Result<Vec<String>, ClientFault>;

fn read(expected: &[Expect], pieces: &[&[u8]]) -> Replies {
    let mut client = Client::new(1000);
    for &expect in expected {
        client.command(expect, &[b"X"]);
    }
    let mut replies = Vec::new();
    for piece in pieces {
        client.input().extend_from_slice(piece);
        while let Some((_, reply)) = client.next_reply()? {
            replies.push(reply.to_string());
        }
    }
    Ok(replies)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the table reads better without &"
)]
fn check(expected: &[Expect], input: &[u8], replies: Replies) {
    assert_eq!(read(expected, &[input]), replies, "whole");
    if replies.is_ok() {
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(expected, &bytes), replies, "byte by byte");
    }
}

fn fine(replies: &[&str]) -> Replies {
    Ok(replies.iter().map(|&reply| reply.to_owned()).collect())
}

const RCPT: Expect = Expect::Rcpt(0);

#[test]
fn replies_are_matched_to_their_commands() {
    check(
        &[Expect::Mail, RCPT, Expect::Data],
        b"250 2.1.0 Ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n354 go\r\n",
        fine(&["250 2.1.0 Ok", "550 5.1.1 no / such user", "354 3.0.0 go"]),
    );
}

#[test]
fn a_missing_status_is_added_and_a_wrong_one_replaced() {
    check(&[RCPT], b"550 no\r\n", fine(&["550 5.0.0 no"]));
    check(&[RCPT], b"450\r\n", fine(&["450 4.0.0 "]));
    check(&[RCPT], b"550 4.1.1 no\r\n", fine(&["550 5.0.0 no"]));
}

#[test]
fn h8b_a_detail_of_three_digits_stays() {
    check(
        &[RCPT],
        b"550 5.7.509 Access denied\r\n",
        fine(&["550 5.7.509 Access denied"]),
    );
}

#[test]
fn h8_lines_with_different_codes_are_a_fault() {
    check(
        &[RCPT],
        b"250-first\r\n550 second\r\n",
        Err(ClientFault::Malformed),
    );
}

#[test]
fn x40_a_reply_has_a_limit() {
    check(
        &[RCPT],
        "250-x\r\n".repeat(1000).as_bytes(),
        Err(ClientFault::TooLong),
    );
    check(
        &[RCPT],
        "2".repeat(2000).as_bytes(),
        Err(ClientFault::TooLong),
    );
}

#[test]
fn x41_a_stray_reply_answers_nothing() {
    check(&[RCPT], b"250 ok\r\n250 ok\r\n", Err(ClientFault::Unasked));
    check(&[RCPT], b"354 ok\r\n", Err(ClientFault::WrongCode(354)));
    check(
        &[Expect::Data],
        b"250 ok\r\n",
        Err(ClientFault::WrongCode(250)),
    );
    check(
        &[Expect::Mail],
        b"220 ok\r\n",
        Err(ClientFault::WrongCode(220)),
    );
    check(
        &[Expect::EndOfData],
        b"354 ok\r\n",
        Err(ClientFault::WrongCode(354)),
    );
    check(&[], b"2", Err(ClientFault::Unasked));
}

#[test]
fn x42_control_bytes_of_the_upstream_go_no_further() {
    check(
        &[RCPT],
        b"550 5.1.1 \x1b[2Jno\x07 \xff\r\n",
        fine(&["550 5.1.1 ?[2Jno? ?"]),
    );
}

#[test]
fn a5_what_must_not_be_shown_is_taken_out() {
    let mut client = Client::new(1000);
    client.command(Expect::Mail, &[b"MAIL"]);
    let token = "TOKEN234".repeat(8);
    let input = format!("550-5.1.8 <{token}@a> no\r\n550 5.1.8 tok\r\n");
    client.input().extend_from_slice(input.as_bytes());
    let (_, reply) = client.next_reply().unwrap().unwrap();
    let cleaned = reply.clone().without_tokens();
    assert_eq!(cleaned.text(), "<...@a> no tok");
    assert_eq!((cleaned.code(), cleaned.status()), (550, reply.status()));
    assert_eq!(cleaned.clone().without_tokens(), cleaned);
}

#[test]
fn malformed_lines_are_a_fault() {
    for input in [
        &b"hello\r\n"[..],
        b"\r\n",
        b"25\r\n",
        b"999 x\r\n",
        b"250_x\r\n",
        b"150 x\r\n",
    ] {
        check(&[RCPT], input, Err(ClientFault::Malformed));
    }
}

#[test]
fn w4_a_command_never_breaks_into_two() {
    let mut client = Client::new(1000);
    client.command(Expect::Mail, &[b"MAIL FROM:", b"<a\r\nRCPT TO:<b>\0>"]);
    assert_eq!(&client.output()[..], b"MAIL FROM:<aRCPT TO:<b>>\r\n");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[Expect::Mail, RCPT, Expect::Data], &[&bytes]);
    }
}

//! What a returned message may cost, and what an open connection may hold on to.

use std::time::Duration;

use sendgate::suppression::Tenant;
use sendgate::timestamp::Timestamp;
use sendgate::token::TokenKind;

use super::{B, Believer, C, DAY, SECRET, gone, hand_in, metrics, report, sign};
use crate::harness::RedisServer;

/// The return path of a message whose recipient or set is this number.
fn numbered(number: u8, at: Timestamp) -> String {
    let kind = if number.is_multiple_of(2) {
        TokenKind::Recipient
    } else {
        TokenKind::Transaction
    };
    sign(SECRET, &Tenant::default(), kind, [number; 16], at)
}

#[test]
fn b7_x51_a_hundred_addresses_and_a_thousand_recipients_are_bounded() {
    let believer = Believer::start();
    let mut client = believer.mx();
    client.say("MAIL FROM:<>", "250 ");
    for number in 0..100 {
        let path = numbered(number, Timestamp::now());
        client.say(&format!("RCPT TO:<{path}>"), "250 ");
    }
    // RFC 5321 §4.5.3.1.8 demands a hundred, and no more are taken here.
    let path = numbered(100, Timestamp::now());
    client.say(&format!("RCPT TO:<{path}>"), "452 4.5.3");
    let groups: String = (0..1000)
        .map(|number| gone(&format!("r{number}@example.net")))
        .collect();
    client.say("DATA", "354 ");
    client.send(format!("{}.\r\n", report(&groups)));
    let reply = client.try_reply(Duration::from_secs(30)).unwrap();
    assert_eq!(reply.code(), 250, "{reply:?}");
    assert_eq!(believer.counts("r7@example.net"), (0, 0));
}

#[test]
fn w11_what_is_too_large_is_refused_whatever_else_is_wrong_with_it() {
    let believer = Believer::start_with(|options| options.limits("report_size_limit = 100000"));
    let path = believer.return_path(B);
    let mut client = believer.mx();
    let bare = |lines| format!("a bare\nline feed\r\n{}", "0123456789\r\n".repeat(lines));
    hand_in(&mut client, &path, &bare(10_000), "552 5.3.4");
    hand_in(&mut client, &path, &bare(100), "250 ");
    client.say("MAIL FROM:<>", "250 ");
    client.say(&format!("RCPT TO:<{path}>"), "250 ");
    client.say("DATA", "354 ");
    client.send(bare(20_000));
    client.expect("421 4.7.0");
}

#[test]
fn a6_an_open_connection_knows_the_key_of_now() {
    let believer = Believer::start();
    let mut client = believer.mx();
    hand_in(
        &mut client,
        &believer.return_path(B),
        &report(&gone(B)),
        "250 ",
    );
    let another = "another secret of this gateway";
    let key = believer.gateway.dir().path().join("return.key");
    std::fs::write(key, another).unwrap();
    believer.gateway.signal("HUP");
    believer.gateway.wait_for_stderr("configuration reloaded");
    let tenant = Tenant::default();
    let subject = believer.gateway.admin().key(C).parse().unwrap();
    let subject: &sendgate::suppression::RecipientKey = &subject;
    let kind = TokenKind::Recipient;
    let path = sign(
        another,
        &tenant,
        kind,
        *subject.as_bytes(),
        Timestamp::now(),
    );
    hand_in(&mut client, &path, &report(&gone(C)), "250 ");
    assert_eq!(believer.counts(C), (1, 0));
}

#[test]
fn a_lost_label_takes_off_everything_and_is_told() {
    let believer = Believer::start();
    let address = believer.labelled(TokenKind::Unsubscribe, B, 4711);
    let mail = "From: b@example.net\r\nSubject: unsubscribe\r\n\r\n";
    hand_in(&mut believer.mx(), &address, mail, "250 ");
    let record = believer.record(B);
    assert!(record["opt_outs"]["*"].is_object(), "{record}");
    believer.gateway.wait_for_stderr("opt-out of everything");
    assert!(metrics(&believer.gateway).contains("sendgate_labels_lost_total 1"));
}

#[test]
fn b1_unreadable_addresses_are_counted_and_the_order_of_commands_comes_first() {
    let believer = Believer::start();
    let mut client = believer.mx();
    let long = format!("RCPT TO:<{}@returns.example.com>", "a".repeat(65));
    client.say(&long, "503 5.5.1");
    client.say("MAIL FROM:<>", "250 ");
    client.say(&long, "550 5.1.1 No such address here");
    let line = "sendgate_returns_refused_total{why=\"unreadable\"} 1";
    assert!(metrics(&believer.gateway).contains(line));
}

#[test]
fn a5_an_address_that_we_signed_is_neither_logged_nor_kept() {
    let believer = Believer::start_with(|options| options.extra("[trace]\nlevel = \"debug\""));
    let mut client = believer.mx();
    let path = believer.return_path(B);
    for status in ["5.7.1 blocked", "5.1.1 user unknown"] {
        let code = &status[..5];
        let group = super::group(
            B,
            &format!(
                "Action: failed\r\nStatus: {code}\r\n\
                 Diagnostic-Code: smtp; 550 {status}, said to <{path}>\r\n"
            ),
        );
        hand_in(&mut client, &path, &report(&group), "250 ");
    }
    assert_eq!(believer.counts(B), (1, 0));
    let local = path.split('@').next().unwrap();
    let history = believer
        .gateway
        .admin()
        .get(&format!("/v1/recipients/{B}/history"));
    assert!(
        history.body.contains("said to <...@returns"),
        "{}",
        history.body
    );
    assert!(!history.body.contains(local), "{}", history.body);
    believer
        .gateway
        .wait_for_stderr("no fault of its recipient");
    assert!(!believer.gateway.stderr().contains(local));
}

#[test]
fn a5_a_hashed_log_hides_addresses_in_the_words_of_others() {
    let believer = Believer::start_with(|options| options.env("SENDGATE_LOG_ADDRESSES", "hashed"));
    let path = believer.return_path(B);
    let group = super::group(
        B,
        "Action: failed\r\nStatus: 5.7.1\r\n\
         Diagnostic-Code: smtp; 550 5.7.1 <secret@example.net>: your host is on a block list\r\n",
    );
    hand_in(&mut believer.mx(), &path, &report(&group), "250 ");
    believer
        .gateway
        .wait_for_stderr("<*@example.net>: your host");
    assert!(!believer.gateway.stderr().contains("secret"));
}

#[test]
fn b6_who_brings_a_report_does_not_wait_for_a_slow_store_for_ever() {
    let redis = RedisServer::start();
    let believer = Believer::start_with(|options| {
        options
            .store_url(&redis.url())
            .env("SENDGATE_STORE_TIMEOUT", "1m")
            .timeouts("learning = \"300ms\"")
    });
    let path = believer.return_path(B);
    let mut client = believer.mx();
    redis.freeze();
    hand_in(&mut client, &path, &report(&gone(B)), "451 4.3.0");
    redis.thaw();
    hand_in(&mut client, &path, &report(&gone(B)), "250 ");
    assert_eq!(believer.counts(B), (1, 0));
}

#[test]
fn b4_what_is_older_than_events_are_remembered_teaches_nothing() {
    let believer = Believer::start_with(|options| {
        let options = options.returns("trusted = [\"127.0.0.0/8\"]");
        options.extra("[learning]\nremember = \"35days\"")
    });
    let mut client = believer.mx();
    let address = |recipient, days| {
        let at = Timestamp::now().minus(DAY * days);
        believer.address(TokenKind::Recipient, recipient, at)
    };
    hand_in(&mut client, &address(B, 36), &report(&gone(B)), "250 ");
    hand_in(&mut client, &address(C, 34), &report(&gone(C)), "250 ");
    assert_eq!(believer.counts(B), (0, 0));
    assert_eq!(believer.counts(C), (1, 0));
}

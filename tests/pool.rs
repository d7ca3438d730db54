//! Connections that are kept for the next transaction, and what they are told (R11 to R14).

use crate::harness::{Act, Client, FakeUpstream, Gateway, Moment, Options, plain_gateway};

#[test]
fn r11_the_clients_address_is_passed_where_it_is_wanted() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "XFORWARD" => Act::Say("250 2.0.0 fine"),
        _ => Act::Usual,
    });
    upstream.offer(&["XFORWARD NAME ADDR PROTO HELO"]);
    let gateway = Options::before(&upstream).start();
    let from = |host: u8| {
        let source = std::net::IpAddr::from([127, 0, 0, host]);
        let mut client = Client::connect_from(source, gateway.smtp());
        client.say("EHLO client.example", "250 ");
        client.deliver("b@example.net", "250 ");
    };
    // One kept connection, and each transaction tells its own client.
    from(21);
    from(22);
    let told = upstream.commands_of("XFORWARD");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("ADDR=127.0.0.21"), "{told:?}");
    assert!(told[1].contains("ADDR=127.0.0.22"), "{told:?}");
    let messages = upstream.messages();
    assert_eq!(messages[0].connection, messages[1].connection);
}

#[test]
fn r11_nothing_is_told_to_an_upstream_that_did_not_ask() {
    let (upstream, gateway) = plain_gateway();
    gateway.client().deliver("b@example.net", "250 ");
    assert!(upstream.commands_of("XFORWARD").is_empty());
    assert!(upstream.commands_of("XCLIENT").is_empty());
}

#[test]
fn r12_a_connection_is_kept_and_reset_between_transactions() {
    let (upstream, gateway) = plain_gateway();
    for _ in 0..3 {
        gateway.client().deliver("b@example.net", "250 ");
    }
    let messages = upstream.messages();
    assert!(
        messages
            .iter()
            .all(|m| m.connection == messages[0].connection)
    );
    let transactions: Vec<_> = upstream
        .commands()
        .into_iter()
        .filter(|line| !line.starts_with("EHLO"))
        .collect();
    let resets = transactions.iter().filter(|line| *line == "RSET").count();
    assert!(resets >= 2, "{transactions:?}");
    for pair in transactions.windows(2) {
        if pair[1].starts_with("MAIL") {
            assert_eq!(pair[0], "RSET", "{transactions:?}");
        }
    }
}

#[test]
fn r12_a_connection_that_refuses_rset_is_not_used() {
    let (upstream, gateway) = kept_by(|moment| match moment.verb {
        "RSET" => Act::Say("502 5.5.1 what is that"),
        _ => Act::Usual,
    });
    for _ in 0..3 {
        gateway.client().deliver("b@example.net", "250 ");
    }
    let connections: std::collections::HashSet<_> =
        upstream.messages().iter().map(|m| m.connection).collect();
    assert_eq!(connections.len(), 3);
}

#[test]
fn r12_a_connection_that_was_closed_meanwhile_is_replaced_unnoticed() {
    let (upstream, gateway) = kept_by(|moment| match (moment.verb, moment.overall) {
        ("RSET", 0..3) => Act::Close,
        _ => Act::Usual,
    });
    for _ in 0..3 {
        gateway.client().deliver("b@example.net", "250 ");
    }
    assert_eq!(upstream.messages().len(), 3);
}

#[test]
fn r12_f8_words_behind_the_last_reply_end_the_connection() {
    let (upstream, gateway) = kept_by(|moment| match (moment.verb, moment.overall) {
        (".", 0) => Act::Raw(b"250 2.0.0 fine\r\n250 2.0.0 and again\r\n".to_vec()),
        _ => Act::Usual,
    });
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 2.0.0 fine");
    client.deliver("c@example.net", "250 ");
    let messages = upstream.messages();
    assert_eq!(messages.len(), 2);
    assert_ne!(messages[0].connection, messages[1].connection);
}

#[test]
fn r14_a_transaction_without_data_is_never_begun_twice() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for number in 0..5 {
        client.say(&format!("RCPT TO:<r{number}@example.net>"), "250 ");
    }
    client.data("Subject: a\r\n\r\n");
    client.expect("250 ");
    assert_eq!(upstream.commands_of("MAIL").len(), 1);
    assert_eq!(upstream.commands_of("RCPT").len(), 5);
    assert_eq!(upstream.commands_of("DATA").len(), 1);
}

fn kept_by(script: impl Fn(&Moment<'_>) -> Act + Send + Sync + 'static) -> (FakeUpstream, Gateway) {
    let upstream = FakeUpstream::scripted(script);
    let gateway = Options::before(&upstream).start();
    (upstream, gateway)
}

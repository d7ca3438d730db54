//! X22 to X25: other ways to write an address that opted out.

use crate::harness::{Client, Gateway, each_way, plain_gateway};

const OUT: &str = "opted.out@example.com";

/// Every way of sending the RCPT gives this reply.
fn check(client: &mut Client, path: &str, expected: &str) {
    let line = format!("RCPT TO:{path}\r\n");
    for pieces in each_way(line.as_bytes()) {
        let count = pieces.len();
        client.send_pieces(pieces);
        let reply = client.reply();
        assert!(
            reply.last_line().starts_with(expected),
            "{path} in {count} pieces: expected {expected}, heard {reply:?}"
        );
    }
}

fn international(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com> SMTPUTF8", "250 ");
    client
}

#[test]
fn x22_e2_spellings_of_one_address_have_one_key() {
    let (upstream, gateway) = plain_gateway();
    gateway.admin().opt_out(OUT);
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for path in [
        "<\"Opted.Out\"@Example.COM>",
        "<OPTED.OUT@example.com>",
        "<\"opted\\.out\"@example.com>",
        "<opted.out@example.com.>",
        "<@a.example,@b.example:opted.out@example.com>",
    ] {
        check(&mut client, path, "550 5.7.1 ");
    }
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn x23_e2_addresses_inside_a_local_part_are_refused() {
    let (upstream, gateway) = plain_gateway();
    gateway.admin().opt_out(OUT);
    for path in [
        "<opted.out%example.com@relay.example>",
        "<example.com!opted.out@relay.example>",
        "<\"opted.out@example.com\"@relay.example>",
    ] {
        let line = format!("RCPT TO:{path}\r\n");
        for pieces in each_way(line.as_bytes()) {
            let mut client = gateway.client();
            client.say("MAIL FROM:<a@example.com>", "250 ");
            client.send_pieces(pieces);
            let reply = client.reply();
            assert!((500..600).contains(&reply.code()), "{path}: {reply:?}");
        }
    }
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn x24_e2_international_spellings_of_one_address_have_one_key() {
    let (upstream, gateway) = plain_gateway();
    gateway.admin().opt_out("opted@bücher.example");
    let mut client = international(&gateway);
    for path in [
        "<OPTED@b\u{fc}cher.example>",
        "<opted@xn--bcher-kva.example>",
        "<opted@BU\u{308}CHER.example>",
    ] {
        check(&mut client, path, "550 5.7.1 ");
    }
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn x25_full_width_letters_in_the_local_part_are_another_person() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    admin.opt_out(OUT);
    let other = "ｏｐｔｅｄ.ｏｕｔ@example.com";
    assert_ne!(admin.key(OUT), admin.key(other));
    let mut client = international(&gateway);
    check(&mut client, &format!("<{other}>"), "250 ");
    // Another person, and never an unchecked one.
    admin.opt_out(other);
    check(&mut client, &format!("<{other}>"), "550 5.7.1 ");
}

#[test]
fn x25_full_width_letters_in_the_domain_are_the_same_domain() {
    let (_upstream, gateway) = plain_gateway();
    gateway.admin().opt_out(OUT);
    let mut client = international(&gateway);
    check(&mut client, "<opted.out@ｅｘａｍｐｌｅ.com>", "550 5.7.1 ");
}

#[test]
fn x25_an_address_literal_has_a_key_of_its_own() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    admin.opt_out(OUT);
    let literal = "opted.out@[IPv6:2001:db8::1]";
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    check(&mut client, &format!("<{literal}>"), "250 ");
    admin.opt_out(literal);
    check(&mut client, &format!("<{literal}>"), "550 5.7.1 ");
    check(&mut client, "<opted.out@[ipv6:2001:DB8::1]>", "550 5.7.1 ");
}

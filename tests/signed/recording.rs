//! The recipients of a transaction to several are recorded before its final dot goes upstream (B10, F20).

use sendgate::store::Store;
use sendgate::store::embedded::EmbeddedStore;
use sendgate::token::{Token, TokenKind};

use super::{MESSAGE, signing, signing_gateway, token};
use crate::harness::{Act, FakeUpstream, Gateway, Options, RedisServer, eventually};

/// A gateway that signs, over this Redis.
fn shared(upstream: &FakeUpstream, redis: &RedisServer) -> Options {
    signing(upstream)
        .store_url(&redis.url())
        .env("SENDGATE_RETURN_PATH_KEY", "0123456789abcdef")
}

#[test]
fn b10_recipients_that_come_together_are_one_set() {
    let (upstream, gateway) = signing_gateway();
    gateway.admin().opt_out("out@example.net");
    let mut client = gateway.client();
    client.send(
        "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n\
         RCPT TO:<out@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n",
    );
    for code in ["250 ", "250 ", "550 5.7.1", "250 ", "354 "] {
        client.expect(code);
    }
    client.send(format!("{MESSAGE}.\r\n"));
    client.expect("250 ");
    let message = upstream.message();
    let token = token(&gateway, &message.mail);
    assert_eq!(token.kind, TokenKind::Transaction);
    assert_eq!(message.original(), MESSAGE.as_bytes());
    assert_eq!(upstream.commands_of("MAIL").len(), 1);
    let both = ["b@example.net", "c@example.net"];
    assert_eq!(recorded(gateway, &token), both);
}

/// The set grows until DATA, and those that the upstream refused are not in it.
#[test]
fn b10_the_set_has_who_was_accepted_and_nobody_else() {
    let upstream = FakeUpstream::scripted(|moment| match moment.line {
        "RCPT TO:<nobody@example.net>" => Act::Say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let gateway = signing(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.say("RCPT TO:<nobody@example.net>", "550 5.1.1");
    client.say("RCPT TO:<c@example.net>", "250 ");
    client.say("RCPT TO:<postmaster>", "250 ");
    client.data(MESSAGE);
    client.expect("250 ");
    let token = token(&gateway, &upstream.message().mail);
    let both = ["b@example.net", "c@example.net"];
    assert_eq!(recorded(gateway, &token), both);
}

/// A header takes out one of two who came together: the set that stays is one.
#[test]
fn b10_whom_the_header_takes_out_is_not_in_the_set() {
    let (upstream, gateway) = signing_gateway();
    let scope = "list:news.example.com";
    gateway.admin().opt_out_of("out@example.net", scope);
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net", "out@example.net"]);
    client.data(format!("List-Id: <news.example.com>\r\n{MESSAGE}"));
    client.expect("250 ");
    let message = upstream.message();
    assert_eq!(message.recipients.len(), 2);
    let token = token(&gateway, &message.mail);
    let both = ["b@example.net", "c@example.net"];
    assert_eq!(recorded(gateway, &token), both);
}

/// Which of a few addresses are recorded for a transaction, in the store of a gateway that has ended.
#[track_caller]
fn recorded(mut gateway: Gateway, token: &Token) -> Vec<&'static str> {
    let known = [
        "b@example.net",
        "c@example.net",
        "out@example.net",
        "nobody@example.net",
    ];
    let keys = known.map(|address| gateway.admin().key(address));
    gateway.kill();
    let store = EmbeddedStore::open(&gateway.dir().path().join("store.redb")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sent = runtime.block_on(async {
        let meta = store.meta().await.unwrap().unwrap();
        store.expect_generation(&meta.generation);
        store.sent(&token.tenant, &token.subject).await.unwrap()
    });
    let sent: Vec<_> = sent.unwrap().iter().map(ToString::to_string).collect();
    let found: Vec<_> = known
        .into_iter()
        .zip(keys)
        .filter_map(|(address, key)| sent.contains(&key).then_some(address))
        .collect();
    assert_eq!(sent.len(), found.len(), "{sent:?}");
    found
}

#[test]
fn f20_killed_after_the_recipients_are_recorded() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let options = shared(&upstream, &redis);
    let mut gateway = options.clone().start();
    let mut client = gateway.client();
    let before = redis.command("DBSIZE");
    client.envelope(&["b@example.net", "c@example.net"]);
    client.say("DATA", "354 ");
    client.send(MESSAGE);
    // A label, and the set.
    let two_more = |size: &str| number(size) >= number(&before) + 2;
    eventually("the recipients to be recorded", || {
        two_more(&redis.command("DBSIZE")).then_some(())
    });
    gateway.kill();
    client.rest();
    upstream.wait_closed(1);
    assert!(upstream.messages().is_empty());
    let gateway = options.dir(&gateway.dir()).start();
    gateway.client().deliver("b@example.net", "250 ");
}

fn number(reply: &str) -> u64 {
    reply.trim().trim_start_matches(':').parse().unwrap()
}

#[test]
fn b10_without_a_record_of_the_recipients_no_dot_is_sent() {
    let mut redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let gateway = shared(&upstream, &redis).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    redis.kill();
    client.data(MESSAGE);
    client.expect("451 4.3.0");
    assert!(upstream.messages().is_empty());
    let said = String::from_utf8_lossy(&upstream.heard()).into_owned();
    assert!(!said.contains("\r\n.\r\n"), "{said}");
    redis.restart_and_wait();
    assert_eq!(gateway.wait_for_log(2)[0]["outcome"], "aborted");
}

#[test]
fn b10_a_frozen_store_holds_the_message_no_longer_than_it_may() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let gateway = shared(&upstream, &redis).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    redis.freeze();
    client.data(MESSAGE);
    client.expect("451 4.3.0");
    redis.thaw();
    assert!(upstream.messages().is_empty());
}

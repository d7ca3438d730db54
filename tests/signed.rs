//! The signed return path of what is relayed (B9, B10, E4, E6, W14, R8, R14).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendgate::suppression::Tenant;
use sendgate::timestamp::Timestamp;
use sendgate::token::{Label, Signer, Token, TokenKind};

use crate::harness::{
    Act, Certificate, Client, FakeUpstream, Gateway, Options, RedisServer, eventually,
};

const RETURN_PATH: &str = "[return_path]\ndomain = \"Returns.Example.com\"";
const MESSAGE: &str = "Subject: a\r\n\r\nHello.\r\n";

/// A gateway that signs, in front of this upstream.
fn signing(upstream: &FakeUpstream) -> Options {
    Options::before(upstream).extra(RETURN_PATH)
}

fn signing_gateway() -> (FakeUpstream, Gateway) {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    (upstream, gateway)
}

/// What checks the tokens of this gateway.
fn signer(gateway: &Gateway) -> Signer {
    let file = gateway.dir().path().join("data/return-path.key");
    let key = std::fs::read_to_string(file).unwrap();
    Signer::new([key.trim().as_bytes()], Duration::from_secs(30 * 86_400))
}

/// The local part of the path in a MAIL command.
#[track_caller]
fn local_part(mail: &str) -> &str {
    let path = mail.strip_prefix("MAIL FROM:<").unwrap();
    let (local_part, rest) = path.split_once('@').unwrap();
    assert!(rest.starts_with("returns.example.com>"), "{mail}");
    local_part
}

/// What the return path of a MAIL command says.
#[track_caller]
fn token(gateway: &Gateway, mail: &str) -> Token {
    let tenants = [Tenant::default()];
    let checked = signer(gateway).check(local_part(mail), &tenants, Timestamp::now());
    checked.unwrap()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The verbs of the commands that were heard since this many.
fn verbs(upstream: &FakeUpstream, since: usize) -> String {
    let verbs: Vec<_> = upstream.commands()[since..]
        .iter()
        .map(|line| line[..4].to_owned())
        .collect();
    verbs.join(" ")
}

fn campaign_label(campaign: Option<&str>) -> u32 {
    let label = Label {
        stream: Some("campaign".to_owned()),
        campaign: campaign.map(str::to_owned),
        ..Label::default()
    };
    label.tag(0)
}

/// One recipient: the path says whom, and it costs not one command more.
#[test]
fn r14_one_recipient_is_named_in_the_return_path_at_no_cost() {
    let (upstream, gateway) = signing_gateway();
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 ");
    let before = upstream.commands().len();
    client.deliver("c@example.net", "250 ");
    assert_eq!(verbs(&upstream, before), "RSET MAIL RCPT DATA");

    let messages = upstream.messages();
    for (message, address) in messages.iter().zip(["b@example.net", "c@example.net"]) {
        let token = token(&gateway, &message.mail);
        assert_eq!(token.kind, TokenKind::Recipient);
        assert_eq!(hex(&token.subject), gateway.admin().key(address));
        assert_eq!(token.label, campaign_label(None));
        let age = Timestamp::now().millis() - token.at.millis();
        assert!(age < 20_000, "{age}");
        assert_eq!(message.original(), MESSAGE.as_bytes());
        assert!(!message.text().contains(local_part(&message.mail)));
    }
    assert_ne!(local_part(&messages[0].mail), local_part(&messages[1].mail));
}

#[test]
fn parameters_of_mail_go_upstream_behind_the_signed_path() {
    let (upstream, gateway) = signing_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.data(MESSAGE);
    client.expect("250 ");
    let mail = upstream.message().mail;
    assert_eq!(token(&gateway, &mail).kind, TokenKind::Recipient);
    assert!(mail.ends_with("> SIZE=100 BODY=8BITMIME"), "{mail}");
}

#[test]
fn e4_the_null_reverse_path_is_relayed_as_it_is() {
    let (upstream, gateway) = signing_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.say("RCPT TO:<c@example.net>", "250 ");
    client.data(MESSAGE);
    client.expect("250 ");
    assert_eq!(upstream.message().mail, "MAIL FROM:<>");
    assert_eq!(upstream.commands_of("MAIL").len(), 1);
}

#[test]
fn e6_w14_dsn_is_not_offered_where_somebody_signs() {
    let dsn = |options: Options| {
        let gateway = options.start();
        let mut client = Client::connect(gateway.smtp());
        let offered = client.say("EHLO client.example", "250 ").offers("DSN");
        let expected = if offered { "250 " } else { "555 5.5.4" };
        client.say("MAIL FROM:<a@example.com> RET=HDRS ENVID=x", expected);
        client.say("RSET", "250 ");
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.say("RCPT TO:<b@example.net> NOTIFY=NEVER", expected);
        client.say(
            "RCPT TO:<c@example.net> ORCPT=rfc822;c@example.net",
            expected,
        );
        offered
    };
    let upstream = FakeUpstream::start();
    let listener = |keys: &str| signing(&upstream).listener(&format!("scopes = false\n{keys}"));
    assert!(!dsn(listener("")));
    assert!(dsn(listener("sign = false")));
    let not_by_default = format!("{RETURN_PATH}\nsign = false");
    let plain = Options::before(&upstream)
        .extra(&not_by_default)
        .listener("scopes = false");
    assert!(dsn(plain));
    // EHLO comes before AUTH: one user who signs counts for all (W14).
    let certificate = Arc::new(Certificate::new());
    let users = listener("sign = false").tls(&certificate);
    assert!(dsn(users.clone().user("plain", "secret", "")));
    assert!(!dsn(users.user("signs", "secret", "sign = true")));
}

#[test]
fn who_signs_is_chosen_by_listener_and_user() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = signing(&upstream)
        .listener("sign = false")
        .tls(&certificate)
        .user("signs", "secret", "sign = true")
        .start();
    gateway.client().deliver("b@example.net", "250 ");
    let mut client = gateway.client();
    client.start_tls(&certificate);
    client.say("EHLO client.example", "250 ");
    client.log_in("signs", "secret", "235 ");
    client.deliver("b@example.net", "250 ");
    let messages = upstream.messages();
    assert_eq!(messages[0].mail, "MAIL FROM:<a@example.com>");
    let label = Label {
        stream: Some("campaign".to_owned()),
        credential: Some("signs".to_owned()),
        ..Label::default()
    };
    assert_eq!(token(&gateway, &messages[1].mail).label, label.tag(0));
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
    assert_eq!(message.recipients.len(), 2);
    assert_eq!(message.original(), MESSAGE.as_bytes());
    assert_eq!(upstream.commands_of("MAIL").len(), 1);
}

/// As smtplib does it: one RCPT at a time, and some are refused.
#[test]
fn r14_recipients_that_come_one_by_one_are_one_set() {
    let upstream = FakeUpstream::scripted(|moment| match moment.line {
        "RCPT TO:<nobody@example.net>" => Act::Say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let gateway = signing(&upstream).start();
    gateway.admin().opt_out("out@example.net");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.say("RCPT TO:<out@example.net>", "550 5.7.1");
    client.say("RCPT TO:<nobody@example.net>", "550 5.1.1");
    client.say("RCPT TO:<c@example.net>", "250 ");
    let before = upstream.commands().len();
    client.data(MESSAGE);
    client.expect("250 ");
    assert_eq!(verbs(&upstream, before), "RSET MAIL RCPT RCPT DATA");
    let message = upstream.message();
    assert_eq!(token(&gateway, &message.mail).kind, TokenKind::Transaction);
    let recipients = ["RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>"];
    assert_eq!(message.recipients, recipients);
    assert_eq!(message.original(), MESSAGE.as_bytes());
}

/// The path that went out named the first; only the second was accepted.
#[test]
fn r14_a_return_path_never_names_a_recipient_that_was_refused() {
    let upstream = FakeUpstream::scripted(|moment| match moment.line {
        "RCPT TO:<nobody@example.net>" => Act::Say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let gateway = signing(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<nobody@example.net>", "550 5.1.1");
    client.say("RCPT TO:<c@example.net>", "250 ");
    client.data(MESSAGE);
    client.expect("250 ");
    let token = token(&gateway, &upstream.message().mail);
    assert_eq!(token.kind, TokenKind::Recipient);
    assert_eq!(hex(&token.subject), gateway.admin().key("c@example.net"));
}

#[test]
fn a_campaign_in_the_header_is_in_the_return_path() {
    let (upstream, gateway) = signing_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(format!("X-Sendgate-Campaign: spring\r\n{MESSAGE}"));
    client.expect("250 ");
    // DATA goes out in the same write.
    assert_eq!(verbs(&upstream, 1), "RSET MAIL RCPT RSET MAIL RCPT DATA");
    let message = upstream.message();
    let token = token(&gateway, &message.mail);
    assert_eq!(token.kind, TokenKind::Recipient);
    assert_eq!(token.label, campaign_label(Some("spring")));
    assert_eq!(message.original(), MESSAGE.as_bytes());
}

#[test]
fn an_upstream_without_pipelining_is_asked_one_thing_at_a_time() {
    let upstream = FakeUpstream::offering(&["SIZE 50000000"]);
    let gateway = signing(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    client.data(format!("X-Sendgate-Campaign: spring\r\n{MESSAGE}"));
    client.expect("250 ");
    assert_eq!(
        verbs(&upstream, 1),
        "RSET MAIL RCPT RCPT RSET MAIL RCPT RCPT DATA"
    );
    let token = token(&gateway, &upstream.message().mail);
    assert_eq!(token.kind, TokenKind::Transaction);
    assert_eq!(token.label, campaign_label(Some("spring")));
}

/// What the upstream took once it may refuse the second time: then nothing is sent.
#[test]
fn r14_a_recipient_refused_the_second_time_stops_the_message() {
    for pipelining in [true, false] {
        let upstream = FakeUpstream::scripted(|moment| match moment.line {
            "RCPT TO:<c@example.net>" if moment.nth > 1 => Act::Say("451 4.7.1 not so fast"),
            _ => Act::Usual,
        });
        if !pipelining {
            upstream.offer(&["SIZE 50000000"]);
        }
        let gateway = signing(&upstream).start();
        let mut client = gateway.client();
        client.envelope(&["b@example.net", "c@example.net"]);
        client.data(MESSAGE);
        client.expect("451 4.7.1 not so fast");
        assert!(upstream.messages().is_empty());
        // The session goes on, and so does the next message.
        client.deliver("d@example.net", "250 ");
        assert_eq!(upstream.messages().len(), 1);
    }
}

#[test]
fn a_refusal_of_data_after_a_new_envelope_is_told() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "DATA" if moment.overall == 0 => Act::Say("452 4.3.1 disk full"),
        _ => Act::Usual,
    });
    let gateway = signing(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    client.data(MESSAGE);
    client.expect("452 4.3.1 disk full");
    client.deliver("d@example.net", "250 ");
}

/// A refusal likes to quote what it heard; neither log nor client is shown the token.
#[test]
fn a5_no_reply_and_no_log_shows_a_token() {
    for verb in ["MAIL", "RCPT", "DATA", "."] {
        let heard = Mutex::new(String::new());
        let upstream = FakeUpstream::scripted(move |moment| {
            let mut path = heard.lock().unwrap();
            if moment.verb == "MAIL" {
                *path = moment.line["MAIL FROM:".len()..].to_uppercase();
            }
            if moment.verb == verb {
                return Act::Raw(format!("550 5.1.8 {path} is {path} unknown\r\n").into());
            }
            Act::Usual
        });
        let gateway = signing(&upstream).start();
        let mut client = gateway.client();
        client.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n");
        client.expect("250 ");
        let mut reply = client.reply();
        if reply.code() == 250 {
            client.data(MESSAGE);
            reply = client.reply();
        }
        let shown = "550 5.1.8 <...@RETURNS.EXAMPLE.COM> is <...@RETURNS.EXAMPLE.COM> unknown";
        assert_eq!(reply.last_line(), shown, "{verb}");
        client.quit();
        let line = gateway.wait_for_log(1)[0].to_string();
        let mail = upstream.commands_of("MAIL").remove(0);
        let token = local_part(&mail);
        assert!(!line.to_lowercase().contains(token), "{line}");
        assert!(!gateway.stderr().to_lowercase().contains(token));
    }
}

#[test]
fn f20_killed_after_the_recipients_are_recorded() {
    let redis = RedisServer::start();
    let upstream = FakeUpstream::start();
    let options = signing(&upstream).store_url(&redis.url());
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
    let gateway = signing(&upstream).store_url(&redis.url()).start();
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
    let gateway = signing(&upstream).store_url(&redis.url()).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net", "c@example.net"]);
    redis.freeze();
    client.data(MESSAGE);
    client.expect("451 4.3.0");
    redis.thaw();
    assert!(upstream.messages().is_empty());
}

#[test]
fn a6_keys_rotate_without_a_restart() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    let old = signer(&gateway);
    gateway.client().deliver("b@example.net", "250 ");

    let data = gateway.dir().path().join("data");
    let file = |name: &str| data.join(name).display().to_string();
    std::fs::rename(file("return-path.key"), file("previous.key")).unwrap();
    let config = gateway.dir().path().join("sendgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let previous = format!(
        "{RETURN_PATH}\nprevious_key_file = \"{}\"",
        file("previous.key")
    );
    std::fs::write(&config, text.replace(RETURN_PATH, &previous)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_stderr("configuration reloaded");

    gateway.client().deliver("b@example.net", "250 ");
    let messages = upstream.messages();
    let new = signer(&gateway);
    let check = |signer: &Signer, number: usize| {
        let path: &str = &messages[number].mail;
        let tenants = [Tenant::default()];
        signer
            .check(local_part(path), &tenants, Timestamp::now())
            .is_ok()
    };
    assert!(check(&old, 0) && !check(&old, 1));
    assert!(check(&new, 1) && !check(&new, 0));
}

#[test]
fn a6_a_key_from_the_environment_signs() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream)
        .env("SENDGATE_RETURN_PATH_KEY", "0123456789abcdef")
        .start();
    gateway.client().deliver("b@example.net", "250 ");
    assert!(!gateway.dir().path().join("data/return-path.key").exists());
    let signer = Signer::new([&b"0123456789abcdef"[..]], Duration::from_secs(60));
    let mail = upstream.message().mail;
    let checked = signer.check(local_part(&mail), &[Tenant::default()], Timestamp::now());
    assert_eq!(checked.unwrap().kind, TokenKind::Recipient);
}

const UNSUBSCRIBE: &str = "list_unsubscribe = true";

/// What the List-Unsubscribe field that was added says, and its address.
#[track_caller]
fn unsubscribe(gateway: &Gateway, text: &str) -> Token {
    let field = "List-Unsubscribe:\r\n\t<mailto:";
    let at = text.find(field).unwrap_or_else(|| panic!("{text}"));
    let (local_part, rest) = text[at + field.len()..].split_once('@').unwrap();
    let end = "returns.example.com?subject=unsubscribe>\r\n";
    assert!(rest.starts_with(end), "{text}");
    let tenants = [Tenant::default()];
    let checked = signer(gateway).check(local_part, &tenants, Timestamp::now());
    checked.unwrap()
}

#[test]
fn r8_u9_a_message_to_one_gets_an_unsubscribe_address() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).listener(UNSUBSCRIBE).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\r\nList-Id: News <News.example.com>\r\n\r\n..Hello.\r\n");
    client.expect("250 ");
    let text = upstream.message().text();
    let token = unsubscribe(&gateway, &text);
    assert_eq!(token.kind, TokenKind::Unsubscribe);
    assert_eq!(hex(&token.subject), gateway.admin().key("b@example.net"));
    let label = Label {
        stream: Some("campaign".to_owned()),
        scope: Some("list:news.example.com".to_owned()),
        ..Label::default()
    };
    assert_eq!(token.label, label.tag(0));
    // It is the last of the header, and the body is as it was.
    assert!(text.ends_with("subject=unsubscribe>\r\n\r\n..Hello.\r\n"));
    assert!(!text.contains("b@example.net?") && !text.contains("List-Unsubscribe-Post"));
}

#[test]
fn r8_u10_no_unsubscribe_address_where_it_would_be_wrong() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).listener(UNSUBSCRIBE).start();
    let mut client = gateway.client();
    for header in [
        "List-Unsubscribe: <mailto:stop@example.com>\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256\r\n",
    ] {
        client.envelope(&["b@example.net"]);
        client.data(format!("{header}{MESSAGE}"));
        client.expect("250 ");
    }
    client.envelope(&["b@example.net", "c@example.net"]);
    client.data(MESSAGE);
    client.expect("250 ");
    for message in upstream.messages() {
        assert!(!message.text().contains("returns.example.com"));
    }
    // And not unless a listener is told to.
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    gateway.client().deliver("b@example.net", "250 ");
    assert_eq!(upstream.message().original(), MESSAGE.as_bytes());
}

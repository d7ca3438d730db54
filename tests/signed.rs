//! The signed return path of what is relayed (B9, B10, E4, E6, W14, R8, R14).

mod keys;
mod recording;
mod unsubscribe;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendgate::suppression::Tenant;
use sendgate::timestamp::Timestamp;
use sendgate::token::{Label, Signer, Token, TokenKind};

use crate::harness::{Act, Certificate, Client, FakeUpstream, Gateway, Options};

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

/// Anybody may write to a relay domain; what they name would fill the store.
#[test]
fn a_strangers_campaign_is_not_kept() {
    let upstream = FakeUpstream::start();
    let strangers = "clients = []\nrelay_domains = [\"example.net\"]\nlist_unsubscribe = true";
    let gateway = signing(&upstream).listener(strangers).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(format!(
        "X-Sendgate-Campaign: spring\r\nList-Id: <news.example.com>\r\n{MESSAGE}"
    ));
    client.expect("250 ");
    let message = upstream.message();
    let token = token(&gateway, &message.mail);
    assert_eq!(token.label, campaign_label(None));
    let original = String::from_utf8(message.original()).unwrap();
    assert!(!original.contains("List-Unsubscribe"), "{original}");
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

/// One that is no good any more must not make the client give up the others.
#[test]
fn r14_a_recipient_refused_for_good_the_second_time_is_no_bounce_of_the_others() {
    let gone = "550 5.1.1 no such user";
    for (recipients, told) in [
        (&["b@example.net", "c@example.net"][..], "451 4.4.0"),
        (&["c@example.net"], gone),
    ] {
        let upstream = FakeUpstream::scripted(move |moment| match moment.line {
            "RCPT TO:<c@example.net>" if moment.nth >= recipients.len() => Act::Say(gone),
            _ => Act::Usual,
        });
        let gateway = signing(&upstream).start();
        let mut client = gateway.client();
        client.envelope(recipients);
        client.data(format!("X-Sendgate-Campaign: spring\r\n{MESSAGE}"));
        client.expect(told);
        client.quit();
        assert!(upstream.messages().is_empty());
        let lines = gateway.wait_for_log(recipients.len());
        assert!(lines[0].to_string().contains(gone), "{}", lines[0]);
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

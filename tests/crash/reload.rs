//! Starting and reloading: what is wrong is said, and what was in force stays so (C5, S8, F24).

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use super::start_fails;
use crate::harness::{Act, Certificate, Client, FakeUpstream, Gateway, Options};

#[test]
fn c5_a_wrong_configuration_fails_before_any_port_is_bound() {
    let port = free_port();
    let options = Options::default()
        .env("SENDGATE_SMTP_0_LISTEN", &format!("127.0.0.1:{port}"))
        .limits("recipient_limt = 5");
    let said = start_fails(options);
    assert!(said.contains("sendgate.toml"), "{said}");
    assert!(said.contains("recipient_limt"), "{said}");
    assert!(!said.contains("listening"), "{said}");
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn a_second_gateway_on_the_same_port_says_what_to_do() {
    let upstream = FakeUpstream::start();
    let first = Options::before(&upstream).start();
    let taken = first.smtp().to_string();
    let said = start_fails(Options::before(&upstream).env("SENDGATE_SMTP_0_LISTEN", &taken));
    assert!(said.contains(&taken), "{said}");
    assert!(said.contains("smtp.listen"), "{said}");
    assert!(said.contains("another program listens there"), "{said}");
    first.client().deliver("b@example.net", "250 ");
}

#[test]
fn a_second_gateway_on_the_same_embedded_store_says_what_to_do() {
    let upstream = FakeUpstream::start();
    let first = Options::before(&upstream).start();
    let url = format!(
        "embedded:{}",
        first.dir().path().join("store.redb").display()
    );
    let said = start_fails(Options::before(&upstream).store_url(&url));
    assert!(said.contains("store.redb"), "{said}");
    assert!(said.contains("another"), "{said}");
}

#[test]
fn s8_a_store_with_another_pepper_stops_the_start() {
    let upstream = FakeUpstream::start();
    let mut first = Options::before(&upstream).start();
    first.admin().opt_out("out@example.net");
    first.kill();
    let pepper = first.dir().path().join("data/pepper");
    let mut written = std::fs::read(&pepper).unwrap();
    written[0] = if written[0] == b'a' { b'b' } else { b'a' };
    std::fs::write(&pepper, written).unwrap();
    let said = start_fails(Options::before(&upstream).dir(&first.dir()));
    assert!(said.contains("pepper"), "{said}");
}

#[test]
fn s8_an_upstream_that_is_down_does_not_keep_the_gateway_from_starting() {
    let port = free_port();
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{port}"))
        .start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "451 4.4.1 ");
    client.say("RSET", "250 ");
    // It comes up, and nobody has to start anything again (F1).
    let upstream = FakeUpstream::on_port(port);
    client.deliver("b@example.net", "250 ");
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn c5_sighup_reads_the_configuration_again_and_a_bad_one_changes_nothing() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("suppressed = \"reject\"")
        .start();
    gateway.admin().opt_out("out@example.net");
    let config = gateway.dir().path().join("sendgate.toml");
    let good = std::fs::read_to_string(&config).unwrap();

    for bad in [
        good.replace("\"reject\"", "\"discrad\""),
        good.replace("[upstream]", "[upstraem]"),
        "this is no configuration".to_owned(),
    ] {
        reload(&gateway, &config, &bad, "the old one stays in force");
        assert_eq!(at_rcpt(&gateway), 550);
    }
    std::fs::remove_file(&config).unwrap();
    reload_as_it_is(&gateway, "the old one stays in force");
    assert_eq!(at_rcpt(&gateway), 550);

    let mut open = gateway.client();
    let discards = good.replace("\"reject\"", "\"discard\"");
    reload(&gateway, &config, &discards, "configuration reloaded");
    assert_eq!(at_rcpt(&gateway), 250);
    // A session that is open keeps the rules it began with.
    open.say("MAIL FROM:<a@example.com>", "250 ");
    open.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
    open.quit();
    gateway.client().deliver("b@example.net", "250 ");
}

#[test]
fn c5_rules_of_bounces_are_read_again_and_bad_ones_change_nothing() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "RCPT" => Act::Say("550 5.0.0 this bird has flown away"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let config = gateway.dir().path().join("sendgate.toml");
    let rules = gateway.dir().path().join("rules.toml");
    let refused_as = |gateway: &Gateway| {
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.line("RCPT TO:<b@example.net>");
        client.reply().last_line()
    };
    let flown = "550 5.0.0 this bird has flown away";
    let rule = "[[rule]]\nid = \"flown\"\ncause = \"user_unknown\"\nsource = \"our own\"\n\
        any = [\"flown away\"]\nexamples = [\"550 it has flown away\"]\n";
    std::fs::write(&rules, rule.replace("it has flown away", "it sings")).unwrap();
    let named = format!(
        "{}\n[bounces]\nrules_file = \"{}\"\n",
        std::fs::read_to_string(&config).unwrap(),
        rules.display()
    );
    reload(
        &gateway,
        &config,
        &named,
        "rules.toml:6:13: rule[0].examples[0]: ",
    );
    assert!(gateway.stderr().contains("the old one stays in force"));
    assert_eq!(refused_as(&gateway), flown);
    assert_eq!(refused_as(&gateway), flown);

    std::fs::write(&rules, rule).unwrap();
    reload_as_it_is(&gateway, "configuration reloaded");
    assert_eq!(refused_as(&gateway), flown);
    let suppressed = refused_as(&gateway);
    assert!(suppressed.contains("Recipient suppressed"), "{suppressed}");
}

#[test]
fn c5_a_reload_adds_and_drops_listeners() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let config = gateway.dir().path().join("sendgate.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let port = free_port();
    let more = format!("{before}\n[[smtp]]\nlisten = \"127.0.0.2:{port}\"\n");
    reload(&gateway, &config, &more, "configuration reloaded");
    let added = format!("127.0.0.2:{port}").parse().unwrap();
    let mut client = Client::hello(added);
    reload(&gateway, &config, &before, "configuration reloaded");
    // Its sessions go on; new ones do not begin.
    client.deliver("b@example.net", "250 ");
    assert!(std::net::TcpStream::connect(added).is_err());
    gateway.client().deliver("b@example.net", "250 ");
}

#[test]
fn f24_a_new_certificate_is_shown_to_new_sessions() {
    let upstream = FakeUpstream::start();
    let (old, new) = (Arc::new(Certificate::new()), Certificate::new());
    let gateway = Options::before(&upstream).tls(&old).start();
    let mut open = gateway.client();
    open.start_tls(&old);

    new.write_to(gateway.dir().path());
    reload_as_it_is(&gateway, "configuration reloaded");
    let mut fresh = gateway.client();
    fresh.start_tls(&new);
    fresh.say("EHLO client.example", "250 ");
    fresh.deliver("b@example.net", "250 ");
    let mut suspicious = gateway.client();
    suspicious.say("STARTTLS", "220 ");
    assert!(suspicious.handshake(&old).is_err());
    open.say("EHLO client.example", "250 ");
    open.deliver("b@example.net", "250 ");

    // One that cannot be read leaves the new one in place.
    std::fs::write(gateway.dir().path().join("certificate.pem"), "nothing").unwrap();
    reload_as_it_is(&gateway, "the old one stays in force");
    gateway.client().start_tls(&new);
}

#[test]
fn f24_an_expired_certificate_upstream_is_no_tls() {
    let folder = tempfile::tempdir().unwrap();
    for (certificate, expected) in [
        (Certificate::new(), "250 "),
        (Certificate::expired(), "451 4.3.5 "),
    ] {
        let certificate = Arc::new(certificate);
        let (authority, _) = certificate.write_to(folder.path());
        let upstream = FakeUpstream::with_tls(&certificate, |_| Act::Usual);
        let port = upstream.address().port();
        let gateway = Options::default()
            .upstream_url(&format!("smtp+starttls://localhost:{port}"))
            .upstream_keys(&format!("ca_file = \"{}\"", authority.display()))
            .start();
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.say("RCPT TO:<b@example.net>", expected);
        // Nothing went out in clear.
        let commands = upstream.commands();
        let first = commands.iter().position(|line| line.starts_with("MAIL"));
        let tls = commands.iter().position(|line| line == "STARTTLS");
        assert!(
            first.is_none() || (tls.is_some() && tls < first),
            "{commands:?}"
        );
    }
}

/// Writes the file, and has the gateway read it again.
#[track_caller]
fn reload(gateway: &Gateway, config: &Path, text: &str, outcome: &str) {
    std::fs::write(config, text).unwrap();
    reload_as_it_is(gateway, outcome);
}

#[track_caller]
fn reload_as_it_is(gateway: &Gateway, outcome: &str) {
    let count = |text: &str| text.matches(outcome).count();
    let before = count(&gateway.stderr());
    gateway.signal("HUP");
    crate::harness::eventually(outcome, || {
        (count(&gateway.stderr()) > before).then_some(())
    });
}

/// What the opted out recipient hears.
fn at_rcpt(gateway: &Gateway) -> u16 {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.line("RCPT TO:<out@example.net>");
    client.reply().code()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

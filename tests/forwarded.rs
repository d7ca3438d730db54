//! Returned mail that is sent on to its sender, after it was learnt from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Act, Certificate, Client, FakeUpstream, Gateway, Message, Options};

const B: &str = "b@example.net";
const FORWARD_TO: &str = "forward_to = \"bounces@sender.example\"";

/// A gateway at which Alice logs in, who wants to see what comes back.
struct Forwarder {
    gateway: Gateway,
    upstream: FakeUpstream,
    certificate: Arc<Certificate>,
}

impl Forwarder {
    fn start(upstream: FakeUpstream) -> Self {
        Self::start_with(upstream, |options| options)
    }

    fn start_with(upstream: FakeUpstream, more: impl FnOnce(Options) -> Options) -> Self {
        let certificate = Arc::new(Certificate::new());
        let options = Options::before(&upstream)
            .returns("trusted = [\"192.0.2.0/24\"]")
            .extra("[return_path]\ndomain = \"returns.example.com\"")
            .tls(&certificate)
            .user("alice", "correct horse", FORWARD_TO);
        let gateway = more(options).start();
        Self {
            gateway,
            upstream,
            certificate,
        }
    }

    /// Alice sends a message; the return path it went out with.
    fn send(&self, recipients: &[&str]) -> String {
        let mut client = self.gateway.client();
        client.start_tls(&self.certificate);
        client.say("EHLO client.example", "250 ");
        client.log_in("alice", "correct horse", "235 ");
        client.envelope(recipients);
        client.data("Subject: news\r\n\r\nHello.\r\n");
        client.expect("250 ");
        let mail = self.upstream.message().mail;
        let path = mail.strip_prefix("MAIL FROM:<").unwrap();
        path.split('>').next().unwrap().to_owned()
    }

    fn mx(&self) -> Client {
        Client::hello(self.gateway.returns())
    }

    /// What was sent on.
    fn forwarded(&self) -> Vec<Message> {
        let to_alice =
            |message: &Message| message.recipients == ["RCPT TO:<bounces@sender.example>"];
        self.upstream
            .messages()
            .into_iter()
            .filter(to_alice)
            .collect()
    }

    fn hard(&self) -> u64 {
        let record = self.gateway.admin().record(B);
        record["hard"]["count"].as_u64().unwrap_or(0)
    }

    fn metric(&self, outcome: &str) -> bool {
        let line = format!("sendgate_forwarded_total{{outcome=\"{outcome}\"}} 1");
        self.gateway.admin().get("/metrics").body.contains(&line)
    }
}

fn report() -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\n\r\n..dots stay\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\n\r\n\
         Final-Recipient: rfc822; {B}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    )
}

#[track_caller]
fn hand_in(client: &mut Client, to: &str, message: &str, expected: &str) {
    client.say("MAIL FROM:<>", "250 ");
    client.say(&format!("RCPT TO:<{to}>"), "250 ");
    client.data(message);
    client.expect(expected);
}

/// An upstream that answers the end of the second message and those behind it so, then as usual.
fn reluctant(replies: &'static [&'static str]) -> FakeUpstream {
    let ends = AtomicUsize::new(0);
    FakeUpstream::scripted(move |moment| {
        if moment.verb != "." {
            return Act::Usual;
        }
        let number = ends.fetch_add(1, Ordering::SeqCst);
        match number.checked_sub(1).and_then(|at| replies.get(at)) {
            Some(reply) => Act::Say(reply),
            None => Act::Usual,
        }
    })
}

#[test]
fn what_comes_back_is_sent_on_unchanged_with_a_null_reverse_path() {
    let forwarder = Forwarder::start(FakeUpstream::start());
    let path = forwarder.send(&[B]);
    let mut client = forwarder.mx();
    hand_in(&mut client, &path, &report(), "250 ");
    let person = "From: b@example.net\r\nSubject: Re: news\r\n\r\nThank you!\r\n";
    hand_in(&mut client, &path, person, "250 ");
    let forwarded = forwarder.forwarded();
    assert_eq!(forwarded.len(), 2);
    assert!(forwarded[0].mail.starts_with("MAIL FROM:<>"));
    assert_eq!(forwarded[0].original(), report().as_bytes());
    assert_eq!(forwarded[1].original(), person.as_bytes());
    let received = forwarded[0].received();
    assert!(
        received.starts_with("Received: from client.example"),
        "{received}"
    );
    assert!(
        received.contains("for <bounces@sender.example>"),
        "{received}"
    );
    assert_eq!(forwarder.hard(), 1);
}

#[test]
fn mail_of_others_is_not_sent_on() {
    let forwarder = Forwarder::start(FakeUpstream::start());
    let mut sender = forwarder.gateway.client();
    sender.deliver(B, "250 ");
    let mail = forwarder.upstream.message().mail;
    let path = mail.strip_prefix("MAIL FROM:<").unwrap();
    let path = path.split('>').next().unwrap();
    let mut client = forwarder.mx();
    hand_in(&mut client, path, &report(), "250 ");
    hand_in(&mut client, "postmaster", &report(), "250 ");
    assert!(forwarder.forwarded().is_empty());
    assert_eq!(forwarder.hard(), 1);
}

#[test]
fn b4_b6_while_the_upstream_does_not_take_it_the_reporter_comes_again_and_it_counts_once() {
    let forwarder = Forwarder::start(reluctant(&["451 4.3.1 later", "451 4.3.1 later"]));
    let path = forwarder.send(&[B]);
    let mut client = forwarder.mx();
    hand_in(&mut client, &path, &report(), "451 4.3.0 Temporary failure");
    assert_eq!(forwarder.hard(), 1, "learnt before it was sent on");
    hand_in(&mut client, &path, &report(), "451 4.3.0 Temporary failure");
    hand_in(&mut client, &path, &report(), "250 ");
    assert_eq!(forwarder.hard(), 1);
    let accepted = forwarder.forwarded().into_iter().filter(|one| one.accepted);
    assert_eq!(accepted.count(), 1);
}

#[test]
fn a5_the_reporter_hears_nothing_of_the_mailbox_behind() {
    let forwarder = Forwarder::start(reluctant(&["451 4.2.2 <bounces@sender.example> is full"]));
    let path = forwarder.send(&[B]);
    let mut client = forwarder.mx();
    hand_in(
        &mut client,
        &path,
        &report(),
        "451 4.3.0 Temporary failure, try again",
    );
    forwarder.gateway.wait_for_stderr("is full");
}

#[test]
fn an_upstream_that_says_nothing_does_not_keep_the_reporter_waiting() {
    let ends = AtomicUsize::new(0);
    let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
        "." if ends.fetch_add(1, Ordering::SeqCst) == 1 => {
            Act::After(Duration::from_secs(60), Box::new(Act::Usual))
        }
        _ => Act::Usual,
    });
    let forwarder = Forwarder::start_with(upstream, |options| {
        options.timeouts("forwarding = \"500ms\"")
    });
    let path = forwarder.send(&[B]);
    let mut client = forwarder.mx();
    hand_in(&mut client, &path, &report(), "451 4.3.0");
    assert_eq!(forwarder.hard(), 1, "learnt before it was sent on");
    assert!(forwarder.metric("deferred"));
    hand_in(&mut client, &path, &report(), "250 ");
}

#[test]
fn what_the_upstream_refuses_for_good_is_given_up() {
    let forwarder = Forwarder::start(reluctant(&["554 5.7.1 no such things"]));
    let path = forwarder.send(&[B]);
    hand_in(&mut forwarder.mx(), &path, &report(), "250 ");
    assert_eq!(forwarder.hard(), 1);
    assert!(forwarder.metric("refused"));
}

#[test]
fn r10_w4_a_loop_a_suppressed_mailbox_and_bare_line_feeds_end_here() {
    let forwarder = Forwarder::start(FakeUpstream::start());
    let path = forwarder.send(&[B]);
    let mut client = forwarder.mx();
    let hop = "Received: from a by gateway.example.com (Sendgate) with SMTP id x; date\r\n";
    let looping = format!("{}{}", hop.repeat(3), report());
    hand_in(&mut client, &path, &looping, "250 ");
    assert!(forwarder.metric("looping"));
    let bare = report()
        .replace("words", "a\nb")
        .replace("--b--", "x\ny\r\n--b--");
    hand_in(&mut client, &path, &bare, "250 ");
    assert!(forwarder.metric("unfit"));
    forwarder.gateway.admin().block("bounces@sender.example");
    hand_in(&mut client, &path, &report(), "250 ");
    assert!(forwarder.metric("suppressed"));
    assert!(forwarder.forwarded().is_empty());
    assert_eq!(forwarder.hard(), 1);
}

#[test]
fn rfc2033_each_recipient_hears_what_became_of_its_own_mail() {
    let forwarder = Forwarder::start(reluctant(&["451 4.3.1 later"]));
    let path = forwarder.send(&[B]);
    let mut client = Client::connect(forwarder.gateway.returns());
    client.say("LHLO mx.example.net", "250 ");
    client.say("MAIL FROM:<>", "250 ");
    client.say("RCPT TO:<postmaster>", "250 ");
    client.say(&format!("RCPT TO:<{path}>"), "250 ");
    client.data(report());
    client.expect("250 2.0.0");
    client.expect("451 4.3.0 Temporary failure");
    client.say("NOOP", "250 ");
}

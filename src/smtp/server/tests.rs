use proptest::prelude::*;

use super::*;

mod lmtp;
mod misuse;
use crate::smtp::command::Command;

fn options() -> ServerOptions {
    ServerOptions {
        body: BodyLimits {
            message_size: 100_000,
            text_line: 1000,
            pass_long_lines: false,
        },
        recipient_limit: 3,
        error_limit: 5,
        junk_command_limit: 5,
        start_tls: true,
        require_tls: false,
        auth: true,
        xclient: false,
        lmtp: false,
        unreadable_recipients: false,
    }
}

/// A caller that accepts everything, except recipients at `refused.example`.
struct Session {
    server: Server,
    events: Vec<String>,
    wire: String,
}

impl Session {
    fn new(options: ServerOptions, secure: bool) -> Self {
        Self {
            server: Server::new(options, secure),
            events: Vec::new(),
            wire: String::new(),
        }
    }

    fn greeted() -> Self {
        let mut session = Self::new(options(), false);
        session.send(b"EHLO client.example\r\n");
        session.wire.clear();
        session.events.clear();
        session
    }

    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.server.input().extend_from_slice(bytes);
        let mut recipients = Vec::new();
        loop {
            let event = self.server.next_event();
            if !matches!(event, Some(Event::Recipient { .. })) && !recipients.is_empty() {
                self.events.push(format!("batch of {}", recipients.len()));
                for good in recipients.drain(..) {
                    let code = if good { 250 } else { 550 };
                    self.server.reply(Reply::new(
                        code,
                        EnhancedStatus::of((code / 100) as u8, 1, 5),
                        "x",
                    ));
                }
                if event.is_none() {
                    continue;
                }
            }
            let Some(event) = event else { break };
            match event {
                Event::Recipient { path, .. } => {
                    let text = String::from_utf8_lossy(path.wire()).into_owned();
                    recipients.push(!text.contains("refused.example"));
                }
                other => self.act(other),
            }
        }
        let output = self.server.output().split();
        self.wire.push_str(&String::from_utf8_lossy(&output));
        self
    }

    fn act(&mut self, event: Event) {
        let ok = || Reply::new(250, EnhancedStatus::of(2, 0, 0), "Ok");
        match event {
            Event::Hello { name, .. } => {
                self.events.push(format!("hello {name}"));
                self.server
                    .reply_hello("gw.example", &["PIPELINING".into()]);
            }
            Event::StartTls => {
                self.events.push("starttls".into());
                self.server
                    .reply(Reply::new(220, EnhancedStatus::of(2, 0, 0), "Go"));
                let output = self.server.output().split();
                self.wire.push_str(&String::from_utf8_lossy(&output));
                self.server.tls_established();
            }
            Event::Authenticate(credentials) => {
                self.events.push(format!("auth {}", credentials.user));
                self.server
                    .reply(Reply::new(235, EnhancedStatus::of(2, 7, 0), "Ok"));
            }
            Event::Xclient(said) => {
                self.events.push(format!("xclient {said:?}"));
                self.server.reply(Reply::bare(220, "gw.example"));
            }
            Event::Mail { path, .. } => {
                self.events
                    .push(format!("mail {}", String::from_utf8_lossy(path.wire())));
                self.server.reply(ok());
            }
            Event::Recipient { .. } => unreachable!("handled above"),
            Event::UnreadableRecipient => {
                self.events.push("unreadable".into());
                let status = EnhancedStatus::of(5, 1, 1);
                self.server
                    .reply(Reply::new(550, status, "no such address"));
            }
            Event::Data => self.server.reply(Reply::bare(354, "Go on")),
            Event::Body(bytes) => self
                .events
                .push(format!("body {}", String::from_utf8_lossy(&bytes))),
            Event::EndOfData { fault, .. } => {
                self.events.push(format!("end {fault:?}"));
                let reply = match fault {
                    None => ok(),
                    Some(_) => Reply::new(550, EnhancedStatus::of(5, 5, 2), "Bad data"),
                };
                self.server.reply(reply);
            }
            Event::Reset => self.events.push("reset".into()),
            Event::Close(reason) => self.events.push(format!("close {reason:?}")),
        }
    }

    /// The codes of the replies so far, one for each reply.
    fn codes(&mut self) -> Vec<String> {
        let wire = std::mem::take(&mut self.wire);
        wire.lines()
            .filter(|line| line.as_bytes().get(3) == Some(&b' '))
            .map(|line| {
                let status = line[4..].split(' ').next().unwrap_or_default();
                let has_status = status.len() >= 5 && status.as_bytes()[1] == b'.';
                if has_status {
                    line[..4 + status.len()].to_owned()
                } else {
                    line[..3].to_owned()
                }
            })
            .collect()
    }
}

const MAIL: &[u8] = b"MAIL FROM:<a@example.com>\r\n";
const RCPT: &[u8] = b"RCPT TO:<b@example.net>\r\n";

#[test]
fn a_transaction_from_greeting_to_quit() {
    let mut session = Session::greeted();
    session
        .send(MAIL)
        .send(RCPT)
        .send(b"DATA\r\n")
        .send(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n");
    assert_eq!(
        session.codes(),
        ["250 2.0.0", "250 2.1.5", "354", "250 2.0.0", "221 2.0.0"]
    );
    assert_eq!(session.events.last().unwrap(), "close Quit");
}

#[test]
fn w7_pipelined_commands_are_answered_in_order_and_recipients_come_as_one_batch() {
    let mut session = Session::greeted();
    session.send(
        b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@refused.example>\r\n\
          RCPT bogus\r\nRCPT TO:<d@example.net>\r\nDATA\r\n",
    );
    assert_eq!(
        session.codes(),
        [
            "250 2.0.0",
            "250 2.1.5",
            "550 5.1.5",
            "501 5.5.4",
            "250 2.1.5",
            "354"
        ]
    );
    assert!(
        session.events.contains(&"batch of 3".to_owned()),
        "{:?}",
        session.events
    );
}

#[test]
fn w7_354_is_never_sent_without_an_accepted_recipient() {
    let mut session = Session::greeted();
    session
        .send(MAIL)
        .send(b"RCPT TO:<c@refused.example>\r\n")
        .send(b"DATA\r\n");
    session.send(b"RSET\r\n").send(b"DATA\r\n");
    assert_eq!(
        session.codes(),
        [
            "250 2.0.0",
            "550 5.1.5",
            "554 5.5.1",
            "250 2.0.0",
            "503 5.5.1"
        ]
    );
}

#[test]
fn w5_tls_forgets_what_was_said_in_clear() {
    let mut session = Session::greeted();
    session
        .send(b"STARTTLS\r\n")
        .send(MAIL)
        .send(b"STARTTLS\r\n");
    assert_eq!(session.codes(), ["220 2.0.0", "503 5.5.1", "503 5.5.1"]);
}

#[test]
fn w6_auth() {
    let mut session = Session::greeted();
    session.send(b"AUTH PLAIN AHUAcA==\r\n");
    assert_eq!(session.codes(), ["538 5.7.11"], "never in clear");

    let mut session = Session::new(options(), true);
    session
        .send(b"EHLO c\r\n")
        .send(b"AUTH PLAIN\r\n")
        .send(b"*\r\n")
        .send(b"AUTH LOGIN\r\n");
    session
        .send(b"dQ==\r\n")
        .send(b"cA==\r\n")
        .send(b"AUTH PLAIN AHUAcA==\r\n");
    assert_eq!(
        session.codes(),
        [
            "250",
            "334",
            "501 5.7.0",
            "334",
            "334",
            "235 2.7.0",
            "503 5.5.1"
        ]
    );
    assert!(session.events.contains(&"auth u".to_owned()));

    let mut session = Session::new(options(), true);
    session
        .send(b"EHLO c\r\n")
        .send(b"AUTH CRAM-MD5\r\n")
        .send(b"AUTH PLAIN YQBiAGMAZA==\r\n");
    assert_eq!(session.codes(), ["250", "504 5.5.4", "501 5.5.2"]);
}

#[test]
fn e8_recipients_over_the_limit_are_deferred_and_the_others_stay() {
    let mut session = Session::greeted();
    session.send(MAIL).send(&RCPT.repeat(5)).send(b"DATA\r\n");
    assert_eq!(
        session.codes(),
        [
            "250 2.0.0",
            "250 2.1.5",
            "250 2.1.5",
            "250 2.1.5",
            "452 4.5.3",
            "452 4.5.3",
            "354"
        ]
    );
}

#[test]
fn e10_vrfy_and_expn_tell_nothing() {
    let mut session = Session::greeted();
    session
        .send(b"VRFY opted.out@example.com\r\n")
        .send(b"EXPN list\r\n");
    assert_eq!(session.codes(), ["252 2.5.0", "502 5.5.1"]);
}

#[test]
fn w15_xclient_is_for_listed_clients_and_begins_the_session_anew() {
    let mut session = Session::greeted();
    session.send(b"XCLIENT ADDR=192.0.2.1\r\n");
    assert_eq!(session.codes(), ["500 5.5.2"]);
    let mut session = Session::new(
        ServerOptions {
            xclient: true,
            ..options()
        },
        false,
    );
    session
        .send(b"EHLO c\r\n")
        .send(b"XCLIENT ADDR=192.0.2.1 HELO=a+2Bb\r\n")
        .send(MAIL);
    session
        .send(b"EHLO c\r\n")
        .send(MAIL)
        .send(b"XCLIENT ADDR=192.0.2.1\r\n");
    session.send(b"XCLIENT ADDR=nowhere\r\n");
    let codes = [
        "250",
        "220",
        "503 5.5.1",
        "250",
        "250 2.0.0",
        "503 5.5.1",
        "501 5.5.4",
    ];
    assert_eq!(session.codes(), codes);
    assert!(session.events[1].contains("192.0.2.1") && session.events[1].contains("a+b"));
}

#[test]
fn w15_xclient_tells_a_client_without_an_address_from_one_that_is_not_named() {
    let parse = |line: &'static [u8]| match Command::parse(&Bytes::from_static(line)) {
        Ok(Command::Xclient(said)) => (said.address, said.is_nowhere),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        parse(b"XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]"),
        (None, true)
    );
    assert_eq!(parse(b"XCLIENT HELO=c.example"), (None, false));
}

const DIALOGUE: &[u8] = b"EHLO c\r\n|MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n\
    RCPT TO:<c@refused.example>\r\n|DATA\r\n|Subject: x\r\n\r\n..x\r\n.y\r\n.\r\n|RSET\r\nNOOP\r\nQUIT\r\n";

proptest! {
    #[test]
    fn cutting_changes_no_reply(size in 1usize..20) {
        let whole = |size: Option<usize>| {
            let mut session = Session::new(options(), false);
            // Where the client must wait it waits; between those points the bytes are cut anyhow.
            for turn in DIALOGUE.split(|&b| b == b'|') {
                match size {
                    None => { session.send(turn); }
                    Some(size) => for piece in turn.chunks(size) { session.send(piece); }
                }
            }
            session.codes()
        };
        prop_assert_eq!(whole(Some(size)), whole(None));
    }

    #[test]
    fn no_bytes_panic(pieces in proptest::collection::vec(
        prop_oneof![
            Just(b"EHLO c\r\n".to_vec()), Just(MAIL.to_vec()), Just(RCPT.to_vec()), Just(b"DATA\r\n".to_vec()),
            Just(b".\r\n".to_vec()), Just(b"RSET\r\n".to_vec()), Just(b"AUTH PLAIN\r\n".to_vec()),
            Just(b"STARTTLS\r\n".to_vec()), Just(b"BDAT 5\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..30),
        ], 0..20)) {
        let mut session = Session::new(options(), false);
        for piece in pieces {
            session.send(&piece);
        }
    }
}

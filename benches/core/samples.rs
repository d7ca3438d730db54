//! *Samples*: a session, a message and a record such as the gateway meets every day.

use std::collections::BTreeMap;

use sendgate::mail::EnhancedStatus;
use sendgate::smtp::body::BodyLimits;
use sendgate::smtp::{Event, Server, ServerOptions};
use sendgate::suppression::record::{Bounces, Complaint, Consent, DoNotEmail};
use sendgate::suppression::{Record, Scope};
use sendgate::timestamp::Timestamp;

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_328_400_123);

/// A session that has said EHLO, with the limits of the defaults.
pub(crate) fn greeted_server() -> Server {
    let options = ServerOptions {
        body: BodyLimits {
            message_size: 100 << 20,
            text_line: 1000,
            pass_long_lines: true,
        },
        recipient_limit: 1000,
        error_limit: 20,
        junk_command_limit: 100,
        start_tls: false,
        require_tls: false,
        auth: false,
        xclient: false,
        lmtp: false,
        unreadable_recipients: false,
    };
    let mut server = Server::new(options, false);
    server.input().extend_from_slice(b"EHLO client.example\r\n");
    assert!(matches!(server.next_event(), Some(Event::Hello { .. })));
    let keywords = ["PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES"];
    server.reply_hello("gw.example.com", &keywords.map(str::to_owned));
    server.output().clear();
    server
}

/// The command for the recipient of this number.
pub(crate) fn rcpt(number: usize) -> String {
    format!("RCPT TO:<{number}.recipient@customers.example.net>\r\n")
}

/// A header as mailing tools write it.
pub(crate) fn header() -> &'static str {
    "Received: from app.example.org (app.example.org [192.0.2.7])\r\n\
     \tby mail.example.org with ESMTP id 4bK9vq2Xz3z1Q;\r\n\
     \tSun, 22 Nov 2026 09:30:00 +0000\r\n\
     From: Example News <news@example.org>\r\n\
     To: recipient@customers.example.net\r\n\
     Subject: =?utf-8?q?What_is_new_in_November?=\r\n\
     Date: Sun, 22 Nov 2026 09:30:00 +0000\r\n\
     Message-ID: <20261122093000.1234@example.org>\r\n\
     List-Id: Example News <news.example.org>\r\n\
     X-Sendgate-Campaign: november\r\n\
     MIME-Version: 1.0\r\n\
     Content-Type: text/plain; charset=utf-8\r\n"
}

/// A whole message with a body of so many octets or a few more, without the end of the data.
pub(crate) fn message(size: usize) -> String {
    const LINE: &str = "What we have been working on, in lines as long as people write them.\r\n";
    let lines = LINE.repeat(size.div_ceil(LINE.len()));
    format!("{}\r\n{lines}", header())
}

/// Somebody who opted out of three things, complained, and whose mailbox was full and then gone.
pub(crate) fn record() -> Record {
    let scopes = ["*", "list:news.example.org", "topic:offers"];
    let opt_outs: BTreeMap<Scope, Consent> = scopes
        .map(|scope| (scope.parse().unwrap(), consent()))
        .into();
    Record {
        address: Some("recipient@customers.example.net".to_owned()),
        opt_outs,
        opt_ins: [("topic:receipts".parse().unwrap(), consent())].into(),
        do_not_email: Some(DoNotEmail {
            at: NOW,
            by: "operator".to_owned(),
            why: "asked by telephone".to_owned(),
            until: None,
            auto: false,
        }),
        complaint: Some(Complaint {
            at: NOW,
            stream: Some("campaign".to_owned()),
            last: None,
            also: Vec::new(),
            source: "fbl.example.com".to_owned(),
        }),
        hard: Some(bounces(1, EnhancedStatus::of(5, 1, 1))),
        soft: Some(bounces(3, EnhancedStatus::of(4, 2, 2))),
        ..Record::default()
    }
}

fn consent() -> Consent {
    Consent {
        at: NOW,
        last: None,
        via: "one-click".to_owned(),
        actor: "recipient".to_owned(),
        campaign: Some("november".to_owned()),
        reason: None,
        comment: None,
        evidence: None,
    }
}

fn bounces(count: u32, status: EnhancedStatus) -> Bounces {
    Bounces {
        count,
        first: NOW,
        last: NOW,
        status: Some(status),
        diagnostic: Some("550 5.1.1 no such user here".to_owned()),
        campaign: None,
        recent: Vec::new(),
        listed: None,
    }
}

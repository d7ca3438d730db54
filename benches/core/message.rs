//! A [`Hop`] carries messages through the pure core as a session does: from the client's bytes to
//! the upstream's commands and back. It has no socket, store, log or clock, so that the same message
//! costs the same every time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use sendgate::config::{Mode, Suppressed};
use sendgate::mail::header::{HeaderReader, HeaderStep};
use sendgate::mail::{EnhancedStatus, ForwardPath};
use sendgate::smtp::{
    Client, Event, Expect, Extensions, RcptParameters, Reply, Server, UpstreamReply,
};
use sendgate::suppression::{Finding, KeyMaker, Stream, StreamClass, Tenant};
use sendgate::timestamp::Timestamp;
use sendgate::token::{Signer, Token, TokenKind};
use sendgate::transaction::received::{Received, protocol};
use sendgate::transaction::return_path::{SignedPath, Subject};
use sendgate::transaction::{Fate, Policy, Transaction, answers, labels};

use super::samples;

/// When every message is sent.
const NOW: Timestamp = samples::NOW;

/// What the gateway calls itself.
const HOSTNAME: &str = "gw.example.com";

/// One kind of message.
pub(crate) struct Load {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// Octets of its body.
    size: usize,
    recipients: usize,
    /// How many of them have a record that blocks them.
    suppressed: usize,
    /// Whether the client sends its recipients together.
    pipelining: bool,
    /// Whether the return path is signed.
    signed: bool,
}

const PLAIN: Load = Load {
    name: "1K r1",
    size: 1024,
    recipients: 1,
    suppressed: 0,
    pipelining: false,
    signed: false,
};

/// Every kind that is measured.
pub(crate) const LOADS: [Load; 6] = [
    PLAIN,
    Load {
        name: "1K r1 signed",
        signed: true,
        ..PLAIN
    },
    Load {
        name: "1K r2, one suppressed",
        recipients: 2,
        suppressed: 1,
        ..PLAIN
    },
    Load {
        name: "10K r1",
        size: 10_240,
        ..PLAIN
    },
    Load {
        name: "10K r50",
        size: 10_240,
        recipients: 50,
        ..PLAIN
    },
    Load {
        name: "10K r50 pipelined",
        size: 10_240,
        recipients: 50,
        pipelining: true,
        ..PLAIN
    },
];

/// The pure core between one client and one upstream, on connections that stay open.
pub(crate) struct Hop {
    server: Server,
    client: Client,
    keys: KeyMaker,
    signer: Signer,
    policy: Arc<Policy>,
    blocked: Finding,
    suppressed: usize,
    /// What the client writes for one message, each piece after the replies to the one before.
    pieces: Vec<Bytes>,
    current: Option<Current>,
    batch: Vec<(ForwardPath, RcptParameters)>,
    delivered: u64,
}

struct Current {
    transaction: Transaction,
    /// Whether MAIL went upstream.
    begun: bool,
    /// Reads the header; none once it is through.
    reader: Option<HeaderReader>,
}

impl Hop {
    /// A hop past EHLO on both sides.
    pub(crate) fn new(load: &Load) -> Self {
        let stream = Arc::new(Stream::new("campaign", StreamClass::Campaign));
        let policy = Policy {
            tenant: Tenant::default(),
            stream: Arc::clone(&stream),
            choices: vec![stream],
            suppressed: Suppressed::Reject,
            mode: Mode::Enforce,
            scopes: true,
            sign: load.signed,
            list_unsubscribe: false,
        };
        let month = Duration::from_secs(30 * 86_400);
        Self {
            server: samples::greeted_server(),
            client: Client::new(64 * 1024),
            keys: KeyMaker::new(b"a pepper to measure with"),
            signer: Signer::new([&b"a secret to measure with"[..]], month),
            policy: Arc::new(policy),
            blocked: Finding::known(&samples::record()),
            suppressed: load.suppressed,
            pieces: pieces(load),
            current: None,
            batch: Vec::new(),
            delivered: 0,
        }
    }

    /// How many messages the upstream took.
    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Carries one message.
    pub(crate) fn carry(&mut self) {
        for at in 0..self.pieces.len() {
            self.server.input().extend_from_slice(&self.pieces[at]);
            self.hear();
            // Written to the client.
            drop(self.server.output().split());
        }
    }

    fn hear(&mut self) {
        loop {
            let event = self.server.next_event();
            if let Some(Event::Recipient { path, parameters }) = event {
                self.batch.push((path, parameters));
                continue;
            }
            let is_idle = event.is_none() && self.batch.is_empty();
            self.answer_batch();
            match event {
                Some(event) => self.handle(event),
                None if is_idle => return,
                None => {}
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Mail { path, parameters } => {
                let id = "01h455vb4pex5vsk".to_owned();
                self.current = Some(Current {
                    transaction: Transaction::new(id, path, parameters, Arc::clone(&self.policy)),
                    begun: false,
                    reader: None,
                });
                let status = EnhancedStatus::of(2, 1, 0);
                self.server.reply(Reply::new(250, status, "Sender ok"));
            }
            Event::Data => {
                self.open_data();
                let go_ahead = Reply::bare(354, "End data with <CR><LF>.<CR><LF>");
                self.server.reply(go_ahead);
            }
            Event::Body(piece) => self.body(&piece),
            Event::EndOfData { .. } => self.end_of_data(),
            other => panic!("the client did what it never does: {other:?}"),
        }
    }

    /// Judges the recipients that came together, and offers upstream those that may pass.
    fn answer_batch(&mut self) {
        let Some(current) = self.current.as_mut().filter(|_| !self.batch.is_empty()) else {
            return;
        };
        let mut replies = Vec::with_capacity(self.batch.len());
        let mut offered = Vec::with_capacity(self.batch.len());
        for (path, parameters) in self.batch.drain(..) {
            let index = current.transaction.recipients.len();
            let key = path
                .address()
                .map(|address| self.keys.key(&self.policy.tenant, address));
            let finding = if index < self.suppressed {
                self.blocked.clone()
            } else {
                Finding::Clear
            };
            let reply = current.transaction.add(path, parameters, key, finding, NOW);
            if reply.is_none() {
                offered.push(index);
            }
            replies.push(reply);
        }
        if !offered.is_empty() {
            if !current.begun && current.transaction.wants_signature() {
                current.transaction.signed = sign(&self.signer, &current.transaction, &offered);
            }
            offer(&mut self.client, current, &offered, &mut replies);
        }
        for reply in replies.into_iter().flatten() {
            self.server.reply(reply);
        }
    }

    fn open_data(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        assert!(!current.transaction.needs_header(), "the header decides");
        self.client.command(Expect::Data, &[b"DATA"]);
        let answer = b"354 End data with <CR><LF>.<CR><LF>\r\n";
        exchange(&mut self.client, answer, |_, _| {});
        self.client.expect_end_of_data();
        current.reader = Some(HeaderReader::new(256 * 1024));
    }

    fn body(&mut self, piece: &Bytes) {
        let Some(current) = &mut self.current else {
            return;
        };
        let output = self.client.output();
        let Some(reader) = &mut current.reader else {
            output.extend_from_slice(piece);
            return;
        };
        if let HeaderStep::Complete { header, rest } = reader.push(piece) {
            current.reader = None;
            pass_header(&mut current.transaction, &header, output);
            output.extend_from_slice(&rest);
        }
    }

    fn end_of_data(&mut self) {
        self.client.output().extend_from_slice(b".\r\n");
        let answer = b"250 2.0.0 Ok: queued as 4bK9vq2Xz3z1Q\r\n";
        exchange(&mut self.client, answer, |_, reply| {
            self.delivered += u64::from(reply.is_positive());
            self.server.reply(answers::of_upstream(&reply, false));
        });
        self.server.forgive();
        self.current = None;
    }
}

/// What the client writes for one message.
fn pieces(load: &Load) -> Vec<Bytes> {
    let mut pieces = vec!["MAIL FROM:<news@example.org>\r\n".into()];
    let recipients = (0..load.recipients).map(samples::rcpt);
    if load.pipelining {
        pieces.push(recipients.collect());
    } else {
        pieces.extend(recipients);
    }
    pieces.push("DATA\r\n".into());
    pieces.push(samples::message(load.size) + ".\r\n");
    pieces.into_iter().map(Bytes::from).collect()
}

/// Offers recipients in one write, with MAIL in front where it was not said yet.
fn offer(
    client: &mut Client,
    current: &mut Current,
    offered: &[usize],
    replies: &mut [Option<Reply>],
) {
    let extensions = Extensions {
        pipelining: true,
        ..Extensions::default()
    };
    let transaction = &mut current.transaction;
    let mut answers = Vec::new();
    if !current.begun {
        current.begun = true;
        let mut parameters = Vec::new();
        transaction.parameters.encode(&extensions, &mut parameters);
        client.command(Expect::Rset, &[b"RSET"]);
        let path = transaction.upstream_path();
        client.command(Expect::Mail, &[b"MAIL FROM:", path, &parameters]);
        answers.extend_from_slice(b"250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n");
    }
    for &index in offered {
        let recipient = &transaction.recipients[index];
        let mut parameters = Vec::new();
        recipient.parameters.encode(&extensions, &mut parameters);
        let parts = [b"RCPT TO:", recipient.path.wire(), &parameters];
        client.command(Expect::Rcpt(index), &parts);
        answers.extend_from_slice(b"250 2.1.5 Ok\r\n");
    }
    let batch_start = transaction.recipients.len() - replies.len();
    exchange(client, &answers, |expect, reply| {
        let Expect::Rcpt(index) = expect else { return };
        let answer = answers::of_upstream(&reply, false);
        let recipient = &mut transaction.recipients[index];
        recipient.fate = Fate::Accepted;
        recipient.upstream_reply = Some(reply);
        replies[index - batch_start] = Some(answer);
    });
}

/// Writes what is queued upstream, and hears its answers to all of it.
fn exchange(client: &mut Client, answers: &[u8], mut hear: impl FnMut(Expect, UpstreamReply)) {
    let written = client.output().len();
    client.output().advance(written);
    client.input().extend_from_slice(answers);
    while client.awaits_reply() {
        let (expect, reply) = client.next_reply().unwrap().unwrap();
        hear(expect, reply);
    }
}

/// The return path for the recipients that are offered first.
fn sign(signer: &Signer, transaction: &Transaction, offered: &[usize]) -> Option<SignedPath> {
    let (kind, subject) = match transaction.subject_of(offered)? {
        Subject::Recipient(key) => (TokenKind::Recipient, *key.as_bytes()),
        Subject::Set(_) => (TokenKind::Transaction, [7; 16]),
    };
    let token = Token {
        kind,
        subject,
        tenant: transaction.policy.tenant.clone(),
        label: 1,
        at: NOW,
        nonce: 1,
    };
    let local_part = signer.sign(&token)?;
    let wire = Bytes::from(format!("<{local_part}@bounces.example.com>"));
    Some(SignedPath { token, wire })
}

/// Reads what the header says and passes it on, with our trace in front.
fn pass_header(transaction: &mut Transaction, header: &Bytes, output: &mut BytesMut) {
    let labels = labels::read(header, HOSTNAME).unwrap();
    transaction.campaign = labels.campaign;
    transaction.message_id = labels.message_id;
    let subject = transaction.subject();
    let is_right = transaction.is_signed_for(subject.as_ref(), 1);
    assert!(is_right || !transaction.wants_signature(), "signed again");
    let only = match transaction.recipients.as_slice() {
        [only] => Some(&only.path),
        _ => None,
    };
    Received {
        helo: "client.example",
        client: [127, 0, 0, 1].into(),
        hostname: HOSTNAME,
        with: protocol(true, false, false, false),
        id: &transaction.id,
        only,
        at: NOW,
    }
    .encode(output);
    if labels.has_controls {
        for piece in labels::strip(header) {
            output.extend_from_slice(&piece);
        }
    } else {
        output.extend_from_slice(header);
    }
}

//! A [`ReturnsSession`] is one visit of a mail server that brings returned mail, in SMTP or LMTP.
//!
//! A recipient hears 250 only when all that its mail proves is committed (B6), and the mail is sent
//! on where the sender wants to see it.

mod onward;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::admission::{Addressee, Refusal, Seals, admit};
use super::intake::{Bearer, Intake, Letter};
use crate::config::TlsMode;
use crate::gateway::session::patience;
use crate::gateway::settings::{Context, ReturnsRules, Settings, is_in};
use crate::gateway::wire::{Over, Wire};
use crate::mail::{EnhancedStatus, ForwardPath};
use crate::smtp::body::{BodyFault, BodyLimits};
use crate::smtp::{Event, MailParameters, Reply, Server, ServerOptions};
use crate::timestamp::Timestamp;
use crate::token::Token;
use crate::transaction::answers::{self, NotOffered};

/// One visit of a mail server that brings returned mail.
pub(in crate::gateway) struct ReturnsSession {
    context: Arc<Context>,
    settings: Arc<Settings>,
    rules: Arc<ReturnsRules>,
    wire: Wire,
    client: IpAddr,
    trusted: bool,
    helo: String,
    extended: bool,
    smtp_utf8: bool,
    /// Those whose RCPT was accepted, in their order.
    addressees: Vec<Addressee>,
    /// The message so far, as it came; nothing of one that is over the limit.
    message: Vec<u8>,
    too_large: bool,
}

/// Most recipients of one message, the least that RFC 5321 §4.5.3.1.8 demands: mail comes back to one
/// address, and what it says is held against each of them.
const RECIPIENT_LIMIT: usize = 100;

impl ReturnsSession {
    pub(in crate::gateway) fn new(
        context: Arc<Context>,
        rules: Arc<ReturnsRules>,
        stream: TcpStream,
        client: IpAddr,
        overloaded: bool,
    ) -> Self {
        let settings = context.settings.load_full();
        let server = Server::new(server_options(&settings, &rules), false);
        let patience = patience(&settings.timeouts, overloaded);
        Self {
            trusted: is_in(&rules.trusted, client),
            wire: Wire::new(stream, server, patience, context.drain.signals()),
            client,
            helo: String::new(),
            extended: false,
            smtp_utf8: false,
            addressees: Vec::new(),
            message: Vec::new(),
            too_large: false,
            context,
            settings,
            rules,
        }
    }

    /// Speaks until the client leaves.
    pub(in crate::gateway) async fn run(mut self) {
        if self.rules.tls == TlsMode::Implicit && self.handshake().await.is_err() {
            return;
        }
        let hostname = Arc::clone(&self.settings.hostname);
        self.wire.server.greet(&hostname);
        while self.step().await.is_ok() {}
        self.wire.close().await;
    }

    async fn step(&mut self) -> Result<(), Over> {
        match self.wire.next_event() {
            Some(event) => self.handle(event).await,
            None if self.wire.server.is_closed() => Err(Over),
            None => self.wire.wait().await,
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), Over> {
        let of = EnhancedStatus::of;
        match event {
            Event::Hello { name, extended } => self.hello(name, extended),
            Event::StartTls => {
                self.wire
                    .server
                    .reply(Reply::new(220, of(2, 0, 0), "Ready to start TLS"));
                self.wire.flush().await.map_err(|_| Over)?;
                self.handshake().await?;
            }
            Event::Authenticate(_) => {
                self.wire
                    .server
                    .reply(Reply::new(535, of(5, 7, 8), "Nobody logs in here"));
            }
            Event::Mail { parameters, .. } => {
                let reply = self.mail(&parameters);
                self.wire.server.reply(reply);
            }
            Event::Recipient { path, parameters } => {
                let reply = if parameters.uses_dsn() {
                    NotOffered::Dsn.reply()
                } else {
                    self.recipient(&path)
                };
                self.wire.server.reply(reply);
            }
            Event::UnreadableRecipient => {
                let reply = self.refuse(Refusal::Unreadable);
                self.wire.server.reply(reply);
            }
            Event::Data => {
                self.message = Vec::new();
                self.too_large = false;
                self.wire.read_early();
                self.wire
                    .server
                    .reply(Reply::bare(354, "End data with <CR><LF>.<CR><LF>"));
            }
            Event::Body(piece) => self.body(&piece),
            Event::EndOfData { fault, .. } => {
                for reply in self.end_of_data(fault).await {
                    self.wire.server.reply(reply);
                }
            }
            Event::Reset => self.addressees.clear(),
            // Never offered here, so never said.
            Event::Xclient(_) => {}
            Event::Close(_) => return Err(Over),
        }
        Ok(())
    }

    fn hello(&mut self, name: String, extended: bool) {
        self.helo = name;
        self.extended = extended;
        self.addressees.clear();
        let hostname = Arc::clone(&self.settings.hostname);
        let mut keywords = Vec::new();
        if extended {
            keywords.extend([
                "PIPELINING".to_owned(),
                format!("SIZE {}", self.settings.limits.report_size_limit),
                "ENHANCEDSTATUSCODES".to_owned(),
                "8BITMIME".to_owned(),
                "SMTPUTF8".to_owned(),
            ]);
            if !self.wire.server.is_secure() && offers_start_tls(&self.settings, &self.rules) {
                keywords.push("STARTTLS".to_owned());
            }
        }
        self.wire.server.reply_hello(&hostname, &keywords);
    }

    async fn handshake(&mut self) -> Result<(), Over> {
        let acceptor = self.settings.tls.clone().ok_or(Over)?;
        self.wire.start_tls(&acceptor).await.map_err(|_| Over)
    }

    /// Whether what MAIL asks for is offered here (W11, E5).
    fn mail(&mut self, parameters: &MailParameters) -> Reply {
        self.addressees.clear();
        self.reload();
        self.smtp_utf8 = parameters.smtp_utf8;
        let limit = self.settings.limits.report_size_limit;
        if parameters.size.is_some_and(|size| size > limit) {
            NotOffered::Size.reply()
        } else if parameters.uses_dsn() {
            NotOffered::Dsn.reply()
        } else {
            Reply::new(250, EnhancedStatus::of(2, 1, 0), "Sender ok")
        }
    }

    /// Takes the settings of now: a server that keeps its connection for days brings mail to addresses
    /// that were signed since with another key.
    fn reload(&mut self) {
        self.settings = self.context.settings.load_full();
        // A listener that was taken out of the configuration ends as it was.
        if let Some(rules) = self.settings.returns.get(&*self.rules.name) {
            self.rules = Arc::clone(rules);
            self.trusted = is_in(&self.rules.trusted, self.client);
        }
    }

    /// Whether mail for this address is taken (B1).
    fn recipient(&mut self, path: &ForwardPath) -> Reply {
        let seals = Seals::of(&self.settings, &self.rules);
        let feedback = &self.rules.feedback;
        match admit(path, seals, feedback, self.trusted, Timestamp::now()) {
            Ok(addressee) => {
                self.addressees.push(addressee);
                answers::recipient_ok()
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Counts why, and says the same whatever it is.
    fn refuse(&mut self, refusal: Refusal) -> Reply {
        self.context.metrics.return_refused(refusal.why());
        tracing::debug!(client = %self.client, why = refusal.why(), "a recipient was refused");
        self.wire.server.count_error();
        Refusal::reply()
    }

    /// Adds a piece of the body.
    fn body(&mut self, piece: &Bytes) {
        let limit = self.settings.limits.report_size_limit;
        let size = self.wire.server.body_size();
        if size <= limit {
            self.message.extend_from_slice(piece);
            return;
        }
        // It is refused, whatever else is wrong with it: read to its end, but not for ever (W11).
        self.too_large = true;
        self.message = Vec::new();
        if size > limit.saturating_mul(2) {
            let status = EnhancedStatus::of(4, 7, 0);
            self.wire.server.hang_up(status, "Too much data");
        }
    }

    /// The replies to the end of the data: one, or in LMTP one for each recipient.
    async fn end_of_data(&mut self, fault: Option<BodyFault>) -> Vec<Reply> {
        let wire = std::mem::take(&mut self.message);
        let addressees = std::mem::take(&mut self.addressees);
        let due = self.wire.server.replies_due();
        // A bare LF or a long line harms nobody who learns from it, and returned mail quotes the
        // worst of mail. Its end was found at the true CRLF.CRLF all the same.
        if self.too_large || fault == Some(BodyFault::TooLarge) {
            return vec![answers::body_fault(BodyFault::TooLarge); due];
        }
        if let Err(reply) = self.learn(&wire, &addressees).await {
            return vec![reply; due];
        }
        let mut replies = self.forward(&wire, &addressees, fault.is_some()).await;
        if !self.wire.server.is_lmtp() {
            // One reply for all: who is asked to come again comes again with all of it.
            replies.sort_by_key(Reply::is_positive);
            replies.truncate(1);
        }
        replies.resize(due, ok());
        replies
    }

    /// Learns what the message proves; durable when it returns.
    async fn learn(&self, wire: &[u8], addressees: &[Addressee]) -> Result<(), Reply> {
        let mut tokens: Vec<Token> = Vec::new();
        for addressee in addressees {
            if let Addressee::Signed(token) = addressee
                && !tokens.contains(token)
            {
                tokens.push((**token).clone());
            }
        }
        let name = self.client.to_string();
        let letter = Letter {
            message: unstuffed(wire),
            tokens,
            bearer: Bearer {
                name: &name,
                trusted: self.trusted,
                archive: self.trusted,
                tenant: &self.rules.tenant,
                via: "returns",
                hostname: &self.settings.hostname,
            },
            seals: Seals::of(&self.settings, &self.rules),
        };
        match Intake::of(&self.context).take_in(letter).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, client = %self.client, "a report could not be recorded; it will come again");
                Err(try_again())
            }
        }
    }
}

fn try_again() -> Reply {
    let status = EnhancedStatus::of(4, 3, 0);
    Reply::new(451, status, "Temporary failure, try again")
}

/// The message without the stuffed dots (RFC 5321 §4.5.2).
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(wire.len());
    let mut at_line_start = true;
    for line in wire.split_inclusive(|&b| b == b'\n') {
        let stuffed = at_line_start && line.first() == Some(&b'.');
        message.extend_from_slice(if stuffed { &line[1..] } else { line });
        at_line_start = line.ends_with(b"\r\n");
    }
    message
}

fn ok() -> Reply {
    Reply::new(250, EnhancedStatus::of(2, 0, 0), "Ok")
}

fn offers_start_tls(settings: &Settings, rules: &ReturnsRules) -> bool {
    settings.tls.is_some() && matches!(rules.tls, TlsMode::Offered | TlsMode::Required)
}

fn server_options(settings: &Settings, rules: &ReturnsRules) -> ServerOptions {
    let limits = &settings.limits;
    ServerOptions {
        body: BodyLimits {
            message_size: limits.report_size_limit,
            text_line: limits.text_line_limit,
            pass_long_lines: true,
        },
        recipient_limit: limits.recipient_limit.min(RECIPIENT_LIMIT),
        error_limit: limits.error_limit,
        junk_command_limit: limits.junk_command_limit,
        start_tls: offers_start_tls(settings, rules),
        require_tls: rules.tls == TlsMode::Required,
        auth: false,
        xclient: false,
        lmtp: true,
        unreadable_recipients: true,
    }
}

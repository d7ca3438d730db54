//! The returns listener takes back what the world returns: bounces, for now, of trusted sources.
//!
//! A report is read, each recipient it proves dead or full becomes an event, and the sender hears
//! 250 only when all of them are committed (B6). Nothing is ever answered by mail (B8).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use super::session::patience;
use super::settings::{Context, ReturnsRules, Settings, is_in};
use super::wire::{Over, Wire};
use crate::bounce::{Effect, Kind, Limits, Reader, Report, ReportedRecipient};
use crate::config::TlsMode;
use crate::mail::{Address, EnhancedStatus, ForwardPath};
use crate::smtp::body::{BodyFault, BodyLimits};
use crate::smtp::{Event, MailParameters, Reply, Server, ServerOptions};
use crate::store::StoreError;
use crate::suppression::event::BounceKind;
use crate::suppression::{self, Change, EventId};
use crate::timestamp::Timestamp;
use crate::transaction::answers::{self, NotOffered};

/// One visit of a mail server that brings returned mail.
pub(super) struct ReturnsSession {
    context: Arc<Context>,
    settings: Arc<Settings>,
    rules: Arc<ReturnsRules>,
    wire: Wire,
    client: IpAddr,
    trusted: bool,
    /// The message so far, dots unstuffed.
    message: Vec<u8>,
    at_line_start: bool,
}

impl ReturnsSession {
    pub(super) fn new(
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
            message: Vec::new(),
            at_line_start: true,
            context,
            settings,
            rules,
        }
    }

    /// Speaks until the client leaves.
    pub(super) async fn run(mut self) {
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
            Event::Hello { extended, .. } => self.hello(extended),
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
            Event::Data => {
                self.message = Vec::new();
                self.at_line_start = true;
                self.wire.read_early();
                self.wire
                    .server
                    .reply(Reply::bare(354, "End data with <CR><LF>.<CR><LF>"));
            }
            Event::Body(piece) => self.body(&piece),
            Event::EndOfData { fault, .. } => {
                let message = std::mem::take(&mut self.message);
                let reply = self.take_in(message, fault).await;
                self.wire.server.reply(reply);
            }
            // Never offered here, so never said.
            Event::Reset | Event::Xclient(_) => {}
            Event::Close(_) => return Err(Over),
        }
        Ok(())
    }

    fn hello(&mut self, extended: bool) {
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
    fn mail(&self, parameters: &MailParameters) -> Reply {
        let limit = self.settings.limits.report_size_limit;
        if parameters.size.is_some_and(|size| size > limit) {
            NotOffered::Size.reply()
        } else if parameters.uses_dsn() {
            NotOffered::Dsn.reply()
        } else {
            Reply::new(250, EnhancedStatus::of(2, 1, 0), "Sender ok")
        }
    }

    /// Whether mail for this address is taken: ours and from a trusted source, or the postmaster's.
    fn recipient(&mut self, path: &ForwardPath) -> Reply {
        let our_domain = path.address().is_none_or(|address| {
            self.rules
                .domains
                .iter()
                .any(|domain| domain == address.domain())
        });
        if our_domain && (self.trusted || path.is_postmaster()) {
            return answers::recipient_ok();
        }
        self.wire.server.count_error();
        Reply::new(550, EnhancedStatus::of(5, 1, 1), "No such address here")
    }

    /// Adds a piece of the body, without the stuffed dots.
    fn body(&mut self, piece: &Bytes) {
        let limit = usize::try_from(self.settings.limits.report_size_limit).unwrap_or(usize::MAX);
        for line in piece.split_inclusive(|&b| b == b'\n') {
            let stuffed = self.at_line_start && line.first() == Some(&b'.');
            let line_text = if stuffed { &line[1..] } else { line };
            self.at_line_start =
                line.ends_with(b"\r\n") || (line == b"\n" && self.message.last() == Some(&b'\r'));
            if self.message.len() + line_text.len() <= limit {
                self.message.extend_from_slice(line_text);
            }
        }
    }

    /// Reads the message and applies what it proves.
    async fn take_in(&self, message: Vec<u8>, fault: Option<BodyFault>) -> Reply {
        // A bare LF or a long line harms nobody here: nothing is relayed, and returned mail quotes
        // the worst of mail. Its end was found at the true CRLF.CRLF all the same.
        if fault == Some(BodyFault::TooLarge) {
            return answers::body_fault(BodyFault::TooLarge);
        }
        let rules = Arc::clone(&self.settings.bounce_rules);
        let reader = Reader::new(Limits::default(), rules);
        let digest = Sha256::digest(&message);
        // Off the runtime's own threads: their stacks are small, and a hostile report takes time.
        let reading = tokio::task::spawn_blocking(move || reader.understand(&message));
        let Ok(report) = reading.await else {
            self.context.metrics.report("unreadable");
            return ok();
        };
        self.context.metrics.report(kind_name(report.kind));
        if !self.trusted {
            tracing::info!(client = %self.client, kind = kind_name(report.kind), "mail for the postmaster was read and not believed");
            return ok();
        }
        match self.learn(&report, &digest).await {
            Ok(counted) => {
                tracing::info!(
                    client = %self.client,
                    kind = kind_name(report.kind),
                    recipients = report.recipients.len(),
                    counted,
                    "report read"
                );
                ok()
            }
            Err(error) => {
                tracing::warn!(%error, client = %self.client, "a report could not be recorded; it will come again");
                Reply::new(
                    451,
                    EnhancedStatus::of(4, 3, 0),
                    "Temporary failure, try again",
                )
            }
        }
    }

    /// Applies an event for each recipient that the report marks; how many changed something.
    async fn learn(&self, report: &Report, digest: &[u8]) -> Result<usize, StoreError> {
        let mut counted = 0;
        for recipient in &report.recipients {
            let kind = match recipient.effect {
                Effect::Hard => BounceKind::Hard,
                Effect::Soft => BounceKind::Soft,
                Effect::None | Effect::Complaint | Effect::OptOut => continue,
            };
            // The address that was written to is the one on our list; forwarding may have changed the other.
            let named = recipient.original.as_deref().unwrap_or(&recipient.address);
            let Ok(address) = Address::parse(named) else {
                tracing::debug!("a report names no address that could be on the list");
                continue;
            };
            if self.is_own(&address) {
                continue;
            }
            let key = self.context.ledger.key(&self.rules.tenant, &address);
            let event = self.event(report, recipient, kind, &address, digest);
            let recorded = self
                .context
                .ledger
                .record(&self.rules.tenant, &key, event)
                .await?;
            counted += usize::from(recorded.effect.is_some());
            self.context.metrics.recorded("bounce", recorded.effect);
        }
        Ok(counted)
    }

    /// Our own bounce domain is never the recipient.
    fn is_own(&self, address: &Address) -> bool {
        self.rules
            .domains
            .iter()
            .any(|domain| domain == address.domain())
    }

    fn event(
        &self,
        report: &Report,
        recipient: &ReportedRecipient,
        kind: BounceKind,
        address: &Address,
        digest: &[u8],
    ) -> suppression::Event {
        // One message counts once, however often and from however many hosts its report comes (B4).
        // Where the report does not name the message, the same bytes are the same report.
        let about = report.message_id.as_deref().map_or(digest, str::as_bytes);
        let tenant = self.rules.tenant.as_str().as_bytes();
        let kind_word: &[u8] = match kind {
            BounceKind::Hard => b"hard",
            BounceKind::Soft => b"soft",
        };
        suppression::Event {
            id: EventId::of(&[
                b"report",
                tenant,
                about,
                address.as_str().as_bytes(),
                kind_word,
            ]),
            at: Timestamp::now(),
            actor: report
                .reporting_mta
                .clone()
                .unwrap_or_else(|| self.client.to_string()),
            via: "returns".to_owned(),
            message_at: None,
            address: Some(address.to_string()),
            change: Change::Bounce {
                reason: None,
                kind,
                status: recipient.status,
                diagnostic: recipient.diagnostic.clone(),
                campaign: None,
            },
        }
    }
}

fn ok() -> Reply {
    Reply::new(250, EnhancedStatus::of(2, 0, 0), "Ok")
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bounce => "bounce",
        Kind::Delayed => "delayed",
        Kind::Delivered => "delivered",
        Kind::Feedback => "feedback",
        Kind::AutoReply => "autoreply",
        Kind::Unsubscribe => "unsubscribe",
        Kind::Other => "other",
        Kind::Unreadable => "unreadable",
    }
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
        recipient_limit: limits.recipient_limit,
        error_limit: limits.error_limit,
        junk_command_limit: limits.junk_command_limit,
        start_tls: offers_start_tls(settings, rules),
        require_tls: rules.tls == TlsMode::Required,
        auth: false,
        xclient: false,
    }
}

//! A `Session` is one client's visit, from greeting to QUIT.
//!
//! It joins the client's `Wire` to the `Relay`. What it decides itself is who may relay; who may
//! be mailed is decided by [`crate::suppression::policy`], and what is said by
//! [`crate::transaction`].

mod data;
mod journal;
mod recipients;
mod signing;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::auth::{Login, User};
use super::relay::{Origin, Relay};
use super::settings::{Context, Settings, SmtpRules, is_in};
use super::wire::{Over, Patience, Wire};
use super::worker::Worker;
use crate::config::TlsMode;
use crate::log::entry::Outcome;
use crate::mail::{EnhancedStatus, ReversePath};
use crate::smtp::body::BodyLimits;
use crate::smtp::command::Xclient;
use crate::smtp::sasl::Credentials;
use crate::smtp::{Event, MailParameters, Reply, Server, ServerOptions};
use crate::transaction::answers::NotOffered;
use crate::transaction::{Policy, Transaction};
use data::Body;
pub(super) use journal::transaction_id;
use recipients::Candidate;
use signing::Recording;

/// One client's visit.
pub(super) struct Session {
    context: Arc<Context>,
    /// Whose connections we use.
    worker: Arc<Worker>,
    settings: Arc<Settings>,
    rules: Arc<SmtpRules>,
    wire: Wire,
    client: IpAddr,
    /// Whether the client's network is listed.
    listed: bool,
    may_speak_for_others: bool,
    helo: String,
    extended: bool,
    user: Option<Arc<User>>,
    policy: Arc<Policy>,
    /// Boxed, because every event takes it out and puts it back.
    current: Option<Box<Current>>,
    /// Recipients that came together and are not answered yet.
    batch: Vec<Candidate>,
}

/// The transaction in progress.
struct Current {
    transaction: Transaction,
    relay: Relay,
    body: Body,
    /// Whom the return path stands for, being recorded.
    recording: Option<Recording>,
}

impl Session {
    pub(super) fn new(
        context: Arc<Context>,
        worker: Arc<Worker>,
        rules: Arc<SmtpRules>,
        stream: TcpStream,
        client: IpAddr,
        overloaded: bool,
    ) -> Self {
        let settings = context.settings.load_full();
        let server = Server::new(server_options(&settings, &rules, client), false);
        let timeouts = &settings.timeouts;
        let patience = patience(timeouts, overloaded);
        let wire = Wire::new(stream, server, patience, context.drain.signals());
        Self {
            listed: is_in(&rules.clients, client),
            may_speak_for_others: is_in(&rules.xclient, client),
            policy: Arc::clone(&rules.policy),
            wire,
            client,
            helo: String::new(),
            extended: false,
            user: None,
            current: None,
            batch: Vec::new(),
            context,
            worker,
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
        self.end_transaction(Outcome::Aborted);
        self.wire.close().await;
    }

    /// Handles one event, or waits for more input.
    async fn step(&mut self) -> Result<(), Over> {
        match self.wire.next_event() {
            Some(Event::Recipient { path, parameters }) => {
                self.batch.push(Candidate::new(path, parameters));
                Ok(())
            }
            event if !self.batch.is_empty() => {
                self.answer_batch().await;
                match event {
                    Some(event) => self.handle(event).await,
                    None => Ok(()),
                }
            }
            Some(event) => self.handle(event).await,
            None if self.wire.server.is_closed() => Err(Over),
            None => self.wait().await,
        }
    }

    /// Writes upstream what has gathered, then waits for the client.
    async fn wait(&mut self) -> Result<(), Over> {
        self.flush_body().await;
        self.wire.wait().await
    }

    async fn handle(&mut self, event: Event) -> Result<(), Over> {
        match event {
            Event::Hello { name, extended } => self.hello(name, extended).await,
            Event::StartTls => self.start_tls().await?,
            Event::Authenticate(credentials) => self.log_in(credentials).await,
            Event::Xclient(said) => self.speak_for(said),
            Event::Mail { path, parameters } => self.mail(path, parameters).await,
            Event::Recipient { path, parameters } => {
                self.batch.push(Candidate::new(path, parameters));
            }
            // The server answers those here.
            Event::UnreadableRecipient => {}
            Event::Data => self.data().await,
            Event::Body(piece) => self.body(&piece).await,
            Event::EndOfData { fault, .. } => self.end_of_data(fault).await,
            Event::Reset => self.end_transaction(Outcome::Aborted),
            Event::Close(reason) => {
                tracing::debug!(?reason, client = %self.client, "session closed");
                return Err(Over);
            }
        }
        Ok(())
    }

    async fn hello(&mut self, name: String, extended: bool) {
        self.end_transaction(Outcome::Aborted);
        self.helo = name;
        self.extended = extended;
        if !extended {
            let reply = Reply::bare(250, self.settings.hostname.to_string());
            self.wire.server.reply(reply);
            return;
        }
        let secure = self.wire.server.is_secure();
        let upstream = self.settings.upstream.extensions().await;
        let limit = self.settings.limits.message_size_limit;
        let mut keywords = self.rules.keywords(upstream, limit, secure);
        if !secure && self.offers_start_tls() {
            keywords.push("STARTTLS".to_owned());
        }
        // A password in clear is everybody's password (W6).
        if secure && !self.settings.users.is_empty() {
            keywords.push("AUTH PLAIN LOGIN".to_owned());
        }
        // The right to speak for others is the connection's, not that of whom it speaks for.
        if self.may_speak_for_others {
            keywords.push("XCLIENT NAME ADDR PORT PROTO HELO".to_owned());
        }
        self.wire.read_early();
        let hostname = Arc::clone(&self.settings.hostname);
        self.wire.server.reply_hello(&hostname, &keywords);
    }

    fn offers_start_tls(&self) -> bool {
        self.settings.tls.is_some()
            && matches!(self.rules.tls, TlsMode::Offered | TlsMode::Required)
    }

    async fn start_tls(&mut self) -> Result<(), Over> {
        self.end_transaction(Outcome::Aborted);
        let status = EnhancedStatus::of(2, 0, 0);
        self.wire
            .server
            .reply(Reply::new(220, status, "Ready to start TLS"));
        self.wire.flush().await.map_err(|_| Over)?;
        self.handshake().await
    }

    async fn handshake(&mut self) -> Result<(), Over> {
        let acceptor = self.settings.tls.clone().ok_or(Over)?;
        self.user = None;
        self.policy = Arc::clone(&self.rules.policy);
        match self.wire.start_tls(&acceptor).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, client = %self.client, "TLS handshake failed");
                Err(Over)
            }
        }
    }

    /// The peer says who the client is; the session begins anew for that client (W15).
    fn speak_for(&mut self, said: Xclient) {
        self.end_transaction(Outcome::Aborted);
        self.user = None;
        self.policy = Arc::clone(&self.rules.policy);
        if let Some(address) = said.address {
            self.client = address.to_canonical();
            self.listed = is_in(&self.rules.clients, self.client);
        } else if said.is_nowhere {
            // The address that we see is the peer's, and what the peer may do is not for its client.
            self.listed = false;
        }
        self.helo = said.helo.unwrap_or_default();
        let greeting = format!("{} ESMTP Sendgate", self.settings.hostname);
        self.wire.server.reply(Reply::bare(220, greeting));
    }

    async fn log_in(&mut self, credentials: Credentials) {
        let name = credentials.user.clone();
        let login = self.settings.users.log_in(credentials).await;
        self.wire.read_early();
        let of = EnhancedStatus::of;
        let reply = match login {
            Login::Granted(user) => {
                self.policy = self
                    .rules
                    .policy_of(self.settings.user_rules.get(&*user.name));
                self.user = Some(user);
                Reply::new(235, of(2, 7, 0), "Authentication successful")
            }
            Login::Denied => {
                tracing::warn!(user = %name.escape_debug(), client = %self.client, "login denied");
                Reply::new(535, of(5, 7, 8), "Authentication credentials invalid")
            }
            Login::Busy => Reply::new(454, of(4, 7, 0), "Temporary authentication failure"),
        };
        self.wire.server.reply(reply);
    }

    async fn mail(&mut self, path: ReversePath, parameters: MailParameters) {
        if let Err(reply) = self.check_mail(&path, &parameters).await {
            self.wire.server.reply(reply);
            return;
        }
        let id = journal::transaction_id();
        let transaction = Transaction::new(id, path, parameters, Arc::clone(&self.policy));
        self.current = Some(Box::new(Current {
            transaction,
            relay: Relay::new(
                Arc::clone(&self.settings.upstream),
                self.worker.home(),
                self.origin(),
            ),
            body: Body::None,
            recording: None,
        }));
        let reply = Reply::new(250, EnhancedStatus::of(2, 1, 0), "Sender ok");
        self.wire.server.reply(reply);
    }

    fn origin(&self) -> Origin {
        Origin {
            client: self.client,
            helo: self.helo.clone(),
            extended: self.extended,
        }
    }

    /// Whether what MAIL asks for can be done, here and upstream (W11, E5, E7).
    async fn check_mail(
        &self,
        path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(), Reply> {
        let needs_upstream = parameters.eight_bit_mime
            || parameters.smtp_utf8
            || parameters.require_tls
            || parameters.uses_dsn();
        let upstream = match self.settings.upstream.known_extensions() {
            None if needs_upstream => self
                .settings
                .upstream
                .extensions()
                .await
                .ok_or_else(crate::transaction::answers::upstream_unreachable)?,
            known => known.unwrap_or_default(),
        };
        let limit = upstream.size_limit(self.settings.limits.message_size_limit);
        let missing = if parameters.size.is_some_and(|size| size > limit) {
            NotOffered::Size
        } else if parameters.uses_dsn() && !(upstream.dsn && self.rules.dsn) {
            NotOffered::Dsn
        } else if parameters.smtp_utf8 && !upstream.smtp_utf8 {
            NotOffered::SmtpUtf8
        } else if parameters.eight_bit_mime && !upstream.eight_bit_mime {
            NotOffered::EightBitMime
        } else if parameters.require_tls && !(upstream.require_tls && self.wire.server.is_secure())
        {
            NotOffered::RequireTls
        } else if !parameters.smtp_utf8 && !path.wire().is_ascii() {
            NotOffered::Utf8Address
        } else {
            return Ok(());
        };
        Err(missing.reply())
    }
}

pub(super) fn patience(timeouts: &crate::config::Timeouts, overloaded: bool) -> Patience {
    Patience {
        command: if overloaded {
            timeouts.command_overload
        } else {
            timeouts.command
        },
        data: timeouts.data,
        data_rate: timeouts.data_rate,
        handshake: timeouts.tls_handshake,
    }
}

fn server_options(settings: &Settings, rules: &SmtpRules, client: IpAddr) -> ServerOptions {
    let limits = &settings.limits;
    let upstream = settings.upstream.known_extensions().unwrap_or_default();
    ServerOptions {
        body: BodyLimits {
            message_size: upstream.size_limit(limits.message_size_limit),
            text_line: limits.text_line_limit,
            pass_long_lines: limits.pass_long_lines,
        },
        recipient_limit: limits.recipient_limit,
        error_limit: limits.error_limit,
        junk_command_limit: limits.junk_command_limit,
        start_tls: settings.tls.is_some()
            && matches!(rules.tls, TlsMode::Offered | TlsMode::Required),
        require_tls: rules.tls == TlsMode::Required,
        auth: !settings.users.is_empty(),
        xclient: is_in(&rules.xclient, client),
        lmtp: false,
        unreadable_recipients: false,
    }
}

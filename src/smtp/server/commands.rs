//! What each command does to the session.

use bytes::Bytes;

use super::{CloseReason, Dialect, Event, Kind, Server, State};
use crate::mail::{EnhancedStatus, PathError};
use crate::smtp::command::{Command, CommandError, Mechanism, Xclient};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Exchange, Step};

/// Largest uninvited chunk that is read and thrown away; a larger one ends the session (W9).
const SKIP_LIMIT: u64 = 1024 * 1024;

impl Server {
    /// Acts on one line; the event is for the caller, if there is one.
    pub(super) fn line(&mut self, line: Bytes) -> Option<Event> {
        if let State::Auth(exchange) = &mut self.state {
            let step = exchange.respond(&line);
            return self.auth_step(step);
        }
        let command = Command::parse(&line);
        // Only a further recipient may be understood before those in front of it are answered.
        let waits = !matches!(command, Ok(Command::Rcpt { .. }) | Err(_)) && !self.slots.is_empty();
        if waits {
            self.held = Some(line);
            return None;
        }
        match command {
            Ok(command) => self.command(command),
            Err(error) => self.not_a_command(error),
        }
    }

    fn not_a_command(&mut self, error: CommandError) -> Option<Event> {
        let unreadable = matches!(
            error,
            CommandError::ForwardPath(PathError::Address(_) | PathError::TooLong)
        );
        if unreadable && self.options.unreadable_recipients {
            self.may_recipient()?;
            self.wait_for(Kind::Rcpt);
            return Some(Event::UnreadableRecipient);
        }
        self.answer(error.reply());
        (error == CommandError::Http).then(|| self.close(CloseReason::NotSmtp))
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Hello { name, extended } => self.hello(Dialect::Smtp, name, extended),
            Command::LocalHello { name } => self.hello(Dialect::Lmtp, name, true),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial.as_ref()),
            Command::Xclient(said) => self.xclient(said),
            Command::Mail { path, parameters } => {
                self.may_mail()?;
                self.wait_for(Kind::Mail);
                Some(Event::Mail { path, parameters })
            }
            Command::Rcpt { path, parameters } => {
                self.may_recipient()?;
                self.wait_for(Kind::Rcpt);
                Some(Event::Recipient { path, parameters })
            }
            Command::Data => self.data(),
            Command::Bdat { size } => self.chunk(size),
            Command::Rset => {
                self.end_transaction();
                self.answer(Reply::new(250, EnhancedStatus::of(2, 0, 0), "Ok"));
                self.count_junk().or(Some(Event::Reset))
            }
            Command::Noop => self.idle_command(250, EnhancedStatus::of(2, 0, 0), "Ok"),
            Command::Help => self.idle_command(214, EnhancedStatus::of(2, 0, 0), "See RFC 5321"),
            // Says nothing about the address: the list cannot be read through VRFY (E10).
            Command::Vrfy => {
                let text = "Cannot VRFY, but will accept the message and try";
                self.idle_command(252, EnhancedStatus::of(2, 5, 0), text)
            }
            Command::NotImplemented => {
                self.answer(Reply::new(
                    502,
                    EnhancedStatus::of(5, 5, 1),
                    "Command not implemented",
                ));
                None
            }
            Command::Quit => {
                self.answer(Reply::new(221, EnhancedStatus::of(2, 0, 0), "Bye"));
                Some(self.close(CloseReason::Quit))
            }
        }
    }

    fn idle_command(
        &mut self,
        code: u16,
        status: EnhancedStatus,
        text: &'static str,
    ) -> Option<Event> {
        self.answer(Reply::new(code, status, text));
        self.count_junk()
    }

    fn hello(&mut self, dialect: Dialect, name: String, extended: bool) -> Option<Event> {
        if dialect == Dialect::Lmtp && !self.options.lmtp {
            return self.refuse(500, EnhancedStatus::of(5, 5, 2), "Command not recognized");
        }
        if self.has_early_input() {
            return Some(self.too_early());
        }
        // RFC 2033 §4.1: an LMTP session has no EHLO, and an SMTP session no LHLO.
        if self.dialect.is_some_and(|spoken| spoken != dialect) {
            let text = "This session has another protocol";
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), text);
        }
        self.dialect = Some(dialect);
        self.end_transaction();
        self.wait_for(Kind::Hello);
        // The first EHLO opens the session; each further one does nothing new.
        if self.greeted
            && let Some(close) = self.count_junk()
        {
            return Some(close);
        }
        Some(Event::Hello { name, extended })
    }

    fn start_tls(&mut self) -> Option<Event> {
        // RFC 3207 §4.2 and CVE-2011-0411: what follows was not encrypted and must not be executed.
        if self.has_early_input() {
            return Some(self.too_early());
        }
        if self.secure {
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), "TLS is already active");
        }
        if !self.options.start_tls {
            return self.refuse(
                502,
                EnhancedStatus::of(5, 5, 1),
                "STARTTLS is not available",
            );
        }
        if self.in_transaction() {
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), "Not inside a transaction");
        }
        self.wait_for(Kind::StartTls);
        Some(Event::StartTls)
    }

    /// From anybody else it is a command that we do not know (W15).
    fn xclient(&mut self, said: Xclient) -> Option<Event> {
        if !self.options.xclient {
            return self.refuse(500, EnhancedStatus::of(5, 5, 2), "Command not recognized");
        }
        if self.in_transaction() {
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), "Not inside a transaction");
        }
        self.wait_for(Kind::Xclient);
        Some(Event::Xclient(said))
    }

    fn auth(&mut self, mechanism: Option<Mechanism>, initial: Option<&Bytes>) -> Option<Event> {
        if self.has_early_input() {
            return Some(self.too_early());
        }
        if !self.secure && self.options.start_tls {
            let text = "Encryption required for authentication";
            return self.refuse(538, EnhancedStatus::of(5, 7, 11), text);
        }
        if !self.secure || !self.options.auth {
            let text = "Authentication is not available";
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), text);
        }
        if self.authenticated || self.in_transaction() || matches!(self.state, State::AwaitHello) {
            return self.refuse(503, EnhancedStatus::of(5, 5, 1), "Not now");
        }
        let Some(mechanism) = mechanism else {
            let text = "Unrecognized authentication mechanism";
            return self.refuse(504, EnhancedStatus::of(5, 5, 4), text);
        };
        let (exchange, prompt) = Exchange::begin(mechanism);
        self.state = State::Auth(exchange);
        let step = match (initial, &mut self.state) {
            // "=" stands for an empty response (RFC 4954 §4).
            (Some(response), State::Auth(exchange)) => {
                exchange.respond(if response.as_ref() == b"=" {
                    b""
                } else {
                    response
                })
            }
            _ => Step::Prompt(prompt),
        };
        self.auth_step(step)
    }

    fn auth_step(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::Prompt(prompt) => {
                self.answer(Reply::bare(334, prompt));
                None
            }
            Step::Done(credentials) => {
                self.state = State::Idle;
                if self.has_early_input() {
                    return Some(self.too_early());
                }
                self.wait_for(Kind::Auth);
                Some(Event::Authenticate(credentials))
            }
            Step::Cancelled => {
                self.state = State::Idle;
                self.refuse(501, EnhancedStatus::of(5, 7, 0), "Authentication cancelled")
            }
            Step::Malformed => {
                self.state = State::Idle;
                self.refuse(
                    501,
                    EnhancedStatus::of(5, 5, 2),
                    "Cannot decode the response",
                )
            }
        }
    }

    /// Whether MAIL may come now; answers if not.
    fn may_mail(&mut self) -> Option<()> {
        let reply = match self.state {
            State::Idle if self.options.require_tls && !self.secure => Reply::new(
                530,
                EnhancedStatus::of(5, 7, 0),
                "Must issue a STARTTLS command first",
            ),
            State::Idle => return Some(()),
            State::AwaitHello => Reply::new(503, EnhancedStatus::of(5, 5, 1), "Say EHLO first"),
            _ => Reply::new(503, EnhancedStatus::of(5, 5, 1), "Nested MAIL command"),
        };
        self.answer(reply);
        None
    }

    /// Whether a recipient may come now; answers if not.
    fn may_recipient(&mut self) -> Option<()> {
        let reply = match self.state {
            State::Transaction { accepted } => {
                if accepted + self.owed.recipients < self.options.recipient_limit {
                    return Some(());
                }
                Reply::new(452, EnhancedStatus::of(4, 5, 3), "Too many recipients")
            }
            _ => Reply::new(503, EnhancedStatus::of(5, 5, 1), "Need MAIL command"),
        };
        self.answer(reply);
        None
    }

    fn data(&mut self) -> Option<Event> {
        if self.has_early_input() {
            return Some(self.too_early());
        }
        match self.state {
            State::Transaction { accepted: 0 } => {
                // RFC 2033 §4.2 demands another code than RFC 5321 §3.3 allows.
                let code = if self.is_lmtp() { 503 } else { 554 };
                self.refuse(code, EnhancedStatus::of(5, 5, 1), "No valid recipients")
            }
            State::Transaction { .. } => {
                self.wait_for(Kind::Data);
                Some(Event::Data)
            }
            _ => self.refuse(503, EnhancedStatus::of(5, 5, 1), "Need RCPT command"),
        }
    }

    /// An uninvited BDAT: its octets follow and none of them may be taken for a command (W9).
    fn chunk(&mut self, size: Option<u64>) -> Option<Event> {
        match size {
            Some(left) if left <= SKIP_LIMIT => {
                let resume = Box::new(std::mem::replace(&mut self.state, State::Closed));
                self.state = State::SkipChunk { left, resume };
                None
            }
            _ => {
                self.answer(Reply::new(
                    421,
                    EnhancedStatus::of(4, 7, 0),
                    "CHUNKING is not offered",
                ));
                Some(self.close(CloseReason::NotSmtp))
            }
        }
    }

    pub(super) fn end_of_chunk(&mut self) {
        if let State::SkipChunk { resume, .. } = std::mem::replace(&mut self.state, State::Closed) {
            self.state = *resume;
        }
        self.answer(Reply::new(
            502,
            EnhancedStatus::of(5, 5, 1),
            "CHUNKING is not offered",
        ));
    }

    fn refuse(&mut self, code: u16, status: EnhancedStatus, text: &'static str) -> Option<Event> {
        self.answer(Reply::new(code, status, text));
        None
    }

    fn end_transaction(&mut self) {
        if !matches!(self.state, State::AwaitHello) {
            self.state = State::Idle;
        }
    }
}

//! Replies in order, one for each command, and what they do to the session.

use super::{BodyReader, CloseReason, Event, Kind, Owed, Server, Slot, State};
use crate::mail::EnhancedStatus;
use crate::smtp::reply::Reply;

impl Server {
    /// Greets the client.
    pub fn greet(&mut self, hostname: &str) {
        Reply::bare(220, format!("{hostname} ESMTP Sendgate")).encode(&mut self.output);
    }

    /// Answers the oldest event that awaits a reply.
    pub fn reply(&mut self, reply: Reply) {
        let Some(index) = self.slots.iter().position(|slot| slot.reply.is_none()) else {
            return;
        };
        let kind = self.slots[index].kind;
        *self.owed.count(kind) -= 1;
        // What came while the caller made up its mind came too early, whatever the answer is (W8).
        if matches!(kind, Kind::Hello | Kind::Auth | Kind::Data) && self.has_early_input() {
            self.slots.remove(index);
            let _ = self.too_early();
            return;
        }
        self.follow(kind, &reply);
        self.slots[index].reply = Some(reply);
        self.write_ready();
    }

    /// Answers EHLO or HELO with our name and the keywords.
    pub fn reply_hello(&mut self, hostname: &str, keywords: &[String]) {
        let reply = keywords
            .iter()
            .fold(Reply::bare(250, hostname.to_owned()), |reply, keyword| {
                reply.line(keyword)
            });
        self.reply(reply);
    }

    /// The handshake is done: everything said in clear is forgotten (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.secure = true;
        self.authenticated = false;
        self.greeted = false;
        self.dialect = None;
        self.state = State::AwaitHello;
        self.held = None;
        self.input.clear();
    }

    /// Whether there are bytes that a client in step could not have sent yet (W8).
    #[must_use]
    pub fn has_early_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Counts an error that the caller's own reply was: a client that tries many ends in 421 (W13).
    pub const fn count_error(&mut self) {
        self.errors += 1;
    }

    /// A message went through: what the client did before no longer counts against it. Else a client
    /// that keeps its connection would be cut off by the bad addresses of a long day.
    pub const fn forgive(&mut self) {
        self.errors = 0;
        self.junk = 0;
    }

    /// Ends the session with 421 and this text, as for a timeout or a shutdown.
    pub fn hang_up(&mut self, status: EnhancedStatus, text: &'static str) {
        self.slots.clear();
        self.owed = Owed::default();
        Reply::new(421, status, text).encode(&mut self.output);
        self.state = State::Closed;
    }

    /// Notes that the caller will answer a command of this kind.
    pub(super) fn wait_for(&mut self, kind: Kind) {
        *self.owed.count(kind) += 1;
        self.slots.push_back(Slot { kind, reply: None });
    }

    /// Answers a command ourselves, in its place behind those that wait.
    pub(super) fn answer(&mut self, reply: Reply) {
        if is_error(&reply) {
            self.errors += 1;
        }
        if self.slots.is_empty() {
            reply.encode(&mut self.output);
        } else {
            self.slots.push_back(Slot {
                kind: Kind::Other,
                reply: Some(reply),
            });
        }
        self.check_limit();
    }

    fn write_ready(&mut self) {
        while let Some(Slot {
            reply: Some(reply), ..
        }) = self.slots.front()
        {
            reply.encode(&mut self.output);
            self.slots.pop_front();
        }
        self.check_limit();
    }

    fn check_limit(&mut self) {
        if self.errors > self.options.error_limit && self.slots.is_empty() {
            self.hang_up(EnhancedStatus::of(4, 7, 0), "Too many errors");
        }
    }

    /// Moves the session on as the reply says.
    fn follow(&mut self, kind: Kind, reply: &Reply) {
        if is_error(reply) {
            self.errors += 1;
        }
        match (kind, reply.code()) {
            (Kind::Hello, 200..300) => {
                self.greeted = true;
                self.state = State::Idle;
            }
            (Kind::Xclient, 200..300) => {
                self.greeted = false;
                self.dialect = None;
                self.authenticated = false;
                self.state = State::AwaitHello;
            }
            (Kind::Auth, 200..300) => self.authenticated = true,
            (Kind::Mail, 200..300) => self.state = State::Transaction { accepted: 0 },
            (Kind::Rcpt, 200..300) => {
                if let State::Transaction { accepted } = &mut self.state {
                    *accepted += 1;
                }
            }
            (Kind::Data, 354) => {
                if let State::Transaction { accepted } = self.state {
                    self.addressees = accepted;
                }
                self.state = State::Body(BodyReader::new(self.options.body));
            }
            // The message was answered; whatever the answer, the transaction is over.
            (Kind::Data | Kind::EndOfData, _) => self.state = State::Idle,
            _ => {}
        }
    }

    pub(super) fn count_junk(&mut self) -> Option<Event> {
        self.junk += 1;
        if self.junk <= self.options.junk_command_limit {
            return None;
        }
        self.hang_up(
            EnhancedStatus::of(4, 7, 0),
            "Too many commands without mail",
        );
        Some(Event::Close(CloseReason::Limit))
    }

    /// Bytes came before the reply they depend on: nothing of them is ever executed.
    pub(super) fn too_early(&mut self) -> Event {
        let text = "Improper use of command pipelining";
        self.slots.push_back(Slot {
            kind: Kind::Other,
            reply: Some(Reply::new(554, EnhancedStatus::of(5, 5, 0), text)),
        });
        self.write_ready();
        self.close(CloseReason::EarlyInput)
    }

    pub(super) fn close(&mut self, reason: CloseReason) -> Event {
        self.state = State::Closed;
        self.input.clear();
        Event::Close(reason)
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

/// Whether the reply says that the client made a mistake, rather than that somebody gets no mail.
fn is_error(reply: &Reply) -> bool {
    matches!(reply.code(), 500..=504 | 521 | 530 | 535 | 538 | 553 | 555)
}

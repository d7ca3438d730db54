//! The [`Relay`] carries one client transaction to the upstream: at most one transaction there, on
//! one connection (R14).
//!
//! It owns no message. Recipients are offered as they come, the body flows through, and the
//! upstream's words are the client's.

mod envelope;
mod message;

use std::net::IpAddr;
use std::sync::Arc;

use super::upstream::{Connection, Lost, Upstream};
use super::worker::Home;
use crate::smtp::{Reply, UpstreamReply};
use crate::transaction::answers;

pub(super) use envelope::Offered;
pub(super) use message::Ending;

/// The upstream's side of one client transaction.
pub(super) struct Relay {
    upstream: Arc<Upstream>,
    /// Whose kept connections are used.
    home: Home,
    origin: Origin,
    connection: Option<Connection>,
    stage: Stage,
    /// What every further recipient, or the message, hears: the transaction is lost.
    failure: Option<Reply>,
    /// What the upstream said of the message before it had all of it.
    early_words: Option<String>,
    /// Whether a token went out in MAIL: what the upstream says is shown without it (A5).
    signed: bool,
}

/// Who the mail comes from, for an upstream that wants to know (R11).
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The client's address.
    pub(super) client: IpAddr,
    /// What it calls itself.
    pub(super) helo: String,
    /// Whether it speaks ESMTP.
    pub(super) extended: bool,
}

/// How far the upstream's transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun.
    None,
    /// MAIL was accepted.
    Envelope,
    /// DATA was accepted; the body is on its way.
    Data,
}

impl Relay {
    pub(super) const fn new(upstream: Arc<Upstream>, home: Home, origin: Origin) -> Self {
        Self {
            upstream,
            home,
            origin,
            connection: None,
            stage: Stage::None,
            failure: None,
            early_words: None,
            signed: false,
        }
    }

    /// Whether MAIL was accepted, so that its return path can only be changed by a new transaction.
    pub(super) fn has_begun(&self) -> bool {
        self.stage != Stage::None
    }

    /// Ends the upstream's transaction. Inside the data the connection is closed, because there is
    /// no other way to take the message back; elsewhere it is kept.
    pub(super) fn release(&mut self) {
        let in_data = self.stage == Stage::Data;
        self.stage = Stage::None;
        if let Some(connection) = self.connection.take()
            && !in_data
        {
            self.upstream.give_back(self.home, connection);
        }
    }

    /// A reply without our token, which a refusal likes to quote.
    fn without_token(&self, reply: UpstreamReply) -> UpstreamReply {
        if self.signed {
            reply.without_tokens()
        } else {
            reply
        }
    }

    fn lose(&mut self, lost: &Lost) {
        tracing::warn!(%lost, upstream = self.upstream.address(), "upstream connection dropped");
        self.connection = None;
        self.failure = Some(answers::upstream_lost());
    }
}

#[cfg(test)]
mod tests;

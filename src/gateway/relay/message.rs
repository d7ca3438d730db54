//! The message: DATA, the body as it flows, and the one reply that decides (R1).

use bytes::{BufMut, Bytes};

use super::{Connection, Relay, Stage};
use crate::gateway::buffers;
use crate::gateway::upstream::Lost;
use crate::log::entry::Outcome;
use crate::smtp::{ClientFault, Expect, Reply, UpstreamReply};
use crate::transaction::answers;

/// How much of a body is gathered before it is written.
const BLOCK_SIZE: usize = 128 * 1024;
/// A piece of a body from this size on is not copied.
const COPY_LIMIT: usize = 8 * 1024;

/// How a message ended.
#[derive(Debug)]
pub(in crate::gateway) struct Ending {
    /// What the client hears.
    pub(in crate::gateway) reply: Reply,
    /// What the log says.
    pub(in crate::gateway) outcome: Outcome,
    /// What the upstream said, if it said anything.
    pub(in crate::gateway) upstream_reply: Option<String>,
}

impl Relay {
    /// Opens the upstream's DATA; the error is how the message ends instead.
    pub(in crate::gateway) async fn open_data(&mut self) -> Result<(), Ending> {
        let patience = self.upstream.timeouts().data;
        let (None, Some(connection)) = (&self.failure, &mut self.connection) else {
            return Err(self.lost_message());
        };
        if let Err(lost) = connection.expect_silence() {
            self.lose(&lost);
            return Err(self.lost_message());
        }
        connection.client.command(Expect::Data, &[b"DATA"]);
        match connection.reply(patience).await {
            Ok((_, reply)) => self.opened(reply).await,
            Err(lost) => {
                self.lose(&lost);
                Err(self.lost_message())
            }
        }
    }

    /// What follows from the upstream's reply to DATA.
    pub(super) async fn opened(&mut self, reply: UpstreamReply) -> Result<(), Ending> {
        if reply.code() == 354 {
            self.stage = Stage::Data;
            // From here a reply can only be about the message, however early it comes (F4).
            if let Some(connection) = &mut self.connection {
                connection.client.expect_end_of_data();
            }
            return Ok(());
        }
        if reply.code() == 421 {
            self.connection = None;
        } else if reply.code() >= 500
            && let Err(lost) = self.confirm_in_step().await
        {
            self.lose(&lost);
            return Err(self.lost_message());
        }
        self.stage = Stage::None;
        let reply = self.without_token(reply);
        Err(Ending {
            reply: answers::of_upstream(&reply, false),
            outcome: Outcome::Refused,
            upstream_reply: Some(reply.to_string()),
        })
    }

    /// Makes sure that what refused DATA for good was its reply.
    ///
    /// A reply too many to a command that was on its way together with others looks like the reply to
    /// the next, and so does every one behind it; only what comes last answers nothing (X41). A
    /// permanent refusal cannot be taken back, so RSET is asked, which must be before the connection is
    /// used again anyway (R12).
    async fn confirm_in_step(&mut self) -> Result<(), Lost> {
        let patience = self.upstream.timeouts().data;
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let answer = match connection.expect_silence() {
            Ok(()) => {
                connection.client.command(Expect::Rset, &[b"RSET"]);
                connection.reply(patience).await
            }
            Err(lost) => Err(lost),
        };
        match answer {
            Ok((_, reply)) if reply.is_positive() => Ok(()),
            Err(Lost::Fault(fault)) => Err(fault.into()),
            // Nobody refuses RSET: that is the reply to DATA.
            Ok((_, reply)) if reply.code() != 421 => Err(ClientFault::Unasked.into()),
            // It went away, which says nothing against what it said.
            Ok(_) | Err(Lost::Io(_) | Lost::TooSlow(_)) => {
                self.connection = None;
                Ok(())
            }
        }
    }

    /// Adds a part of the header; it goes out with the next [`Self::flush`].
    pub(in crate::gateway) fn send(&mut self, part: &[u8]) {
        if let Some(connection) = &mut self.connection {
            let output = connection.client.output();
            if output.is_empty() {
                buffers::lend(output);
            }
            output.put_slice(part);
        }
    }

    /// Adds a piece of the body; it goes out with the next [`Self::flush`], or at once when enough
    /// has gathered. While the upstream does not read, neither do we (W13).
    ///
    /// A large piece is written from where it was read: copying it would cost as much as reading it.
    pub(in crate::gateway) async fn send_body(&mut self, piece: &Bytes) {
        if self.connection.as_ref().is_some_and(Connection::has_tail) {
            self.flush().await;
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        if piece.len() >= COPY_LIMIT {
            connection.queue_tail(piece.clone());
        } else {
            connection.client.output().put_slice(piece);
        }
        if connection.unwritten() >= BLOCK_SIZE {
            self.flush().await;
        }
    }

    /// Writes what has gathered.
    pub(in crate::gateway) async fn flush(&mut self) {
        let patience = self.upstream.timeouts().block;
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.write(patience).await {
            // The client may take its time with the next piece.
            Ok(None) => buffers::give_back(connection.client.output()),
            Ok(Some(reply)) => self.refused_early(reply),
            Err(lost) => self.lose(&lost),
        }
    }

    /// Whether the message cannot be delivered any more.
    pub(in crate::gateway) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Sends the end of the data and waits for the one reply that decides (R1, R2).
    pub(in crate::gateway) async fn finish(&mut self) -> Ending {
        self.hear_early_refusal();
        // The last of the body, the dot and the reply are one exchange: looked at apart, a reply that
        // is merely quick would seem to come before the dot.
        let timeouts = self.upstream.timeouts();
        let patience = timeouts.block + timeouts.final_reply;
        let (None, Some(connection)) = (&self.failure, &mut self.connection) else {
            return self.lost_message();
        };
        connection.queue_end();
        match connection.reply(patience).await {
            Ok((_, reply)) if connection.has_unwritten() => {
                self.refused_early(reply);
                self.lost_message()
            }
            Ok((_, reply)) => {
                let reply = self.without_token(reply);
                let outcome = if reply.is_positive() {
                    Outcome::Delivered
                } else {
                    Outcome::Refused
                };
                if reply.code() == 421 {
                    self.connection = None;
                }
                self.stage = Stage::None;
                Ending {
                    reply: answers::of_upstream(&reply, false),
                    outcome,
                    upstream_reply: Some(reply.to_string()),
                }
            }
            Err(lost) if connection.owes_end() => {
                self.lose(&lost);
                self.lost_message()
            }
            Err(lost) => {
                // The upstream may have it or not. Trying elsewhere could deliver it twice (R6).
                tracing::warn!(%lost, "no reply to the end of the data: the outcome is not known");
                self.lose(&lost);
                Ending {
                    reply: answers::upstream_lost(),
                    outcome: Outcome::Indeterminate,
                    upstream_reply: None,
                }
            }
        }
    }

    /// Takes what the upstream said before the end of the data was sent.
    fn hear_early_refusal(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.early_reply() {
            Ok(None) => {}
            Ok(Some(reply)) => self.refused_early(reply),
            Err(lost) => self.lose(&lost),
        }
    }

    /// The upstream refused the message before it had all of it.
    fn refused_early(&mut self, reply: UpstreamReply) {
        let reply = self.without_token(reply);
        tracing::warn!(%reply, upstream = self.upstream.address(), "the upstream answered before the end of the data");
        self.early_words = Some(reply.to_string());
        self.connection = None;
        // A 250 to a message that is not complete makes no sense (X41).
        self.failure = Some(if reply.is_positive() {
            answers::upstream_lost()
        } else {
            answers::of_upstream(&reply, false)
        });
    }

    /// The message was given up before the upstream had all of it.
    pub(super) fn lost_message(&self) -> Ending {
        let reply = self.failure.clone().unwrap_or_else(answers::upstream_lost);
        let outcome = if reply.is_permanent() {
            Outcome::Refused
        } else {
            Outcome::Aborted
        };
        Ending {
            reply,
            outcome,
            upstream_reply: self.early_words.clone(),
        }
    }
}

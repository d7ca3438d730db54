//! The [`Relay`] carries one client transaction to the upstream: at most one transaction there, on
//! one connection (R14).
//!
//! It owns no message. Recipients are offered as they come, the body flows through, and the
//! upstream's words are the client's.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BufMut;

use super::upstream::{Connection, Lost, Upstream};
use crate::log::entry::Outcome;
use crate::smtp::extensions::Xforward;
use crate::smtp::xtext;
use crate::smtp::{ClientFault, Expect, Reply, UpstreamReply};
use crate::transaction::answers::NotOffered;
use crate::transaction::{Fate, Transaction, answers};

/// How much of a body is gathered before it is written.
const BLOCK_SIZE: usize = 64 * 1024;

/// The upstream's side of one client transaction.
pub(super) struct Relay {
    upstream: Arc<Upstream>,
    origin: Origin,
    connection: Option<Connection>,
    stage: Stage,
    /// What every further recipient, or the message, hears: the transaction is lost.
    failure: Option<Reply>,
    /// What the upstream said of the message before it had all of it.
    early_words: Option<String>,
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

/// How a message ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// What the client hears.
    pub(super) reply: Reply,
    /// What the log says.
    pub(super) outcome: Outcome,
    /// What the upstream said, if it said anything.
    pub(super) upstream_reply: Option<String>,
}

/// What the upstream answered to one recipient.
#[derive(Debug)]
pub(super) struct Offered {
    /// Which recipient of the transaction.
    pub(super) index: usize,
    /// What the client hears.
    pub(super) reply: Reply,
    /// The upstream's own reply to RCPT, if it was asked.
    pub(super) upstream_reply: Option<UpstreamReply>,
}

impl Relay {
    pub(super) const fn new(upstream: Arc<Upstream>, origin: Origin) -> Self {
        Self {
            upstream,
            origin,
            connection: None,
            stage: Stage::None,
            failure: None,
            early_words: None,
        }
    }

    /// Offers the recipients with these indices, in one write, and says what became of each.
    pub(super) async fn offer(
        &mut self,
        transaction: &Transaction,
        indices: &[usize],
    ) -> Vec<Offered> {
        if indices.is_empty() {
            return Vec::new();
        }
        // A kept connection may have been closed at the other end while nobody looked. Nothing of
        // the transaction was accepted on it, so a new one may be tried once (R14).
        loop {
            if let Some(reply) = &self.failure {
                return all(indices, reply);
            }
            if let Err(reply) = self.ensure_connection().await {
                self.failure = Some(reply.clone());
                return all(indices, &reply);
            }
            if let Some(reply) = self.missing(transaction) {
                self.failure = Some(reply);
                continue;
            }
            let fresh = self.connection.as_ref().is_none_or(|c| !c.needs_reset);
            match self.try_offer(transaction, indices).await {
                Ok(offered) => return offered,
                Err(lost) if !fresh && self.stage == Stage::None => {
                    tracing::debug!(%lost, "a kept upstream connection was of no use");
                    self.connection = None;
                    self.connection = match self.upstream.connect().await {
                        Ok(connection) => Some(connection),
                        Err(error) => {
                            self.failure = Some(error.reply());
                            None
                        }
                    };
                }
                Err(lost) => self.lose(&lost),
            }
        }
    }

    /// What the client asked for and this connection does not offer. The upstream may have offered it
    /// on another connection, but nothing is downgraded (E7).
    fn missing(&self, transaction: &Transaction) -> Option<Reply> {
        let offered = self.connection.as_ref()?.extensions;
        let asked = &transaction.parameters;
        let uses_dsn = asked.uses_dsn()
            || transaction
                .recipients
                .iter()
                .any(|one| one.parameters.uses_dsn());
        let missing = if asked.eight_bit_mime && !offered.eight_bit_mime {
            NotOffered::EightBitMime
        } else if asked.smtp_utf8 && !offered.smtp_utf8 {
            NotOffered::SmtpUtf8
        } else if asked.require_tls && !offered.require_tls {
            NotOffered::RequireTls
        } else if uses_dsn && !offered.dsn {
            NotOffered::Dsn
        } else {
            return None;
        };
        Some(missing.reply())
    }

    async fn ensure_connection(&mut self) -> Result<(), Reply> {
        if self.connection.is_none() {
            let taken = self.upstream.take().await;
            self.connection = Some(taken.map_err(|error| error.reply())?);
        }
        Ok(())
    }

    async fn try_offer(
        &mut self,
        transaction: &Transaction,
        indices: &[usize],
    ) -> Result<Vec<Offered>, Lost> {
        let patience = self.upstream.timeouts().command;
        let Some(connection) = &mut self.connection else {
            return Ok(Vec::new());
        };
        if !connection.is_quiet() {
            return Err(ClientFault::Unasked.into());
        }
        let mut commands = Vec::with_capacity(indices.len() + 2);
        if self.stage == Stage::None {
            if connection.needs_reset {
                commands.push(Expect::Rset);
            }
            // Anew for each transaction: a kept connection carries another client's address (R11).
            if connection.extensions.xforward.any() {
                commands.push(Expect::Xforward);
            }
            commands.push(Expect::Mail);
        }
        commands.extend(indices.iter().map(|&index| Expect::Rcpt(index)));
        let pipelining = connection.extensions.pipelining;
        let mut refusal: Option<Reply> = None;
        let mut offered = Vec::with_capacity(indices.len());
        let steps: Vec<&[Expect]> = if pipelining {
            vec![&commands]
        } else {
            commands.chunks(1).collect()
        };
        for step in steps {
            if refusal.is_some() && !pipelining {
                break;
            }
            connection.expect_silence()?;
            for &expect in step {
                queue(connection, expect, transaction, &self.origin);
            }
            for _ in step {
                let (expect, reply) = connection.reply(patience).await?;
                if reply.code() == 421 {
                    return Err(Lost::Io(std::io::ErrorKind::ConnectionAborted.into()));
                }
                match expect {
                    Expect::Rset if !reply.is_positive() => {
                        return Err(Lost::Io(std::io::ErrorKind::ConnectionRefused.into()));
                    }
                    Expect::Mail if reply.is_positive() => self.stage = Stage::Envelope,
                    Expect::Mail => refusal = Some(answers::of_upstream(&reply, true)),
                    Expect::Rcpt(index) => offered.push(answer(index, reply, refusal.as_ref())),
                    _ => {}
                }
            }
        }
        if let Some(reply) = refusal {
            // MAIL was answered 250 by us; its refusal shows at each recipient (R3).
            self.failure = Some(reply.clone());
            return Ok(all(indices, &reply));
        }
        Ok(offered)
    }

    /// Offers the accepted recipients once more in a transaction of their own, because a header
    /// took some out. All of them must be accepted again, or nothing is sent.
    pub(super) async fn reissue(&mut self, transaction: &Transaction) -> Result<(), Reply> {
        let indices = transaction.with_fate(Fate::Accepted);
        if let Some(connection) = &mut self.connection {
            connection.needs_reset = true;
        }
        self.stage = Stage::None;
        if let Err(lost) = self.try_offer_again(transaction, &indices).await {
            // Recipients were accepted on this connection: there is no second one (R14).
            self.lose(&lost);
        }
        self.failure.clone().map_or(Ok(()), Err)
    }

    async fn try_offer_again(
        &mut self,
        transaction: &Transaction,
        indices: &[usize],
    ) -> Result<(), Lost> {
        let offered = self.try_offer(transaction, indices).await?;
        let refused = offered.into_iter().find(|one| !one.reply.is_positive());
        if let Some(refused) = refused {
            self.failure = Some(refused.reply);
        } else if self.stage == Stage::None {
            self.failure = Some(answers::upstream_lost());
        }
        Ok(())
    }

    /// Opens the upstream's DATA; the error is how the message ends instead.
    pub(super) async fn open_data(&mut self) -> Result<(), Ending> {
        let patience = self.upstream.timeouts().data;
        let (None, Some(connection)) = (&self.failure, &mut self.connection) else {
            return Err(self.lost_message(None));
        };
        if let Err(lost) = connection.expect_silence() {
            self.lose(&lost);
            return Err(self.lost_message(None));
        }
        connection.client.command(Expect::Data, &[b"DATA"]);
        match connection.reply(patience).await {
            Ok((_, reply)) if reply.code() == 354 => {
                self.stage = Stage::Data;
                // From here a reply can only be about the message, however early it comes (F4).
                connection.client.expect_end_of_data();
                Ok(())
            }
            Ok((_, reply)) => {
                if reply.code() == 421 {
                    self.connection = None;
                }
                self.stage = Stage::None;
                Err(Ending {
                    reply: answers::of_upstream(&reply, false),
                    outcome: Outcome::Refused,
                    upstream_reply: Some(reply.to_string()),
                })
            }
            Err(lost) => {
                self.lose(&lost);
                Err(self.lost_message(None))
            }
        }
    }

    /// Adds a piece of the body; it goes out with the next [`Self::flush`], or at once when enough
    /// has gathered. While the upstream does not read, neither do we (W13).
    pub(super) async fn send(&mut self, piece: &[u8]) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.client.output().put_slice(piece);
        if connection.client.output().len() >= BLOCK_SIZE {
            self.flush().await;
        }
    }

    /// Writes what has gathered.
    pub(super) async fn flush(&mut self) {
        let patience = self.upstream.timeouts().block;
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.write(patience).await {
            Ok(None) => {}
            Ok(Some(reply)) => self.refused_early(&reply),
            Err(lost) => self.lose(&lost),
        }
    }

    /// Whether the message cannot be delivered any more.
    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Sends the end of the data and waits for the one reply that decides (R1, R2).
    pub(super) async fn finish(&mut self) -> Ending {
        self.hear_early_refusal();
        // The last of the body, the dot and the reply are one exchange: looked at apart, a reply that
        // is merely quick would seem to come before the dot.
        let timeouts = self.upstream.timeouts();
        let patience = timeouts.block + timeouts.final_reply;
        let (None, Some(connection)) = (&self.failure, &mut self.connection) else {
            return self.lost_message(None);
        };
        connection.client.output().put_slice(b".\r\n");
        match connection.reply(patience).await {
            Ok((_, reply)) if !connection.client.output().is_empty() => {
                self.refused_early(&reply);
                self.lost_message(Some(reply.to_string()))
            }
            Ok((_, reply)) => {
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

    /// The message was given up before the upstream had all of it.
    fn lost_message(&self, upstream_reply: Option<String>) -> Ending {
        let reply = self.failure.clone().unwrap_or_else(answers::upstream_lost);
        let outcome = if reply.is_permanent() {
            Outcome::Refused
        } else {
            Outcome::Aborted
        };
        Ending {
            reply,
            outcome,
            upstream_reply: upstream_reply.or_else(|| self.early_words.clone()),
        }
    }

    /// Ends the upstream's transaction. Inside the data the connection is closed, because there is
    /// no other way to take the message back; elsewhere it is kept.
    pub(super) fn release(&mut self) {
        let in_data = self.stage == Stage::Data;
        self.stage = Stage::None;
        if let Some(connection) = self.connection.take()
            && !in_data
        {
            self.upstream.give_back(connection);
        }
    }

    /// Takes what the upstream said before the end of the data was sent.
    fn hear_early_refusal(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.early_reply() {
            Ok(None) => {}
            Ok(Some(reply)) => self.refused_early(&reply),
            Err(lost) => self.lose(&lost),
        }
    }

    /// The upstream refused the message before it had all of it.
    fn refused_early(&mut self, reply: &UpstreamReply) {
        tracing::warn!(%reply, upstream = self.upstream.address(), "the upstream answered before the end of the data");
        self.early_words = Some(reply.to_string());
        self.connection = None;
        // A 250 to a message that is not complete makes no sense (X41).
        self.failure = Some(if reply.is_positive() {
            answers::upstream_lost()
        } else {
            answers::of_upstream(reply, false)
        });
    }

    fn lose(&mut self, lost: &Lost) {
        tracing::warn!(%lost, upstream = self.upstream.address(), "upstream connection dropped");
        self.connection = None;
        self.failure = Some(answers::upstream_lost());
    }
}

fn queue(connection: &mut Connection, expect: Expect, transaction: &Transaction, origin: &Origin) {
    let mut parameters = Vec::new();
    match expect {
        Expect::Mail => {
            transaction
                .parameters
                .encode(&connection.extensions, &mut parameters);
            let path = transaction.reverse_path.wire();
            connection
                .client
                .command(expect, &[b"MAIL FROM:", path, &parameters]);
        }
        Expect::Rcpt(index) => {
            let recipient = &transaction.recipients[index];
            recipient
                .parameters
                .encode(&connection.extensions, &mut parameters);
            let path = recipient.path.wire();
            connection
                .client
                .command(expect, &[b"RCPT TO:", path, &parameters]);
        }
        Expect::Rset => {
            connection.client.command(expect, &[b"RSET"]);
            connection.needs_reset = false;
        }
        Expect::Xforward => {
            let command = origin.xforward(connection.extensions.xforward);
            connection.client.command(expect, &[command.as_bytes()]);
        }
        Expect::Data | Expect::EndOfData | Expect::Quit => {}
    }
}

impl Origin {
    /// The command with the attributes that are offered.
    fn xforward(&self, offered: Xforward) -> String {
        let mut command = "XFORWARD".to_owned();
        if offered.address {
            command.push_str(&match self.client {
                IpAddr::V4(address) => format!(" ADDR={address}"),
                IpAddr::V6(address) => format!(" ADDR=IPV6:{address}"),
            });
        }
        if offered.helo {
            command.push_str(&format!(" HELO={}", xtext::encode(self.helo.as_bytes())));
        }
        if offered.protocol {
            command.push_str(if self.extended {
                " PROTO=ESMTP"
            } else {
                " PROTO=SMTP"
            });
        }
        command
    }
}

fn answer(index: usize, reply: UpstreamReply, refusal: Option<&Reply>) -> Offered {
    Offered {
        index,
        reply: refusal
            .cloned()
            .unwrap_or_else(|| answers::of_upstream(&reply, false)),
        upstream_reply: refusal.is_none().then_some(reply),
    }
}

fn all(indices: &[usize], reply: &Reply) -> Vec<Offered> {
    indices
        .iter()
        .map(|&index| Offered {
            index,
            reply: reply.clone(),
            upstream_reply: None,
        })
        .collect()
}

#[cfg(test)]
mod tests;

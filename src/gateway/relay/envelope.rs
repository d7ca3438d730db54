//! The envelope: MAIL and the recipients, offered in one write and answered in the upstream's words.

use std::net::IpAddr;

use super::{Origin, Relay, Stage};
use crate::gateway::upstream::{Connection, Lost};
use crate::smtp::extensions::Xforward;
use crate::smtp::xtext;
use crate::smtp::{Expect, Reply, UpstreamReply};
use crate::transaction::answers::NotOffered;
use crate::transaction::{Fate, Transaction, answers};

/// What the upstream answered to one recipient.
#[derive(Debug)]
pub(in crate::gateway) struct Offered {
    /// Which recipient of the transaction.
    pub(in crate::gateway) index: usize,
    /// What the client hears.
    pub(in crate::gateway) reply: Reply,
    /// The upstream's own reply to RCPT, if it was asked.
    pub(in crate::gateway) upstream_reply: Option<UpstreamReply>,
}

impl Relay {
    /// Offers the recipients with these indices, in one write, and says what became of each.
    pub(in crate::gateway) async fn offer(
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
        let commands = plan(connection, self.stage, indices);
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
    pub(in crate::gateway) async fn reissue(
        &mut self,
        transaction: &Transaction,
    ) -> Result<(), Reply> {
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
}

/// The commands that offer these recipients, those that begin the transaction among them.
fn plan(connection: &Connection, stage: Stage, indices: &[usize]) -> Vec<Expect> {
    let mut commands = Vec::with_capacity(indices.len() + 3);
    if stage == Stage::None {
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
    commands
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

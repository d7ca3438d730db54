//! The envelope: MAIL and the recipients, offered in one write and answered in the upstream's words.

use std::net::IpAddr;

use super::{Ending, Origin, Relay, Stage};
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

impl Offered {
    /// Whether the upstream itself refused it.
    pub(in crate::gateway) fn is_refused(&self) -> bool {
        self.upstream_reply
            .as_ref()
            .is_some_and(|reply| !reply.is_positive())
    }
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
            if let Some(reply) = self.missing(transaction, indices) {
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
    fn missing(&self, transaction: &Transaction, indices: &[usize]) -> Option<Reply> {
        let offered = self.connection.as_ref()?.extensions;
        let asked = &transaction.parameters;
        let uses_dsn = asked.uses_dsn()
            || indices
                .iter()
                .any(|&index| transaction.recipients[index].parameters.uses_dsn());
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
            let taken = self.upstream.take(self.home).await;
            self.connection = Some(taken.map_err(|error| error.reply())?);
        }
        Ok(())
    }

    async fn try_offer(
        &mut self,
        transaction: &Transaction,
        indices: &[usize],
    ) -> Result<Vec<Offered>, Lost> {
        let Some(connection) = &self.connection else {
            return Ok(Vec::new());
        };
        let commands = plan(connection, self.stage, indices);
        let answers = self.exchange(transaction, &commands).await?;
        if let Some(reply) = answers.refusal {
            // MAIL was answered 250 by us; its refusal shows at each recipient (R3).
            self.failure = Some(reply.clone());
            return Ok(all(indices, &reply));
        }
        Ok(answers.offered)
    }

    /// Sends these commands, in one write where the upstream takes that, and hears their replies.
    async fn exchange(
        &mut self,
        transaction: &Transaction,
        commands: &[Expect],
    ) -> Result<Answers, Lost> {
        let timeouts = *self.upstream.timeouts();
        let mut answers = Answers::default();
        let Some(connection) = &mut self.connection else {
            return Ok(answers);
        };
        if commands.contains(&Expect::Mail) {
            self.signed = transaction.signed.is_some();
        }
        let pipelining = connection.extensions.pipelining;
        let step = if pipelining { commands.len() } else { 1 };
        for step in commands.chunks(step.max(1)) {
            if answers.refusal.is_some() && !pipelining {
                break;
            }
            connection.expect_silence()?;
            for &expect in step {
                queue(connection, expect, transaction, &self.origin);
            }
            for awaited in step {
                let patience = match awaited {
                    Expect::Data => timeouts.data,
                    _ => timeouts.command,
                };
                let (expect, reply) = connection.reply(patience).await?;
                if reply.code() == 421 {
                    return Err(Lost::Io(std::io::ErrorKind::ConnectionAborted.into()));
                }
                let reply = if self.signed {
                    reply.without_tokens()
                } else {
                    reply
                };
                match expect {
                    Expect::Rset if !reply.is_positive() => {
                        return Err(Lost::Io(std::io::ErrorKind::ConnectionRefused.into()));
                    }
                    Expect::Mail if reply.is_positive() => self.stage = Stage::Envelope,
                    Expect::Mail => answers.refusal = Some(answers::of_upstream(&reply, true)),
                    Expect::Rcpt(index) => {
                        let refusal = answers.refusal.as_ref();
                        let offered = answer(index, reply, refusal);
                        answers.offered.push(offered);
                    }
                    Expect::Data => answers.data = Some(reply),
                    _ => {}
                }
            }
        }
        Ok(answers)
    }

    /// Begins the upstream's transaction anew with the recipients it accepted, and opens its DATA:
    /// a header took some out, or the return path must say something else. All of them must be
    /// accepted again, or nothing is sent.
    ///
    /// Where the upstream takes commands in one write, this costs no more time than DATA alone.
    pub(in crate::gateway) async fn reopen(
        &mut self,
        transaction: &Transaction,
    ) -> Result<(), Ending> {
        if let Some(connection) = &mut self.connection {
            connection.needs_reset = true;
        }
        self.stage = Stage::None;
        match self.try_reopen(transaction).await {
            Ok(opened) => opened,
            Err(lost) => {
                // Recipients were accepted on this connection: there is no second one (R14).
                self.lose(&lost);
                Err(self.lost_message())
            }
        }
    }

    async fn try_reopen(&mut self, transaction: &Transaction) -> Result<Result<(), Ending>, Lost> {
        let indices = transaction.with_fate(Fate::Accepted);
        let Some(connection) = &self.connection else {
            return Ok(Err(self.lost_message()));
        };
        let mut commands = plan(connection, Stage::None, &indices);
        if connection.extensions.pipelining {
            commands.push(Expect::Data);
        }
        let answers = self.exchange(transaction, &commands).await?;
        if let Some((reply, words)) = answers.refused_again() {
            self.failure = Some(reply);
            self.early_words = Some(words);
            if answers.data.is_some_and(|data| data.code() == 354) {
                // It waits for a message that must not come, to those who are left.
                self.connection = None;
            }
            return Ok(Err(self.lost_message()));
        }
        Ok(match answers.data {
            Some(reply) => self.opened(reply).await,
            None => self.open_data().await,
        })
    }
}

/// What the upstream answered to the commands of one exchange.
#[derive(Default)]
struct Answers {
    /// The refusal of MAIL, which holds for every recipient.
    refusal: Option<Reply>,
    offered: Vec<Offered>,
    /// The reply to DATA.
    data: Option<UpstreamReply>,
}

impl Answers {
    /// What the message hears where the upstream refuses what it accepted before, and the upstream's
    /// words.
    ///
    /// A permanent refusal of some is not passed on: the client would file it for all of them. When
    /// it comes again, each is answered at RCPT.
    fn refused_again(&self) -> Option<(Reply, String)> {
        if let Some(reply) = &self.refusal {
            return Some((reply.clone(), reply.to_string()));
        }
        let first = self.offered.iter().find(|one| !one.reply.is_positive())?;
        let sense = |one: &Offered| {
            let said = one.upstream_reply.as_ref();
            said.map(|reply| (reply.code(), reply.status()))
        };
        let are_alike = self.offered.iter().all(|one| sense(one) == sense(first));
        let words = match &first.upstream_reply {
            Some(reply) => reply.to_string(),
            None => first.reply.to_string(),
        };
        let reply = if first.reply.is_permanent() && !are_alike {
            answers::recipients_refused_again()
        } else {
            first.reply.clone()
        };
        Some((reply, words))
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
            let path = transaction.upstream_path();
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
        Expect::Data => connection.client.command(expect, &[b"DATA"]),
        Expect::EndOfData | Expect::Quit => {}
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

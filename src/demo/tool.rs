//! The [`Tool`] sends as a campaign tool does: one message for each recipient, one after the other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::campaign::Outcome;
use super::mailer::Mailer;
use super::message::Message;
use crate::log::{Entry, Line, SuppressionLog};

/// After so many messages a new connection is made, as tools do. A session also has its limit of
/// refusals (`limits.error_limit`), and half of a bad list can be refused.
const MESSAGES_PER_CONNECTION: usize = 15;

/// How long the suppression log may take to tell of a message that was answered.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// Sends through one listener.
pub(crate) struct Tool {
    listener: SocketAddr,
    mailer: Option<Mailer>,
    sent: usize,
    log: LogWatch,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What the gateway made of it.
    pub(crate) outcome: Outcome,
    /// What the tool heard.
    pub(crate) reply: String,
}

impl Tool {
    /// A tool that is not connected yet.
    pub(super) fn new(listener: SocketAddr, log: &SuppressionLog) -> Self {
        Self {
            listener,
            mailer: None,
            sent: 0,
            log: LogWatch {
                lines: log.follow().1,
                unread: VecDeque::new(),
            },
        }
    }

    /// Sends one message and reads in the suppression log what was made of it.
    ///
    /// # Errors
    /// When the gateway cannot be talked to, or its log does not tell.
    pub(crate) async fn send(&mut self, message: &Message) -> anyhow::Result<Row> {
        if self.sent.is_multiple_of(MESSAGES_PER_CONNECTION) {
            self.leave().await;
        }
        self.sent += 1;
        let mut mailer = match self.mailer.take() {
            Some(mailer) => mailer,
            None => Mailer::connect(self.listener, "tool.example.com")
                .await
                .context("the campaign tool cannot connect to the gateway")?,
        };
        let forward_path = format!("<{}>", message.to);
        let heard = mailer
            .send(&message.reverse_path, &forward_path, &message.text)
            .await
            .with_context(|| format!("sending to {} broke off", message.to))?;
        self.mailer = Some(mailer);
        let entry = tokio::time::timeout(LOG_PATIENCE, self.log.entry(message.to.as_str()))
            .await
            .with_context(|| format!("the suppression log does not tell of {}", message.to))??;
        Ok(Row {
            outcome: Outcome::of(&entry),
            reply: without_id(&heard.text, &entry.id),
        })
    }

    /// Says QUIT.
    pub(crate) async fn leave(&mut self) {
        if let Some(mailer) = self.mailer.take() {
            mailer.quit().await;
        }
    }
}

/// The reply without the transaction's id, which means something only beside the log.
fn without_id(reply: &str, id: &str) -> String {
    reply.replacen(&format!("{id} "), "", 1)
}

/// Reads the suppression log as it grows.
struct LogWatch {
    lines: Receiver<Bytes>,
    unread: VecDeque<Entry>,
}

impl LogWatch {
    /// The next entry about this recipient.
    async fn entry(&mut self, recipient: &str) -> anyhow::Result<Entry> {
        loop {
            while let Some(entry) = self.unread.pop_front() {
                if entry.recipient == recipient {
                    return Ok(entry);
                }
            }
            match self.lines.recv().await {
                Ok(chunk) => self.unread.extend(
                    chunk
                        .split(|&b| b == b'\n')
                        .filter_map(Line::parse)
                        .filter_map(|line| match line {
                            Line::Entry(entry) => Some(*entry),
                            Line::Gap(_) => None,
                        }),
                ),
                // Others may send meanwhile, and we read only when we have sent.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => anyhow::bail!("the suppression log is closed"),
            }
        }
    }
}

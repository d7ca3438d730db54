//! DATA: the header is read, judged where it matters, and the body flows through.

use std::sync::Arc;

use bytes::Bytes;

use super::{Current, Session, signing};
use crate::config::Suppressed;
use crate::gateway::relay::Ending;
use crate::log::entry::Outcome;
use crate::mail::EnhancedStatus;
use crate::mail::header::{HeaderReader, HeaderStep};
use crate::smtp::Reply;
use crate::smtp::body::BodyFault;
use crate::timestamp::Timestamp;
use crate::transaction::answers;
use crate::transaction::labels::{self, Labels};
use crate::transaction::received::{Received, protocol};
use crate::transaction::{Fate, Transaction};

/// Received fields of our own name after which a message is looping (R10).
const OWN_HOP_LIMIT: usize = 3;

/// Where the body goes.
pub(super) enum Body {
    /// DATA was not said yet.
    None,
    /// The header is being read. The upstream's DATA is open already unless the header may change
    /// what goes upstream before it.
    Header { reader: HeaderReader, open: bool },
    /// It flows through.
    Relaying,
    /// It is read to its end and thrown away; the answer is known. A header that was not read yet is
    /// still read, for the log.
    Discarding(Box<Ending>, Option<HeaderReader>),
}

impl Session {
    /// Answers DATA. Recipients were accepted, by the upstream or to be discarded.
    pub(super) async fn data(&mut self) {
        let Some(mut current) = self.current.take() else {
            self.wire.server.reply(answers::upstream_lost());
            return;
        };
        let opened = self.open_data(&mut current).await;
        self.wire.read_early();
        self.current = Some(current);
        match opened {
            Ok(()) => {
                let go_ahead = Reply::bare(354, "End data with <CR><LF>.<CR><LF>");
                self.wire.server.reply(go_ahead);
            }
            Err(ending) => self.finish(&ending),
        }
    }

    async fn open_data(&self, current: &mut Current) -> Result<(), Ending> {
        if current.transaction.accepted().next().is_none() {
            let ending = Ending {
                reply: answers::discarded(&current.transaction.id),
                outcome: Outcome::Aborted,
                upstream_reply: None,
            };
            current.body = Body::Discarding(Box::new(ending), Some(self.header_reader()));
            return Ok(());
        }
        // A header may take recipients out, or name a campaign that the return path is to carry.
        let open = !current.transaction.needs_header() && !self.signs(&current.transaction);
        if open {
            current.relay.open_data().await?;
        }
        current.body = Body::Header {
            reader: self.header_reader(),
            open,
        };
        Ok(())
    }

    fn header_reader(&self) -> HeaderReader {
        let limit = self.settings.limits.header_size_limit;
        HeaderReader::new(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Takes a piece of the body.
    pub(super) async fn body(&mut self, piece: &Bytes) {
        let fault = self.wire.server.body_fault();
        let Some(mut current) = self.current.take() else {
            return;
        };
        match &mut current.body {
            _ if fault.is_some() => {
                current.relay.release();
                // What is already refused is read to its end, but not for ever (W3).
                let enough = self.settings.limits.message_size_limit.saturating_mul(2);
                if self.wire.server.body_size() > enough {
                    let status = EnhancedStatus::of(4, 7, 0);
                    self.wire.server.hang_up(status, "Too much data");
                }
            }
            Body::Header { reader, open } => {
                let open = *open;
                match reader.push(piece) {
                    HeaderStep::Incomplete => {}
                    HeaderStep::Complete { header, rest } => {
                        self.header(&mut current, &header, &rest, open).await;
                    }
                    HeaderStep::TooLarge => {
                        let status = EnhancedStatus::of(5, 3, 4);
                        refuse(
                            &mut current,
                            Reply::new(552, status, "Message header too large"),
                        );
                    }
                }
            }
            Body::Relaying => {
                current.relay.send_body(piece).await;
                check_relay(&mut current).await;
            }
            Body::Discarding(_, reader) => {
                let step = reader.as_mut().map(|reader| reader.push(piece));
                if let Some(step) = step.filter(|step| *step != HeaderStep::Incomplete) {
                    *reader = None;
                    if let HeaderStep::Complete { header, .. } = step {
                        // Whatever else it says, nobody gets this message.
                        let _ = self.read_labels(&mut current.transaction, &header);
                    }
                }
            }
            Body::None => {}
        }
        self.current = Some(current);
    }

    /// Writes upstream what has gathered, before the client is waited for.
    pub(super) async fn flush_body(&mut self) {
        if let Some(current) = &mut self.current
            && matches!(current.body, Body::Relaying)
        {
            current.relay.flush().await;
            check_relay(current).await;
        }
    }

    /// The header is complete: reads its labels, opens the upstream's DATA where that had to wait for
    /// them, and sends it on.
    async fn header(&self, current: &mut Current, header: &Bytes, rest: &Bytes, open: bool) {
        let labels = match self.read_labels(&mut current.transaction, header) {
            Ok(labels) => labels,
            Err(reply) => return refuse(current, reply),
        };
        if !open && let Err(ending) = Box::pin(self.open_late(current, &labels)).await {
            return give_up(current, ending);
        }
        let unsubscribe = self.unsubscribe_field(&current.transaction, &labels).await;
        let mut received = Vec::with_capacity(300);
        self.received(&current.transaction).encode(&mut received);
        current.relay.send(&received);
        if labels.has_controls {
            for piece in labels::strip(header) {
                current.relay.send(&piece);
            }
        } else {
            current.relay.send(header);
        }
        if let Some(field) = unsubscribe {
            current.relay.send(field.as_bytes());
        }
        current.relay.send_body(rest).await;
        current.body = Body::Relaying;
        check_relay(current).await;
    }

    /// Opens the upstream's DATA now that the header is known: with the recipients it leaves, and a
    /// return path that says what it names.
    async fn open_late(&self, current: &mut Current, labels: &Labels) -> Result<(), Ending> {
        let left_out =
            current.transaction.needs_header() && judge_again(&mut current.transaction, labels)?;
        let signed_again = self.sign_again(&mut current.transaction).await;
        self.record_recipients(current);
        if left_out || signed_again {
            current.relay.reopen(&current.transaction).await
        } else {
            current.relay.open_data().await
        }
    }

    fn read_labels(&self, transaction: &mut Transaction, header: &[u8]) -> Result<Labels, Reply> {
        let labels =
            labels::read(header, &self.settings.hostname).map_err(labels::LabelError::reply)?;
        transaction.campaign.clone_from(&labels.campaign);
        transaction.message_id.clone_from(&labels.message_id);
        if labels.hops >= self.settings.limits.hop_limit || labels.own_hops >= OWN_HOP_LIMIT {
            return Err(Reply::new(
                554,
                EnhancedStatus::of(5, 4, 6),
                "Too many hops",
            ));
        }
        if let Some(name) = &labels.stream
            && transaction.policy.choose(name).is_none()
        {
            let status = EnhancedStatus::of(5, 7, 1);
            return Err(Reply::new(
                550,
                status,
                "Stream not allowed for this client",
            ));
        }
        Ok(labels)
    }

    fn received<'a>(&'a self, transaction: &'a Transaction) -> Received<'a> {
        let only = match transaction.recipients.as_slice() {
            [only] => Some(&only.path),
            _ => None,
        };
        Received {
            helo: &self.helo,
            client: self.client,
            hostname: &self.settings.hostname,
            with: protocol(
                self.extended,
                self.wire.server.is_secure(),
                self.user.is_some(),
                transaction.parameters.smtp_utf8,
            ),
            id: &transaction.id,
            only,
            at: Timestamp::now(),
        }
    }

    /// The true end of the data was read: says the one reply for the message.
    pub(super) async fn end_of_data(&mut self, fault: Option<BodyFault>) {
        let Some(mut current) = self.current.take() else {
            self.wire.server.reply(answers::upstream_lost());
            return;
        };
        if fault.is_none()
            && let Body::Header { reader, open } = &mut current.body
        {
            let open = *open;
            if let HeaderStep::Complete { header, rest } = reader.finish() {
                self.header(&mut current, &header, &rest, open).await;
            }
        }
        let ending = match (fault, std::mem::replace(&mut current.body, Body::None)) {
            (Some(fault), _) => Ending {
                reply: answers::body_fault(fault),
                outcome: Outcome::Refused,
                upstream_reply: None,
            },
            (None, Body::Discarding(ending, _)) => *ending,
            (None, Body::Relaying) => {
                let relayed = end_relayed(&mut current);
                self.wire.rest_during(relayed).await
            }
            (None, Body::None | Body::Header { .. }) => Ending {
                reply: answers::upstream_lost(),
                outcome: Outcome::Aborted,
                upstream_reply: None,
            },
        };
        self.current = Some(current);
        self.finish(&ending);
    }

    /// Tells the client and the log; the transaction is over.
    fn finish(&mut self, ending: &Ending) {
        self.wire.server.reply(ending.reply.clone());
        if ending.outcome == Outcome::Delivered {
            self.wire.server.forgive();
        }
        self.close_transaction(ending);
    }
}

/// Sends the end of the data, once it is recorded whom the return path stands for (B10).
async fn end_relayed(current: &mut Current) -> Ending {
    if signing::is_recorded(current.recording.take()).await {
        return current.relay.finish().await;
    }
    current.relay.release();
    Ending {
        reply: answers::not_recorded(),
        outcome: Outcome::Aborted,
        upstream_reply: None,
    }
}

/// Judges the accepted recipients by what the header says and takes out whom it excludes; says
/// whether it took any out.
fn judge_again(transaction: &mut Transaction, labels: &Labels) -> Result<bool, Ending> {
    let stream = labels
        .stream
        .as_ref()
        .and_then(|name| transaction.policy.choose(name))
        .unwrap_or(&transaction.policy.stream);
    let stream = Arc::clone(stream);
    let before = transaction.with_fate(Fate::Accepted);
    if transaction.rejudge(stream, &labels.scopes, Timestamp::now()) == 0 {
        return Ok(false);
    }
    defer_unchecked(transaction, &before)?;
    if transaction.accepted().next().is_some() {
        return Ok(true);
    }
    // Nobody is left. A listener that discards has said 250 to each and says it once more.
    if transaction.policy.suppressed == Suppressed::Discard {
        return Err(Ending {
            reply: answers::discarded(&transaction.id),
            outcome: Outcome::Aborted,
            upstream_reply: None,
        });
    }
    let reply = answers::all_suppressed(&transaction.id);
    for recipient in &mut transaction.recipients {
        if recipient.fate == Fate::Discarded {
            recipient.fate = Fate::Refused;
            recipient.reply = Some(reply.clone());
        }
    }
    Err(Ending {
        reply,
        outcome: Outcome::Refused,
        upstream_reply: None,
    })
}

/// Defers the message if one of the recipients with these indices was not checked and may not pass
/// unchecked: its 250 was said already, so only the end of the data can still say 451 (S1).
fn defer_unchecked(transaction: &mut Transaction, accepted: &[usize]) -> Result<(), Ending> {
    let reply = answers::look_up_failed();
    let mut deferred = false;
    for &index in accepted {
        let recipient = &mut transaction.recipients[index];
        if recipient.fate == Fate::Refused {
            recipient.reply = Some(reply.clone());
            deferred = true;
        }
    }
    if !deferred {
        return Ok(());
    }
    Err(Ending {
        reply,
        outcome: Outcome::Aborted,
        upstream_reply: None,
    })
}

/// Refuses the message for a reason of ours.
fn refuse(current: &mut Current, reply: Reply) {
    let ending = Ending {
        reply,
        outcome: Outcome::Refused,
        upstream_reply: None,
    };
    give_up(current, ending);
}

/// Ends the upstream's part; the rest of the body is thrown away and this is the answer.
fn give_up(current: &mut Current, ending: Ending) {
    current.relay.release();
    current.body = Body::Discarding(Box::new(ending), None);
}

/// If the upstream is gone, or has refused the message early, the rest of the body is thrown away.
async fn check_relay(current: &mut Current) {
    if current.relay.has_failed() {
        let ending = current.relay.finish().await;
        current.body = Body::Discarding(Box::new(ending), None);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::Mode;
    use crate::mail::{ForwardPath, ReversePath};
    use crate::smtp::{MailParameters, RcptParameters};
    use crate::suppression::{Finding, Stream, StreamClass, Tenant};
    use crate::transaction::Policy;

    /// A listener for campaigns on which a header may choose receipts, which pass unchecked.
    fn accepted_unchecked(suppressed: Suppressed) -> Transaction {
        let campaign = Arc::new(Stream::new("campaign", StreamClass::Campaign));
        let mut receipts = Stream::new("receipts", StreamClass::Transactional);
        receipts.pass_unavailable = true;
        let policy = Policy {
            tenant: Tenant::default(),
            stream: Arc::clone(&campaign),
            choices: vec![campaign, Arc::new(receipts)],
            suppressed,
            mode: Mode::Enforce,
            scopes: true,
            sign: false,
            list_unsubscribe: false,
        };
        let parameters = MailParameters::default();
        let mut transaction =
            Transaction::new("id".into(), ReversePath::Null, parameters, Arc::new(policy));
        for finding in [Finding::Unavailable, Finding::Clear] {
            let (path, _) = ForwardPath::parse(&Bytes::from_static(b"<b@example.net>")).unwrap();
            let parameters = RcptParameters::default();
            let reply = transaction.add(path, parameters, None, finding, Timestamp::now());
            assert!(reply.is_none(), "a header could choose receipts");
        }
        for recipient in &mut transaction.recipients {
            recipient.fate = Fate::Accepted;
        }
        transaction
    }

    #[test]
    fn s1_an_unchecked_recipient_is_deferred_by_the_header_and_never_refused_or_discarded() {
        for suppressed in [Suppressed::Reject, Suppressed::Discard] {
            let mut transaction = accepted_unchecked(suppressed);
            let before = transaction.with_fate(Fate::Accepted);
            let campaign = Arc::clone(&transaction.policy.stream);
            let scopes = labels::Labels::default().scopes;
            assert_eq!(transaction.rejudge(campaign, &scopes, Timestamp::now()), 1);
            let ending = defer_unchecked(&mut transaction, &before).unwrap_err();
            assert_eq!(ending.reply, answers::look_up_failed());
            assert_eq!(
                transaction.recipients[0].verdict(),
                crate::suppression::Verdict::Defer
            );
        }
    }
}

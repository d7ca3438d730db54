//! *Forwarding* sends on what came back to the mailbox where the sender reads such mail.
//!
//! It happens after everything was learnt, through the upstream, with a null reverse-path: a report
//! about this copy would have nowhere to go, and goes nowhere. The message is unchanged but for our
//! Received field. While the upstream does not take it, whoever brought it is asked to come again,
//! and learning the same twice does no harm.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::proof::Heading;
use crate::config::{Mode, Suppressed};
use crate::gateway::relay::{Origin, Relay};
use crate::gateway::session::transaction_id;
use crate::gateway::settings::{Context, Settings};
use crate::gateway::worker::Home;
use crate::log::without_addresses;
use crate::mail::{ForwardPath, ReversePath};
use crate::smtp::{MailParameters, RcptParameters, Reply};
use crate::suppression::policy::MessageScopes;
use crate::suppression::{Finding, Stream, StreamClass, Tenant, Verdict, judge};
use crate::timestamp::Timestamp;
use crate::transaction::received::Received;
use crate::transaction::{Policy, Transaction};

/// Received fields of our own name after which a message is looping (R10).
const OWN_HOP_LIMIT: usize = 3;

/// A message that came back, as it goes out again.
pub(super) struct Returned<'a> {
    /// As it came, dot-stuffed.
    pub(super) wire: &'a [u8],
    /// Whether it holds bare line ends or NULs, which never go upstream (W4).
    pub(super) unfit: bool,
    /// Whether its addresses are internationalised, as its MAIL said.
    pub(super) smtp_utf8: bool,
    /// Who brought it.
    pub(super) client: IpAddr,
    /// What the client calls itself.
    pub(super) helo: &'a str,
    /// The protocol it was brought with, for the Received field.
    pub(super) with: &'static str,
    /// When whoever brought it has waited long enough.
    pub(super) until: Instant,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// The upstream took it, or it never will be sent: nothing is left to do.
    Done,
    /// Not now; whoever brought the message is to try again.
    Later,
}

impl Returned<'_> {
    /// Sends the message on to a mailbox.
    pub(super) async fn forward(
        &self,
        context: &Context,
        settings: &Settings,
        tenant: &Tenant,
        mailbox: &ForwardPath,
    ) -> Forwarded {
        let (outcome, forwarded) = match self.obstacle(context, settings, tenant, mailbox).await {
            Some(obstacle) => obstacle,
            None => self.relay(settings, tenant, mailbox).await,
        };
        context.metrics.forwarded(outcome);
        tracing::info!(
            mailbox = %String::from_utf8_lossy(mailbox.wire()),
            client = %self.client,
            outcome,
            "returned mail was to be sent on"
        );
        forwarded
    }

    /// What keeps it from being sent on, if anything does.
    async fn obstacle(
        &self,
        context: &Context,
        settings: &Settings,
        tenant: &Tenant,
        mailbox: &ForwardPath,
    ) -> Option<(&'static str, Forwarded)> {
        let heading = Heading::read(self.wire, &settings.hostname);
        if heading.hops >= settings.limits.hop_limit || heading.own_hops >= OWN_HOP_LIMIT {
            return Some(("looping", Forwarded::Done));
        }
        if self.unfit {
            return Some(("unfit", Forwarded::Done));
        }
        let address = mailbox.address()?;
        let key = context.ledger.key(tenant, address);
        let finding = context.ledger.look_up(tenant, &[key]).await.pop();
        let finding = finding.unwrap_or(Finding::Unavailable);
        let judgement = judge(
            &finding,
            &mail_to_senders(),
            &MessageScopes::default(),
            Timestamp::now(),
        );
        match judgement.verdict {
            Verdict::Relay => None,
            Verdict::Defer => Some(("deferred", Forwarded::Later)),
            Verdict::Reject | Verdict::Discard => Some(("suppressed", Forwarded::Done)),
        }
    }

    async fn relay(
        &self,
        settings: &Settings,
        tenant: &Tenant,
        mailbox: &ForwardPath,
    ) -> (&'static str, Forwarded) {
        let id = transaction_id();
        let mut transaction = self.transaction(&id, tenant, mailbox);
        let origin = Origin {
            client: self.client,
            helo: self.helo.to_owned(),
            extended: true,
        };
        let mut relay = Relay::new(Arc::clone(&settings.upstream), Home::ELSEWHERE, origin);
        let sending = self.transmit(&mut relay, &mut transaction, settings, mailbox);
        let Ok(reply) = tokio::time::timeout_at(self.until, sending).await else {
            // The relay is dropped with its connection, which may be anywhere in the transaction.
            tracing::warn!("returned mail was not sent on within timeouts.forwarding");
            return ("deferred", Forwarded::Later);
        };
        relay.release();
        if reply.is_positive() {
            return ("delivered", Forwarded::Done);
        }
        let said = reply.to_string();
        let said = match settings.hide_addresses {
            true => without_addresses(&said, ""),
            false => said.into(),
        };
        tracing::warn!(reply = %said, "the upstream does not take returned mail that is sent on");
        if reply.is_permanent() {
            ("refused", Forwarded::Done)
        } else {
            ("deferred", Forwarded::Later)
        }
    }

    /// One transaction upstream; the reply that decides.
    async fn transmit(
        &self,
        relay: &mut Relay,
        transaction: &mut Transaction,
        settings: &Settings,
        mailbox: &ForwardPath,
    ) -> Reply {
        let offered = relay.offer(transaction, &[0]).await;
        if let Some(refused) = offered.into_iter().find(|one| !one.reply.is_positive()) {
            return refused.reply;
        }
        if let Err(ending) = relay.open_data().await {
            return ending.reply;
        }
        let mut received = Vec::with_capacity(300);
        Received {
            helo: self.helo,
            client: self.client,
            hostname: &settings.hostname,
            with: self.with,
            id: &transaction.id,
            only: Some(mailbox),
            at: Timestamp::now(),
        }
        .encode(&mut received);
        relay.send(&received).await;
        relay.send(self.wire).await;
        relay.finish().await.reply
    }

    fn transaction(&self, id: &str, tenant: &Tenant, mailbox: &ForwardPath) -> Transaction {
        let stream = Arc::new(mail_to_senders());
        let policy = Policy {
            tenant: tenant.clone(),
            stream: Arc::clone(&stream),
            choices: vec![stream],
            suppressed: Suppressed::Reject,
            mode: Mode::Enforce,
            scopes: false,
            sign: false,
            list_unsubscribe: false,
        };
        let mut transaction = Transaction::new(
            id.to_owned(),
            ReversePath::Null,
            self.parameters(),
            Arc::new(policy),
        );
        let (parameters, now) = (RcptParameters::default(), Timestamp::now());
        transaction.add(mailbox.clone(), parameters, None, Finding::Clear, now);
        transaction
    }

    /// Only what the message needs: an upstream that lacks the rest can still take it.
    fn parameters(&self) -> MailParameters {
        let text = match (self.wire.is_ascii(), self.smtp_utf8) {
            (true, false) => "",
            (true, true) => "SMTPUTF8",
            (false, false) => "BODY=8BITMIME",
            (false, true) => "BODY=8BITMIME SMTPUTF8",
        };
        MailParameters::parse(&Bytes::from_static(text.as_bytes())).unwrap_or_default()
    }
}

/// How the mailbox of a sender is judged: as strictly as any, since nobody there asked for each one.
fn mail_to_senders() -> Stream {
    Stream::new("campaign", StreamClass::Campaign)
}

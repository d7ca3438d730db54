//! What came back goes *onward* to the senders who want to see it, after it was learnt from.

use tokio::time::Instant;

use super::{ReturnsSession, ok, try_again};
use crate::gateway::returns::admission::Addressee;
use crate::gateway::returns::forwarding::{Forwarded, Returned};
use crate::gateway::returns::lookups::Lookups;
use crate::mail::ForwardPath;
use crate::smtp::Reply;
use crate::store::StoreError;
use crate::suppression::Tenant;
use crate::token::TokenKind;
use crate::transaction::received::protocol;

impl ReturnsSession {
    /// Sends the message on for each recipient whose sender wants to see it; what each one hears.
    pub(super) async fn forward(
        &self,
        wire: &[u8],
        addressees: &[Addressee],
        unfit: bool,
    ) -> Vec<Reply> {
        let returned = Returned {
            wire,
            unfit,
            smtp_utf8: self.smtp_utf8,
            client: self.client,
            helo: &self.helo,
            with: self.protocol(),
            until: Instant::now() + self.settings.timeouts.forwarding,
        };
        let mut lookups = Lookups::new(&self.context.ledger);
        let mut done: Vec<(&ForwardPath, Forwarded)> = Vec::new();
        let mut replies = Vec::with_capacity(addressees.len());
        for addressee in addressees {
            let mailbox = match self.mailbox_behind(addressee, &mut lookups).await {
                Ok(Some(mailbox)) => mailbox,
                Ok(None) => {
                    replies.push(ok());
                    continue;
                }
                Err(_) => {
                    replies.push(try_again());
                    continue;
                }
            };
            let (tenant, path) = mailbox;
            let known = done.iter().find(|(sent, _)| *sent == path);
            let forwarded = match known {
                Some((_, forwarded)) => *forwarded,
                None => {
                    let sending = returned.forward(&self.context, &self.settings, tenant, path);
                    let forwarded = Box::pin(sending).await;
                    done.push((path, forwarded));
                    forwarded
                }
            };
            // What the upstream says is about a mailbox that is nobody's business here.
            replies.push(match forwarded {
                Forwarded::Done => ok(),
                Forwarded::Later => try_again(),
            });
        }
        replies
    }

    /// The mailbox that wants to see what comes back to this address, and whose list it is.
    async fn mailbox_behind<'s>(
        &'s self,
        addressee: &'s Addressee,
        lookups: &mut Lookups<'_>,
    ) -> Result<Option<(&'s Tenant, &'s ForwardPath)>, StoreError> {
        let Addressee::Signed(token) = addressee else {
            return Ok(None);
        };
        let nobody_asks = self
            .settings
            .user_rules
            .values()
            .all(|rules| rules.forward_to.is_none());
        if token.kind == TokenKind::Unsubscribe || token.label == 0 || nobody_asks {
            return Ok(None);
        }
        let label = lookups.label(token).await?.unwrap_or_default();
        let rules = label
            .credential
            .and_then(|name| self.settings.user_rules.get(&name));
        let mailbox = rules.and_then(|rules| rules.forward_to.as_ref());
        Ok(mailbox.map(|mailbox| (&token.tenant, mailbox)))
    }

    /// The protocol of this session in a Received field (RFC 3848, RFC 6531 §4.3).
    fn protocol(&self) -> &'static str {
        let secure = self.wire.server.is_secure();
        if !self.wire.server.is_lmtp() {
            return protocol(self.extended, secure, false, self.smtp_utf8);
        }
        match (self.smtp_utf8, secure) {
            (false, false) => "LMTP",
            (false, true) => "LMTPS",
            (true, false) => "UTF8LMTP",
            (true, true) => "UTF8LMTPS",
        }
    }
}

//! The [`Learner`] is how the gateway learns: what came back becomes an event of a recipient, once.
//!
//! Everything that is learnt from others (reports, complaints, the upstream's refusals) goes through
//! here; what operators decide does not.

use std::sync::Arc;

use crate::store::StoreError;
use crate::store::ledger::{Ledger, Recorded};
use crate::suppression::{Event, RecipientKey, Tenant};

/// Learns from what came back.
#[derive(Debug)]
pub struct Learner {
    ledger: Arc<Ledger>,
}

/// Where a lesson comes from: what the brake compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The provider of the recipient: the domain of the address that was written to.
    pub provider: String,
    /// The host that reported or refused, in lower case.
    pub host: String,
    /// Its words, as the report gives them.
    pub words: String,
}

/// What became of a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learnt {
    /// It is in the record, or was before.
    Recorded(Recorded),
    /// The brake holds it until an operator has looked.
    Held,
}

impl Learner {
    /// A learner that writes to this ledger.
    #[must_use]
    pub const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Records what came back for a recipient; durable when this returns.
    ///
    /// # Errors
    /// When the store does not answer; the same lesson may then be told again (S7).
    pub async fn learn(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        event: Event,
        source: &Source,
    ) -> Result<Learnt, StoreError> {
        let _ = source;
        let recorded = self.ledger.record(tenant, key, event).await?;
        Ok(Learnt::Recorded(recorded))
    }

    /// Counts a message that was relayed to a recipient of this provider.
    pub fn relayed(&self, tenant: &Tenant, provider: &str) {
        let _ = (tenant, provider);
    }
}

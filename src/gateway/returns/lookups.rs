//! [`Lookups`] ask the store what stands behind signed addresses, for each thing once a message.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::ledger::Ledger;
use crate::store::{StoreError, TransactionId};
use crate::suppression::{RecipientKey, Tenant};
use crate::token::{Label, Token, TokenKind};

/// What the store said about the tokens of one message.
pub(super) struct Lookups<'a> {
    ledger: &'a Ledger,
    labels: HashMap<(Tenant, u32), Option<Label>>,
    sets: HashMap<(Tenant, TransactionId), Option<Arc<[RecipientKey]>>>,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            labels: HashMap::new(),
            sets: HashMap::new(),
        }
    }

    /// What the token's tag stands for; none if it stands for something that is lost.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn label(&mut self, token: &Token) -> Result<Option<Label>, StoreError> {
        if token.label == 0 {
            return Ok(Some(Label::default()));
        }
        let place = (token.tenant.clone(), token.label);
        if let Some(known) = self.labels.get(&place) {
            return Ok(known.clone());
        }
        let text = self.ledger.label(&token.tenant, token.label).await?;
        let label = text.map(|text| Label::read(&text));
        self.labels.insert(place, label.clone());
        Ok(label)
    }

    /// The recipients that were recorded for the token; none if they no longer are. A token about one
    /// recipient needs no record.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn sent(
        &mut self,
        token: &Token,
    ) -> Result<Option<Arc<[RecipientKey]>>, StoreError> {
        if token.kind != TokenKind::Transaction {
            return Ok(Some(Arc::default()));
        }
        let place = (token.tenant.clone(), token.subject);
        if let Some(known) = self.sets.get(&place) {
            return Ok(known.clone());
        }
        let sent = self.ledger.sent(&token.tenant, &token.subject).await?;
        let sent: Option<Arc<[RecipientKey]>> = sent.map(Into::into);
        self.sets.insert(place, sent.clone());
        Ok(sent)
    }
}

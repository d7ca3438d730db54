//! What is signed in a session: the return path of each transaction, and unsubscribe addresses.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{Current, Session};
use crate::store::StoreError;
use crate::token::{Label, TokenKind};
use crate::transaction::Transaction;
use crate::transaction::labels::{self, Labels};
use crate::transaction::return_path::{SignedPath, Subject};

/// The recipients of a signed transaction on their way into the store, beside the body (B10).
pub(super) type Recording = JoinHandle<Result<(), StoreError>>;

impl Session {
    /// Whether the return path of this transaction is signed.
    pub(super) fn signs(&self, transaction: &Transaction) -> bool {
        self.settings.signer.is_some() && transaction.wants_signature()
    }

    /// Signs the return path that goes out with the first recipients offered, by what is known then:
    /// nothing of the header, and nobody who comes later.
    pub(super) async fn sign_for(&self, transaction: &mut Transaction, indices: &[usize]) {
        if !self.signs(transaction) {
            return;
        }
        let tag = self.tag(transaction, self.label(transaction)).await;
        let subject = transaction.subject_of(indices);
        transaction.signed = self.sign(transaction, subject.as_ref(), tag.unwrap_or(0));
    }

    /// Signs the return path again where the one that went upstream is no longer right: others were
    /// accepted, or the header names a campaign. Says whether it did.
    pub(super) async fn sign_again(&self, transaction: &mut Transaction) -> bool {
        if !self.signs(transaction) {
            return false;
        }
        let tag = match &transaction.signed {
            Some(signed) if !transaction.is_labelled() => signed.token.label,
            _ => {
                let tag = self.tag(transaction, self.label(transaction)).await;
                tag.unwrap_or(0)
            }
        };
        let subject = transaction.subject();
        if transaction.is_signed_for(subject.as_ref(), tag) {
            return false;
        }
        transaction.signed = self.sign(transaction, subject.as_ref(), tag);
        true
    }

    fn sign(
        &self,
        transaction: &Transaction,
        subject: Option<&Subject>,
        tag: u32,
    ) -> Option<SignedPath> {
        let mint = &self.context.mint;
        let (kind, subject) = match subject? {
            Subject::Recipient(key) => (TokenKind::Recipient, *key.as_bytes()),
            Subject::Set(_) => (TokenKind::Transaction, mint.transaction_id()),
        };
        let token = mint.token(kind, &transaction.policy.tenant, subject, tag);
        let local_part = self.settings.signer.as_ref()?.sign(&token)?;
        let domain = self.settings.return_domain.as_ref()?;
        Some(SignedPath {
            token,
            wire: Bytes::from(format!("<{local_part}@{domain}>")),
        })
    }

    /// What the message is part of, as far as it is known.
    fn label(&self, transaction: &Transaction) -> Label {
        Label {
            stream: Some(transaction.stream.name.clone()),
            campaign: transaction.campaign.clone(),
            credential: self.user.as_ref().map(|user| user.name.to_string()),
            scope: None,
        }
    }

    async fn tag(&self, transaction: &Transaction, label: Label) -> Option<u32> {
        let tenant = &transaction.policy.tenant;
        self.context.labels.tag(tenant, label).await
    }

    /// Begins to record whom the return path stands for, if they are several.
    pub(super) fn record_recipients(&self, current: &mut Current) {
        let Some((id, keys)) = current.transaction.set_to_record() else {
            return;
        };
        let Some(keep) = self.settings.signer.as_ref().map(|s| s.validity()) else {
            return;
        };
        let ledger = Arc::clone(&self.context.ledger);
        let tenant = current.transaction.policy.tenant.clone();
        current.recording = Some(tokio::spawn(async move {
            ledger.put_sent(&tenant, &id, &keys, keep).await
        }));
    }

    /// The List-Unsubscribe field for a message that may have one of ours (R8, U10): it has none, no
    /// signature that would not cover it, and goes to one recipient, whom the address takes off.
    ///
    /// None as well where the store did not take the label: the address would take off too much.
    pub(super) async fn unsubscribe_field(
        &self,
        transaction: &Transaction,
        labels: &Labels,
    ) -> Option<String> {
        if !transaction.policy.list_unsubscribe || labels.has_unsubscribe || labels.is_signed {
            return None;
        }
        let (signer, domain) = (
            self.settings.signer.as_ref()?,
            self.settings.return_domain.as_ref()?,
        );
        let key = transaction.only_recipient()?;
        let scope = labels.scopes.list.as_ref().or(labels.scopes.topic.as_ref());
        let label = Label {
            scope: scope.map(ToString::to_string),
            ..self.label(transaction)
        };
        let tag = self.tag(transaction, label).await?;
        let (kind, tenant) = (TokenKind::Unsubscribe, &transaction.policy.tenant);
        let token = self.context.mint.token(kind, tenant, *key.as_bytes(), tag);
        let local_part = signer.sign(&token)?;
        Some(labels::unsubscribe_field(&local_part, domain))
    }
}

/// Waits until the recipients are recorded; true where nothing had to be.
pub(super) async fn is_recorded(recording: Option<Recording>) -> bool {
    let Some(recording) = recording else {
        return true;
    };
    let error = match recording.await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(
        error,
        "recipients could not be recorded; the message is deferred"
    );
    false
}

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
        let tag = self.tag(transaction).await.unwrap_or(0);
        let subject = transaction.subject_of(indices);
        transaction.signed = self.sign(transaction, subject.as_ref(), tag);
    }

    /// Signs the return path again where the one that went upstream is no longer right: others were
    /// accepted, the header names a campaign, or its label could not be recorded. Says whether it did.
    pub(super) async fn sign_again(&self, transaction: &mut Transaction) -> bool {
        if !self.signs(transaction) {
            return false;
        }
        let before = transaction.signed.as_ref().map_or(0, |s| s.token.label);
        let tag = if before == 0 || transaction.is_labelled() {
            self.tag(transaction).await.unwrap_or(before)
        } else {
            before
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

    /// Whether the mail comes from somebody who may send anywhere. What others write into the header
    /// of mail to `relay_domains` is not ours to keep.
    fn is_our_sender(&self) -> bool {
        self.listed || self.user.is_some()
    }

    /// What the message is part of, as far as it is known.
    fn label(&self, transaction: &Transaction) -> Label {
        let campaign = transaction.campaign.as_ref();
        Label {
            stream: Some(transaction.stream.name.clone()),
            campaign: campaign.filter(|_| self.is_our_sender()).cloned(),
            credential: self.user.as_ref().map(|user| user.name.to_string()),
            scope: None,
        }
    }

    /// The tag of the message's label. Where that of a new campaign could not be recorded, it is the
    /// one of the same mail without a campaign: its reports still find their way (B9).
    async fn tag(&self, transaction: &Transaction) -> Option<u32> {
        let label = self.label(transaction);
        let without_campaign = label.campaign.is_some().then(|| Label {
            campaign: None,
            ..label.clone()
        });
        match (self.tag_of(transaction, label).await, without_campaign) {
            (None, Some(label)) => self.tag_of(transaction, label).await,
            (tag, _) => tag,
        }
    }

    async fn tag_of(&self, transaction: &Transaction, label: Label) -> Option<u32> {
        let validity = self.settings.signer.as_ref()?.validity();
        let tenant = &transaction.policy.tenant;
        self.context.labels.tag(tenant, label, validity).await
    }

    /// Begins to record whom the return path stands for, if they are several.
    pub(super) fn record_recipients(&self, current: &mut Current) {
        let Some((id, keys)) = current.transaction.set_to_record() else {
            return;
        };
        let Some(keep) = self.settings.signer.as_ref().map(|s| s.validity()) else {
            return;
        };
        let ledger = Arc::clone(self.worker.ledger());
        let tenant = current.transaction.policy.tenant.clone();
        current.recording = Some(tokio::spawn(async move {
            ledger.put_sent(&tenant, &id, &keys, keep).await
        }));
    }

    /// The List-Unsubscribe field for a message that may have one of ours (R8, U10): it has none, no
    /// signature that would not cover it, and goes to one recipient, whom the address takes off. A
    /// stranger's message is not ours to be taken off from.
    ///
    /// None as well where the store did not take the label: the address would take off too much.
    pub(super) async fn unsubscribe_field(
        &self,
        transaction: &Transaction,
        labels: &Labels,
    ) -> Option<String> {
        let wants_one = transaction.policy.list_unsubscribe && self.is_our_sender();
        if !wants_one || labels.has_unsubscribe || labels.is_signed {
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
        let tag = self.tag_of(transaction, label).await?;
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

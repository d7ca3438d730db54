//! [`Fields`] are the texts of one row, found by their columns; [`Fields::row`] says what they mean.

use std::borrow::Cow;

use super::columns::{Columns, ScopeKind};
use super::words::{self, Meaning, shown};
use super::{Reason, Row, RowError, Settings, moment};
use crate::mail::EnhancedStatus;
use crate::suppression::Scope;

/// The texts of one row; an empty one is as good as none.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) address: Cow<'a, str>,
    pub(super) reason: Cow<'a, str>,
    pub(super) origin: Cow<'a, str>,
    pub(super) at: Cow<'a, str>,
    pub(super) scope: Cow<'a, str>,
    pub(super) scope_kind: Option<ScopeKind>,
    pub(super) status: Cow<'a, str>,
    pub(super) text: Cow<'a, str>,
    pub(super) campaign: Cow<'a, str>,
}

/// What a row comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meant<'a> {
    /// A row to take.
    Row(Row<'a>),
    /// Passing trouble, in the words of the list.
    Passing(String),
}

impl<'a> Fields<'a> {
    /// The fields of a row whose texts `get` gives by their column.
    pub(super) fn of(columns: &Columns, get: impl Fn(usize) -> Cow<'a, str>) -> Self {
        let field = |column: Option<usize>| column.map(&get).map(clean).unwrap_or_default();
        Self {
            address: field(columns.address),
            reason: field(columns.reason),
            origin: field(columns.origin),
            at: field(columns.at),
            scope: field(columns.scope.map(|(column, _)| column)),
            scope_kind: columns.scope.map(|(_, kind)| kind),
            status: field(columns.status),
            text: field(columns.text),
            campaign: field(columns.campaign),
        }
    }

    /// What the row says.
    pub(super) fn row(self, line: u64, settings: &Settings) -> Result<Meant<'a>, RowError> {
        if self.address.is_empty() {
            return Err(RowError::NoAddress);
        }
        let reason = match self.reason(settings)? {
            Ok(reason) => reason,
            Err(passing) => return Ok(Meant::Passing(passing)),
        };
        let at = match self.at.as_ref() {
            "" => None,
            text => Some(moment::parse(text)?),
        };
        if let Some(at) = at.filter(|at| *at > settings.now) {
            return Err(RowError::Future(at));
        }
        let scope = match reason {
            Reason::OptOut | Reason::Complaint => self.scope(reason, settings)?,
            Reason::DoNotEmail | Reason::HardBounce => None,
        };
        let (status, text) = told(self.status, self.text);
        let row = Row {
            line,
            address: self.address,
            reason,
            scope,
            at,
            status: status.filter(|_| reason == Reason::HardBounce),
            text: some(text),
            campaign: some(self.campaign),
        };
        // Whoever imports shall hear of it with the number of the line.
        row.canonical()?;
        Ok(Meant::Row(row))
    }

    /// The reason, or the word for passing trouble.
    fn reason(&self, settings: &Settings) -> Result<Result<Reason, String>, RowError> {
        if self.reason.is_empty() {
            return settings.reason.map(Ok).ok_or(RowError::NoReason);
        }
        Ok(match words::meaning(&self.reason)? {
            Meaning::Reason(reason) => Ok(reason),
            Meaning::Passing => Err(shown(&self.reason)),
            Meaning::ByHand => Ok(words::origin(&self.origin)
                .ok_or_else(|| RowError::NoOrigin(shown(&self.reason)))?),
        })
    }

    fn scope(&self, reason: Reason, settings: &Settings) -> Result<Option<Scope>, RowError> {
        let text = self.scope.as_ref();
        if text.is_empty() {
            let scope = settings.scope.clone();
            return Ok(scope.filter(|_| reason == Reason::OptOut));
        }
        let bare = |text: &str| match self.scope_kind {
            Some(ScopeKind::Topic) => Scope::topic(text),
            Some(ScopeKind::List) => Scope::list(text),
            Some(ScopeKind::Prefixed) | None => Err(crate::suppression::scope::ScopeError),
        };
        let read = text.parse().or_else(|_| bare(text));
        read.map(Some).map_err(|_| RowError::Scope(shown(text)))
    }
}

/// The enhanced status where there is one; what else stands in its place belongs to the text.
fn told<'a>(status: Cow<'a, str>, text: Cow<'a, str>) -> (Option<EnhancedStatus>, Cow<'a, str>) {
    if status.is_empty() {
        return (None, text);
    }
    match status.parse() {
        Ok(status) => (Some(status), text),
        Err(_) if text.is_empty() => (None, status),
        Err(_) => (None, Cow::Owned(format!("{status} {text}"))),
    }
}

fn some(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text)
}

/// Without space around it, and without the typographic quotation marks of a word processor.
fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    let trimmed = bare(&text);
    if trimmed.len() == text.len() {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(bare(text)),
        Cow::Owned(ref owned) => Cow::Owned(bare(owned).to_owned()),
    }
}

fn bare(text: &str) -> &str {
    const MARKS: [char; 4] = ['“', '”', '„', '‟'];
    let text = text.trim();
    let inner = text.strip_prefix(MARKS).unwrap_or(text);
    inner.strip_suffix(MARKS).unwrap_or(inner).trim()
}

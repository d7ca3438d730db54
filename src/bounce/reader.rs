//! A [`Reader`] understands what comes back: it reads within limits, and judges by rules.

use std::sync::Arc;

use super::{Limits, Report, Rules, read, reply};

/// Reads what came back and says what it means. Cheap to copy, and pure: bytes in, values out.
#[derive(Debug, Clone)]
pub struct Reader {
    /// What one message may cost.
    limits: Limits,
    /// What words and codes give away.
    rules: Arc<Rules>,
}

impl Reader {
    /// A reader that goes by these limits and rules.
    #[must_use]
    pub fn new(limits: Limits, rules: Arc<Rules>) -> Self {
        Self { limits, rules }
    }

    /// Reads a message that came back; see [`understand`](super::understand).
    #[must_use]
    pub fn understand(&self, bytes: &[u8]) -> Report {
        self.judge(read(bytes, &self.limits))
    }

    /// Reads a bare SMTP reply; see [`understand_text`](super::understand_text).
    #[must_use]
    pub fn understand_text(&self, text: &str) -> Report {
        self.judge(reply::read(text, &self.limits))
    }

    /// Says what it means for each recipient.
    pub(super) fn judge(&self, mut report: Report) -> Report {
        for recipient in &mut report.recipients {
            recipient.judge(report.reporting_mta.as_deref(), &self.rules);
        }
        report
    }
}

impl Default for Reader {
    /// The usual limits and the built-in rules.
    fn default() -> Self {
        Self::new(Limits::default(), Rules::built_in())
    }
}

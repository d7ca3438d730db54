//! The [`Brake`] on learning: how much one cause may take out before an operator has to look.
//!
//! A provider that breaks, or a list of ours that it suddenly hates, says "no such user" of thousands
//! who are there. Each bounce alone is believable; that there are so many of one kind is not.

use std::time::Duration;

/// How much one cause may take out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brake {
    /// So many recipients may always be taken out.
    pub recipients: u64,
    /// And so large a part of what was relayed to their provider, 0 to 1.
    pub share: f64,
    /// Within this time.
    pub window: Duration,
}

impl Brake {
    /// Whether a cause that would take out so many recipients, of so many messages that were relayed
    /// to their provider, is to be held: it is above both limits.
    #[must_use]
    pub fn holds(&self, recipients: u64, relayed: u64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts this large differ by more than what is lost"
        )]
        let (part, whole) = (recipients as f64, relayed as f64);
        recipients > self.recipients && part > self.share * whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRAKE: Brake = Brake {
        recipients: 50,
        share: 0.05,
        window: Duration::from_secs(3600),
    };

    #[test]
    fn both_limits_must_be_passed() {
        for (recipients, relayed, holds) in [
            (50, 0, false),
            (51, 0, true),
            (51, 60, true),
            (51, 1019, true),
            (51, 1020, false),
            (51, 1_000_000, false),
            (50_001, 1_000_000, true),
            (u64::MAX, u64::MAX, true),
        ] {
            let found = BRAKE.holds(recipients, relayed);
            assert_eq!(found, holds, "{recipients} of {relayed}");
        }
    }

    #[test]
    fn limits_may_be_none() {
        let brake = Brake {
            recipients: 0,
            share: 0.0,
            ..BRAKE
        };
        assert!(brake.holds(1, 1_000_000));
        assert!(!brake.holds(0, 0));
    }
}

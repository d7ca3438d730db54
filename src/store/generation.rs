//! A [`Generation`] is the value without which a store is not answered from.
//!
//! It is random and was made when the store was set up: an emptied store has none, another store
//! has another, and both would say "nobody is suppressed".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use super::StoreError;

/// The generation that is expected, as one way to the store sees it.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// None until the store was found to be ours; the same for all ways to it.
    expected: Arc<ArcSwapOption<String>>,
    alarm: Alarm,
}

impl Generation {
    /// The same for another way to the store, which may lead to another server for a while and has an
    /// alarm of its own.
    pub(super) fn beside(&self) -> Self {
        Self {
            expected: Arc::clone(&self.expected),
            alarm: Alarm::default(),
        }
    }

    /// From now on only this one will do.
    pub(super) fn expect(&self, generation: &str) {
        self.expected.store(Some(Arc::new(generation.to_owned())));
    }

    /// The expected one.
    ///
    /// # Errors
    /// When none is expected yet.
    pub(super) fn expected(&self) -> Result<Arc<String>, StoreError> {
        self.expected.load_full().ok_or_else(|| {
            StoreError::Unavailable("it was not checked yet whether the store is ours".to_owned())
        })
    }

    /// Compares with what the store says, and raises an alarm when it is not the same (F11).
    ///
    /// # Errors
    /// When it is not the same, or nothing is expected yet.
    pub(super) fn check(&self, found: Option<&[u8]>) -> Result<(), StoreError> {
        let expected = self.expected.load();
        let Some(expected) = expected.as_deref() else {
            return self.expected().map(|_| ());
        };
        if found == Some(expected.as_bytes()) {
            if self.alarm.clear() {
                tracing::info!("the store is the one we know again");
            }
            return Ok(());
        }
        let what = if found.is_some() {
            "the store has another generation: it was swapped; connect the one that was used before"
        } else {
            "the store has no generation: it was emptied; restore it"
        };
        if self.alarm.raise() {
            tracing::error!("{what}. Until then nothing is answered from it");
        }
        Err(StoreError::Unavailable(what.to_owned()))
    }
}

/// Says a thing once, until it is well again.
#[derive(Debug, Default)]
pub(super) struct Alarm(AtomicBool);

impl Alarm {
    /// Whether it was well before.
    pub(super) fn raise(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether it was raised before.
    pub(super) fn clear(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_one_will_do() {
        let generation = Generation::default();
        assert!(generation.check(Some(b"one")).is_err());
        generation.expect("one");
        assert!(generation.check(Some(b"one")).is_ok());
        assert!(generation.check(Some(b"two")).is_err());
        assert!(generation.check(None).is_err());
    }

    #[test]
    fn all_ways_to_a_store_expect_the_same() {
        let generation = Generation::default();
        let other = generation.beside();
        generation.expect("one");
        assert!(other.check(Some(b"two")).is_err());
        assert!(generation.check(Some(b"one")).is_ok());
        assert!(other.alarm.clear() && !generation.alarm.clear());
    }

    #[test]
    fn an_alarm_is_raised_once_for_each_change() {
        let alarm = Alarm::default();
        assert!(!alarm.clear());
        assert!(alarm.raise());
        assert!(!alarm.raise());
        assert!(alarm.clear());
        assert!(alarm.raise());
    }
}

//! [`Relayed`] counts what was relayed to each provider, in memory, until it is told to the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ANY_PROVIDER;
use crate::suppression::{EventId, Tenant};
use crate::timestamp::Timestamp;

/// Most providers that are counted between two times it is told; those beyond are not counted, which
/// makes the brake take hold earlier, never later.
const PROVIDER_LIMIT: usize = 50_000;

/// Providers that the store is told of in one write.
const BATCH: usize = 1000;

/// Messages by tenant and provider.
type Counts = HashMap<Tenant, HashMap<String, u64>>;

/// What was relayed since the store was last told.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    counts: Mutex<Counts>,
    /// What it is to be told, and perhaps was told without an answer.
    untold: Mutex<VecDeque<Arc<Untold>>>,
}

/// Counts under an id, so that the store adds them once however often it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untold {
    /// Tells the batch from every other.
    pub(super) id: EventId,
    /// Whose mail.
    pub(super) tenant: Tenant,
    /// Messages by provider.
    pub(super) counts: Vec<(String, u64)>,
    /// When they were gathered.
    pub(super) at: Timestamp,
}

impl Relayed {
    /// So many recipients more of this provider, and of all of them together.
    pub(super) fn add(&self, tenant: &Tenant, provider: &str, recipients: u64) {
        let mut counts = lock(&self.counts);
        if !counts.contains_key(tenant) {
            counts.insert(tenant.clone(), HashMap::new());
        }
        let Some(providers) = counts.get_mut(tenant) else {
            return;
        };
        for name in [ANY_PROVIDER, provider] {
            if let Some(count) = providers.get_mut(name) {
                *count = count.saturating_add(recipients);
            } else if providers.len() < PROVIDER_LIMIT {
                providers.insert(name.to_owned(), recipients);
            }
        }
    }

    /// Makes batches of everything so far, unless some are waiting; from now on it is counted anew.
    ///
    /// # Errors
    /// When the system gives no random numbers for their ids; nothing is lost then.
    pub(super) fn gather(&self, now: Timestamp) -> Result<(), getrandom::Error> {
        let mut untold = lock(&self.untold);
        if !untold.is_empty() {
            return Ok(());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        for (tenant, counts) in std::mem::take(&mut *lock(&self.counts)) {
            let counts: Vec<(String, u64)> = counts.into_iter().collect();
            for some in counts.chunks(BATCH) {
                let number = (untold.len() as u64).to_be_bytes();
                untold.push_back(Arc::new(Untold {
                    id: EventId::of(&[b"relayed", &random, &number]),
                    tenant: tenant.clone(),
                    counts: some.to_vec(),
                    at: now,
                }));
            }
        }
        Ok(())
    }

    /// The oldest batch that the store may not know.
    pub(super) fn first_untold(&self) -> Option<Arc<Untold>> {
        lock(&self.untold).front().cloned()
    }

    /// The store knows this batch.
    pub(super) fn told(&self, id: &EventId) {
        lock(&self.untold).retain(|batch| batch.id != *id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(7);

    /// Everything that is gathered now, and told.
    fn take(relayed: &Relayed) -> Vec<Arc<Untold>> {
        relayed.gather(NOW).unwrap();
        let mut taken = Vec::new();
        while let Some(batch) = relayed.first_untold() {
            relayed.told(&batch.id);
            taken.push(batch);
        }
        taken
    }

    #[test]
    fn it_counts_until_it_is_told() {
        let relayed = Relayed::default();
        let (one, other) = (Tenant::default(), Tenant::new("other").unwrap());
        for provider in ["example.com", "example.com", "example.net"] {
            relayed.add(&one, provider, 1);
        }
        relayed.add(&other, "example.com", 1);
        let batches = take(&relayed);
        let of = |tenant: &Tenant, provider: &str| -> u64 {
            let batches = batches.iter().filter(|batch| batch.tenant == *tenant);
            let counts = batches.flat_map(|batch| &batch.counts);
            counts
                .filter(|(name, _)| name == provider)
                .map(|(_, count)| *count)
                .sum()
        };
        assert_eq!((of(&one, "example.com"), of(&other, "example.com")), (2, 1));
        assert_eq!((of(&one, ANY_PROVIDER), of(&other, ANY_PROVIDER)), (3, 1));
        assert!(take(&relayed).is_empty());
    }

    #[test]
    fn a_batch_is_bounded_and_stays_as_it_is_until_it_is_told() {
        let relayed = Relayed::default();
        let tenant = Tenant::default();
        relayed.add(&tenant, "example.com", 1);
        relayed.gather(NOW).unwrap();
        let first = relayed.first_untold().unwrap();
        relayed.add(&tenant, "example.com", 1);
        relayed.gather(NOW).unwrap();
        assert_eq!(relayed.first_untold().unwrap(), first);
        relayed.told(&first.id);
        assert_eq!(relayed.first_untold(), None);
        for number in 0..PROVIDER_LIMIT + 10 {
            relayed.add(&tenant, &number.to_string(), 1);
        }
        let batches = take(&relayed);
        assert!(batches.iter().all(|batch| batch.counts.len() <= BATCH));
        let providers: usize = batches.iter().map(|batch| batch.counts.len()).sum();
        assert_eq!(providers, PROVIDER_LIMIT);
        assert_ne!(batches[0].id, batches[1].id);
    }
}

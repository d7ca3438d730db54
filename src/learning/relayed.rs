//! [`Relayed`] counts what was relayed to each provider, in memory, until it is told to the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::suppression::Tenant;

/// Most providers that are counted between two times it is told; those beyond are not counted, which
/// makes the brake take hold earlier, never later.
const PROVIDER_LIMIT: usize = 50_000;

/// Messages by tenant and provider.
pub(super) type Counts = HashMap<Tenant, HashMap<String, u64>>;

/// What was relayed since the store was last told.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    counts: Mutex<Counts>,
}

impl Relayed {
    /// One message more.
    pub(super) fn add(&self, tenant: &Tenant, provider: &str) {
        self.add_many(tenant, provider, 1);
    }

    /// So many more: those that could not be told count again.
    pub(super) fn add_many(&self, tenant: &Tenant, provider: &str, messages: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(tenant) {
            counts.insert(tenant.clone(), HashMap::new());
        }
        let Some(providers) = counts.get_mut(tenant) else {
            return;
        };
        if let Some(count) = providers.get_mut(provider) {
            *count = count.saturating_add(messages);
        } else if providers.len() < PROVIDER_LIMIT {
            providers.insert(provider.to_owned(), messages);
        }
    }

    /// Everything so far; from now on it is counted anew.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_until_it_is_taken() {
        let relayed = Relayed::default();
        let (one, other) = (Tenant::default(), Tenant::new("other").unwrap());
        relayed.add(&one, "example.com");
        relayed.add(&one, "example.com");
        relayed.add(&other, "example.com");
        let counts = relayed.take();
        assert_eq!(counts[&one]["example.com"], 2);
        assert_eq!(counts[&other]["example.com"], 1);
        assert!(relayed.take().is_empty());
        for number in 0..PROVIDER_LIMIT + 10 {
            relayed.add(&one, &number.to_string());
        }
        assert_eq!(relayed.take()[&one].len(), PROVIDER_LIMIT);
    }
}

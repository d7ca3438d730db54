//! The [`Index`] has everybody's number in memory, so that the file need not be asked for it.
//!
//! The rows from key to number are ordered by hashes: each look-up would read a page of its own, the
//! more often from the disk the more recipients there are. And almost nobody who is looked up is on
//! record, so mostly such a page would be read to find nothing.
//!
//! Of a key it keeps 74 of 128 bits: two that many have in common are not told apart. Of ten million
//! on record, one has them in common with a given stranger once in 10^15 times. Who writes compares
//! whole keys, in the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::recipients::Id;

/// Parts that grow by themselves, so that none takes long: with ten million on record a third of a
/// millisecond.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;

/// Instead of a number: the file knows it.
const IN_FILE: u32 = u32::MAX;

/// From key to number.
///
/// A recipient takes 15 to 30 octets, as full as the shards are just then.
#[derive(Debug)]
pub(super) struct Index {
    shards: Box<[Shard]>,
    /// Whether everybody is in it.
    is_complete: bool,
}

type Shard = HashMap<Print, u32, BuildHasherDefault<PrintHasher>>;

/// What is known of somebody's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// They have none.
    Stranger,
    /// This is it.
    Number(u64),
    /// The file has to be asked.
    Unknown,
}

/// The last 64 bits of a key, with the tenant, in halves: so they lie close together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print([u32; 2]);

/// Keys are hashes already.
#[derive(Debug, Default)]
struct PrintHasher(u64);

impl Index {
    /// Adds somebody; once more is no harm.
    pub(super) fn insert(&mut self, id: &Id, number: u64) {
        let number = u32::try_from(number).unwrap_or(IN_FILE);
        let (shard, print) = place(id);
        match self.shards[shard].entry(print) {
            Entry::Vacant(entry) => {
                entry.insert(number);
            }
            Entry::Occupied(mut entry) if *entry.get() != number => {
                entry.insert(IN_FILE);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// From now on whoever is not in it is a stranger.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// The number of a recipient.
    pub(super) fn find(&self, id: &Id) -> Found {
        let (shard, print) = place(id);
        match self.shards[shard].get(&print) {
            Some(&IN_FILE) => Found::Unknown,
            Some(&number) => Found::Number(u64::from(number)),
            None if self.is_complete => Found::Stranger,
            None => Found::Unknown,
        }
    }

    /// Whether nothing is known of a recipient.
    pub(super) fn is_stranger(&self, id: &Id) -> bool {
        self.find(id) == Found::Stranger
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            is_complete: false,
        }
    }
}

impl Hash for Print {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

impl Hasher for PrintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The shard of somebody, by the first bits of their key, and what the shard keeps of them.
fn place(id: &Id) -> (usize, Print) {
    let [tenant, first, _, high, low] = words(id);
    // Each tenant has other keys; that does not depend on it.
    (
        (first >> (32 - SHARD_BITS)) as usize,
        Print([high ^ tenant, low]),
    )
}

fn words(id: &Id) -> [u32; 5] {
    let mut words = [0; 5];
    for (word, octets) in words.iter_mut().zip(id.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*octets);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::recipients;
    use super::*;
    use crate::suppression::RecipientKey;

    fn id(tenant: u32, key: u128) -> Id {
        recipients::id(tenant, &RecipientKey::from_bytes(key.to_be_bytes()))
    }

    #[test]
    fn everybody_has_their_number_and_others_have_none() {
        let mut index = Index::default();
        let spread = |number: u64| {
            u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        };
        for number in 0..100_000 {
            index.insert(&id(0, spread(number)), number);
        }
        assert_eq!(index.find(&id(0, spread(100_000))), Found::Unknown);
        index.complete();
        for number in 0..100_000 {
            assert_eq!(index.find(&id(0, spread(number))), Found::Number(number));
            assert!(index.is_stranger(&id(0, spread(100_000 + number))));
            assert!(
                index.is_stranger(&id(1, spread(number))),
                "of another tenant"
            );
        }
    }

    #[test]
    fn those_who_are_not_told_apart_are_asked_for_in_the_file() {
        let mut index = Index::default();
        index.complete();
        // They differ where nothing is kept.
        let twins = [id(0, 1), id(0, 1 | 1 << 80)];
        index.insert(&twins[0], 7);
        assert_eq!(index.find(&twins[1]), Found::Number(7));
        index.insert(&twins[1], 8);
        index.insert(&twins[0], 7);
        assert_eq!(twins.map(|twin| index.find(&twin)), [Found::Unknown; 2]);
    }

    #[test]
    fn a_number_that_is_too_high_is_in_the_file() {
        let mut index = Index::default();
        index.complete();
        for number in [u64::from(u32::MAX), 1 << 40, u64::MAX] {
            index.insert(&id(0, 1), number);
            assert_eq!(index.find(&id(0, 1)), Found::Unknown);
        }
    }
}

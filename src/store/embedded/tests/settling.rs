//! Whoever was added is found, however far the newcomers were settled, and nobody else is.

use proptest::prelude::*;

use super::super::newcomers::{LIMIT, WAITING};
use super::super::recipients::RECIPIENTS;
use super::*;
use crate::store::ledger::Guess;

/// Keys that lie anywhere, as hashes do, and are others for each tenant.
pub(super) fn far_key(tenant: &Tenant, number: u64) -> RecipientKey {
    let number = 2 * number + u64::from(tenant.as_str() == "other") + 1;
    let hash = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    RecipientKey::from_bytes(hash.to_be_bytes())
}

pub(super) fn tenants() -> [Tenant; 2] {
    [tenant(), Tenant::new("other").unwrap()]
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// So many recipients are new.
    Add(u64),
    /// One of those on record has something happen to them.
    Change(u64),
    /// The gateway is started again.
    Restart,
    /// A write fails, and the file is opened again.
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..3 * LIMIT as u64).prop_map(Step::Add),
        3 => any::<u64>().prop_map(Step::Change),
        1 => Just(Step::Restart),
        1 => Just(Step::Fail),
    ]
}

/// A store, and how many events each recipient has had.
pub(super) struct Model {
    embedded: Option<Embedded>,
    versions: Vec<u64>,
    events: u64,
}

impl Model {
    pub(super) async fn new() -> Self {
        let embedded = fixture();
        contract::ready(&embedded).await;
        Self {
            embedded: Some(embedded),
            versions: Vec::new(),
            events: 0,
        }
    }

    pub(super) fn store(&self) -> &Arc<EmbeddedStore> {
        &self.embedded.as_ref().unwrap().store
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Add(count) => {
                let first = self.versions.len() as u64;
                self.versions.extend((0..count).map(|_| 0));
                self.record(first..first + count).await;
            }
            Step::Change(which) => {
                if let Some(which) = which.checked_rem(self.versions.len() as u64) {
                    self.record(which..which + 1).await;
                }
            }
            Step::Restart => {
                let Embedded { store, folder } = self.embedded.take().unwrap();
                drop(store);
                let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
                let generation = store.meta().await.unwrap().unwrap().generation;
                store.expect_generation(&generation);
                let store = Arc::new(store);
                self.embedded = Some(Embedded { store, folder });
            }
            Step::Fail => {
                let failed = self.store().file.write(|writing| {
                    recipients::Register::open(writing)?.add(
                        &tenant(),
                        &far_key(&tenant(), 1 << 40),
                        1 << 40,
                    )?;
                    Err::<(), _>(redb::Error::Io(std::io::Error::other("no room")))
                });
                assert!(failed.is_err());
                assert!(self.store().file.reopen());
            }
        }
    }

    /// One more event for each of them, in both tenants.
    async fn record(&mut self, which: std::ops::Range<u64>) {
        let shared: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(self.store());
        let ledger = ledger(&shared);
        for tenant in tenants() {
            self.events += 1;
            let number = self.events;
            let events = which
                .clone()
                .map(|which| (far_key(&tenant, which), event(number)));
            let done = ledger.record_many(&tenant, events.collect(), Guess::Unknown);
            assert!(done.await.outcomes.iter().all(Result::is_ok));
        }
        for which in which {
            self.versions[usize::try_from(which).unwrap()] += 1;
        }
    }

    /// Everybody on record.
    pub(super) fn keys(&self, tenant: &Tenant) -> Vec<RecipientKey> {
        let all = 0..self.versions.len() as u64;
        all.map(|which| far_key(tenant, which)).collect()
    }

    pub(super) async fn check(&self) {
        let count = self.versions.len() as u64;
        for tenant in tenants() {
            let keys = self.keys(&tenant);
            let read = self.store().read_many(&tenant, &keys).await.unwrap();
            let versions: Vec<_> = read.into_iter().map(|read| read.unwrap().version).collect();
            assert_eq!(versions, self.versions);
            let found = self.store().look_up(&tenant, &keys).await;
            assert!(
                found.iter().all(|it| matches!(it, Finding::Known(_))),
                "{found:?}"
            );
            let strangers = [count, 1 << 40].map(|which| far_key(&tenant, which));
            let findings = self.store().look_up(&tenant, &strangers).await;
            assert_eq!(findings, [Finding::Clear, Finding::Clear]);
        }
    }

    /// How many rows the tables of newcomers and of all others have.
    fn rows(&self) -> (u64, u64) {
        let count = |reading: &Reading<'_>| {
            let newcomers = reading.open_table(WAITING)?.len()?;
            Ok((newcomers, reading.open_table(RECIPIENTS)?.len()?))
        };
        self.store().file.read(count).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whoever_was_added_is_found_and_nobody_else(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.take(step).await;
                model.check().await;
            }
        });
    }
}

#[tokio::test]
async fn newcomers_are_settled_and_their_rows_go() {
    let mut model = Model::new().await;
    for _ in 0..20 {
        model.take(Step::Add(LIMIT as u64)).await;
    }
    let (newcomers, recipients) = model.rows();
    let all = 2 * model.versions.len() as u64;
    assert!(
        recipients >= all - 2 * LIMIT as u64,
        "{recipients} of {all}"
    );
    assert!(newcomers <= 6 * LIMIT as u64, "{newcomers} are left");
    model.check().await;
}

#[tokio::test]
async fn a_round_goes_on_after_a_restart() {
    let mut model = Model::new().await;
    for _ in 0..30 {
        model.take(Step::Add(1)).await;
        model.take(Step::Restart).await;
    }
    let (newcomers, _) = model.rows();
    assert!(newcomers <= 6 * LIMIT as u64, "{newcomers} are left");
    model.check().await;
}

#[tokio::test]
async fn somebody_known_without_a_record_is_not_clear() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    let add =
        |writing: &Writing<'_>| recipients::Register::open(writing)?.add(&tenant(), &key(1), 7);
    embedded.store.file.write(add).unwrap();
    let findings = store.look_up(&tenant(), &[key(1), key(2)]).await;
    assert_eq!(findings, [Finding::Unavailable, Finding::Clear]);
    assert!(store.read(&tenant(), &key(1)).await.is_err());
}

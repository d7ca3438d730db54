//! Strangers are known without the file, and nobody on record is ever taken for one.

use super::settling::{Model, Step, far_key};
use super::*;

/// Whether each of them is certainly not on record.
fn are_strangers(store: &EmbeddedStore, keys: &[RecipientKey]) -> Vec<bool> {
    let ask = |reading: &Reading<'_>| {
        let presence = reading.presence();
        Ok(keys.iter().map(|key| presence.is_stranger(key)).collect())
    };
    store.file.read(ask).unwrap()
}

/// Fills the filter to its end; the writer may have been faster.
fn fill(store: &EmbeddedStore) {
    while store.file.fill_presence(3) {}
}

fn count(strangers: &[bool]) -> usize {
    strangers.iter().filter(|is_stranger| **is_stranger).count()
}

#[tokio::test]
async fn strangers_are_known_while_the_filter_grows_and_after_a_restart() {
    let mut model = Model::new().await;
    let strangers: Vec<_> = (0..200).map(|number| far_key((1 << 40) + number)).collect();
    for step in [
        Step::Add(3),
        Step::Add(40),
        Step::Restart,
        Step::Add(200),
        Step::Fail,
    ] {
        model.take(step).await;
        fill(model.store());
        let known: Vec<_> = model.keys().collect();
        assert_eq!(count(&are_strangers(model.store(), &known)), 0);
        // One in a hundred may be taken for somebody else, not one in ten.
        let found = count(&are_strangers(model.store(), &strangers));
        assert!(found > 180, "{found} of 200");
        model.check().await;
    }
}

#[tokio::test]
async fn somebody_whose_transaction_failed_is_asked_for_in_the_file() {
    let mut model = Model::new().await;
    fill(model.store());
    let key = [far_key(1 << 40)];
    let failed = model.store().file.write(|writing| {
        recipients::Register::open(writing)?.add(&tenant(), &key[0], 0)?;
        Err::<(), _>(redb::Error::Io(std::io::Error::other("no room")))
    });
    assert!(failed.is_err());
    assert_eq!(are_strangers(model.store(), &key), [false]);
    let findings = model.store().look_up(&tenant(), &key).await;
    assert_eq!(findings, [Finding::Clear]);
    model.take(Step::Add(1)).await;
    model.check().await;
}

#[tokio::test]
async fn strangers_of_a_file_of_another_generation_are_not_clear() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    fill(&embedded.store);
    embedded.set_generation(Some("another"));
    assert_eq!(are_strangers(&embedded.store, &[key(9)]), [true]);
    let findings = store.look_up(&tenant(), &[key(9)]).await;
    assert_eq!(findings, [Finding::Unavailable]);
}

//! Strangers are known without the file, and nobody on record is ever taken for one.

use super::super::newcomers;
use super::settling::{Model, Step, far_key, tenants};
use super::*;

/// Whether each of them is certainly not on record.
fn are_strangers(file: &DatabaseFile, keys: &[RecipientKey]) -> Vec<bool> {
    let ask = |reading: &Reading<'_>| {
        let presence = reading.presence();
        Ok(keys.iter().map(|key| presence.is_stranger(key)).collect())
    };
    file.read(ask).unwrap()
}

/// Fills the filter to its end; a writer may have been faster.
fn fill(file: &DatabaseFile) {
    while file.fill_presence(3) {}
}

fn count(strangers: &[bool]) -> usize {
    strangers.iter().filter(|is_stranger| **is_stranger).count()
}

/// Adds recipients, and settles so many of those who were added before.
fn add(file: &DatabaseFile, numbers: std::ops::Range<u64>, settled: usize) {
    let work = |writing: &Writing<'_>| {
        let mut register = recipients::Register::open(writing)?;
        for number in numbers {
            register.add(&tenant(), &far_key(&tenant(), number), number)?;
        }
        drop(register);
        newcomers::settle(writing, settled)
    };
    file.write(work).unwrap();
}

#[tokio::test]
async fn strangers_are_known_while_the_filter_grows_and_after_a_restart() {
    let mut model = Model::new().await;
    let strangers: Vec<_> = (0..200)
        .map(|number| far_key(&tenant(), (1 << 40) + number))
        .collect();
    for step in [
        Step::Add(3),
        Step::Add(40),
        Step::Restart,
        Step::Add(200),
        Step::Fail,
    ] {
        model.take(step).await;
        let file = Arc::clone(&model.store().file);
        fill(&file);
        for tenant in tenants() {
            assert_eq!(count(&are_strangers(&file, &model.keys(&tenant))), 0);
        }
        // One in a hundred may be taken for somebody else, not one in ten.
        let found = count(&are_strangers(&file, &strangers));
        assert!(found > 180, "{found} of 200");
        model.check().await;
    }
}

#[test]
fn whoever_comes_while_a_filter_is_filled_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = DatabaseFile::open(&folder.path().join("store.redb"), 1 << 20).unwrap();
    let keys = |numbers: std::ops::Range<u64>| -> Vec<_> {
        numbers.map(|number| far_key(&tenant(), number)).collect()
    };
    // The second time it is a larger one, beside the first, which is full.
    for (first, middle, end) in [(0, 20, 30), (30, 130, 140)] {
        add(&file, first..middle, 0);
        add(&file, 0..0, 1000);
        assert!(file.fill_presence(2), "there are more than two");
        // Some are settled above and below where the filling is, others stay newcomers.
        for number in middle..end {
            add(&file, number..number + 1, 7);
            assert!(file.fill_presence(1), "there are more than twelve");
        }
        fill(&file);
        assert_eq!(count(&are_strangers(&file, &keys(0..end))), 0);
    }
    let strangers = keys(140..340);
    let found = count(&are_strangers(&file, &strangers));
    assert!(found > 180, "{found} of 200");
}

#[tokio::test]
async fn somebody_whose_transaction_failed_is_asked_for_in_the_file() {
    let mut model = Model::new().await;
    let file = Arc::clone(&model.store().file);
    fill(&file);
    let key = [far_key(&tenant(), 1 << 40)];
    let failed = file.write(|writing| {
        recipients::Register::open(writing)?.add(&tenant(), &key[0], 0)?;
        Err::<(), _>(redb::Error::Io(std::io::Error::other("no room")))
    });
    assert!(failed.is_err());
    assert_eq!(are_strangers(&file, &key), [false]);
    let findings = model.store().look_up(&tenant(), &key).await;
    assert_eq!(findings, [Finding::Clear]);
    model.take(Step::Add(1)).await;
    model.check().await;
}

#[tokio::test]
async fn f11_strangers_of_a_file_of_another_generation_are_not_clear() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    fill(&embedded.store.file);
    embedded.set_generation(Some("another"));
    assert_eq!(are_strangers(&embedded.store.file, &[key(9)]), [true]);
    let findings = store.look_up(&tenant(), &[key(9)]).await;
    assert_eq!(findings, [Finding::Unavailable]);
}

/// A file of forty recipients that is damaged while it is open, where one of them stands who is
/// settled.
fn damaged(folder: &tempfile::TempDir, damage: impl Fn(&mut [u8], usize)) -> DatabaseFile {
    let path = folder.path().join("store.redb");
    // Nothing is kept in memory, so that the damage is seen.
    let file = DatabaseFile::open(&path, 0).unwrap();
    add(&file, 0..40, 0);
    add(&file, 0..0, 1000);
    let mut keys: Vec<_> = (0..40)
        .map(|number| *far_key(&tenant(), number).as_bytes())
        .collect();
    keys.sort_unstable();
    let mut octets = std::fs::read(&path).unwrap();
    // In the table of recipients the next key follows, after the number of the tenant.
    let places: Vec<_> = (0..octets.len() - 36)
        .filter(|place| octets[*place..*place + 16] == keys[20])
        .filter(|place| octets[*place + 20..*place + 36] == keys[21])
        .collect();
    assert!(!places.is_empty());
    for place in places {
        damage(&mut octets, place);
    }
    std::fs::write(&path, octets).unwrap();
    file
}

/// The filter was given up, and the file can still be written.
fn check_without_filter(file: &DatabaseFile) {
    fill(file);
    let strangers = [1 << 40, 1 << 41].map(|number| far_key(&tenant(), number));
    assert_eq!(are_strangers(file, &strangers), [false, false]);
    add(file, 50..51, 0);
    assert!(!file.fill_presence(3), "it is not tried again");
    assert_eq!(are_strangers(file, &strangers), [false, false]);
}

#[test]
fn s4_a_file_with_a_damaged_key_has_no_filter() {
    let folder = tempfile::tempdir().unwrap();
    // One in the middle becomes the highest.
    check_without_filter(&damaged(&folder, |octets, place| octets[place] = 0xFF));
}

#[test]
fn s4_a_file_with_a_page_of_no_kind_has_no_filter() {
    let folder = tempfile::tempdir().unwrap();
    // The first octet of a page says what it is; the database panics over one it does not know.
    check_without_filter(&damaged(&folder, |octets, place| {
        octets[place / 4096 * 4096] = 9;
    }));
}

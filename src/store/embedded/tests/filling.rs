//! Memory answers for the file once it is filled, as the file would.

use super::super::newcomers;
use super::settling::{Model, Step, far_key, tenants};
use super::*;

/// Whether memory knows each of them not to be on record.
fn are_strangers(file: &DatabaseFile, tenant: &Tenant, keys: &[RecipientKey]) -> Vec<bool> {
    let ask = |reading: &Reading<'_>| {
        let memory = reading.memory();
        let is_stranger = |key| match memory.tenants.get(tenant) {
            Some(number) => memory.index.is_stranger(&recipients::id(*number, key)),
            None => true,
        };
        Ok(keys.iter().map(is_stranger).collect())
    };
    file.read(ask).unwrap()
}

/// What is found of each, and whether the file was asked.
fn look_up(file: &DatabaseFile, tenant: &Tenant, keys: &[RecipientKey]) -> (Vec<Finding>, bool) {
    let ask = |reading: &Reading<'_>| {
        let findings = tables::look_up(reading, tenant, keys)?;
        Ok((findings, reading.has_begun()))
    };
    file.read(ask).unwrap()
}

/// Fills memory to the end; a writer may have been faster.
fn fill(file: &DatabaseFile) {
    while file.fill(3) {}
}

fn count(strangers: &[bool]) -> usize {
    strangers.iter().filter(|is_stranger| **is_stranger).count()
}

/// Adds recipients without records, and settles so many of those who were added before.
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
async fn memory_answers_for_all_after_every_start() {
    let mut model = Model::new().await;
    let strangers: Vec<_> = (0..200)
        .map(|number| far_key(&tenant(), (1 << 40) + number))
        .collect();
    for step in [
        Step::Add(3),
        Step::Add(40),
        Step::Restart,
        Step::Change(7),
        Step::Add(200),
        Step::Fail,
    ] {
        model.take(step).await;
        let file = Arc::clone(&model.store().file);
        fill(&file);
        for tenant in tenants() {
            let keys = model.keys(&tenant);
            assert_eq!(count(&are_strangers(&file, &tenant, &keys)), 0);
            let (found, was_asked) = look_up(&file, &tenant, &keys);
            assert!(!was_asked);
            let read = model.store().read_many(&tenant, &keys).await.unwrap();
            for (found, read) in found.iter().zip(read) {
                assert_eq!(*found, Finding::known(&read.unwrap().record));
            }
        }
        assert_eq!(count(&are_strangers(&file, &tenant(), &strangers)), 200);
        assert_eq!(
            look_up(&file, &tenant(), &strangers),
            (vec![Finding::Clear; 200], false)
        );
        model.check().await;
    }
}

#[test]
fn whoever_comes_while_memory_is_filled_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = DatabaseFile::open(&folder.path().join("store.redb"), 1 << 20).unwrap();
    let keys = |numbers: std::ops::Range<u64>| -> Vec<_> {
        numbers.map(|number| far_key(&tenant(), number)).collect()
    };
    add(&file, 0..30, 0);
    add(&file, 0..0, 1000);
    assert!(file.reopen());
    assert!(file.fill(2), "it begins");
    // Some are settled above and below where the filling is, others stay newcomers.
    for number in 30..36 {
        assert!(file.fill(2), "there are more than twelve");
        add(&file, number..number + 1, 7);
        assert_eq!(
            count(&are_strangers(&file, &tenant(), &keys(0..number + 1))),
            0
        );
        assert_eq!(are_strangers(&file, &tenant(), &keys(100..101)), [false]);
    }
    fill(&file);
    assert_eq!(count(&are_strangers(&file, &tenant(), &keys(0..36))), 0);
    assert_eq!(count(&are_strangers(&file, &tenant(), &keys(36..236))), 200);
}

#[tokio::test]
async fn somebody_whose_transaction_failed_stays_a_stranger() {
    let mut model = Model::new().await;
    let file = Arc::clone(&model.store().file);
    fill(&file);
    let key = [far_key(&tenant(), 1 << 40)];
    let failed = file.write(|writing| {
        recipients::Register::open(writing)?.add(&tenant(), &key[0], 0)?;
        writing.set_standing(0, Some(Standing::default()));
        Err::<(), _>(redb::Error::Io(std::io::Error::other("no room")))
    });
    assert!(failed.is_err());
    assert_eq!(are_strangers(&file, &tenant(), &key), [true]);
    let findings = model.store().look_up(&tenant(), &key).await;
    assert_eq!(findings, [Finding::Clear]);
    model.take(Step::Add(1)).await;
    model.check().await;
}

#[tokio::test]
async fn s4_a_record_that_cannot_be_read_is_not_clear_after_a_start() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    for number in 1..4 {
        let event = event(u64::from(number));
        let recorded = ledger(&store).record(&tenant(), &key(number), event).await;
        recorded.unwrap();
    }
    embedded.set_field(
        &tenant(),
        &key(2),
        "an_axis_of_a_newer_program",
        Some(b"{}"),
    );
    let file = &embedded.store.file;
    assert!(file.reopen());
    fill(file);
    let (found, was_asked) = look_up(file, &tenant(), &[1, 2, 3].map(key));
    assert!(matches!(
        found[..],
        [Finding::Known(_), Finding::Unavailable, Finding::Known(_)]
    ));
    assert!(was_asked);
}

#[tokio::test]
async fn f11_strangers_of_a_file_of_another_generation_are_not_clear() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    fill(&embedded.store.file);
    embedded.set_generation(Some("another"));
    assert_eq!(
        are_strangers(&embedded.store.file, &tenant(), &[key(9)]),
        [true]
    );
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

/// Filling was given up, so nobody is a stranger, and the file can still be written.
fn check_given_up(file: &DatabaseFile) {
    fill(file);
    let strangers = [1 << 40, 1 << 41].map(|number| far_key(&tenant(), number));
    assert_eq!(are_strangers(file, &tenant(), &strangers), [false, false]);
    add(file, 50..51, 0);
    assert!(!file.fill(3), "it is not tried again");
    assert_eq!(are_strangers(file, &tenant(), &strangers), [false, false]);
}

#[test]
fn s4_with_a_damaged_key_nobody_is_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    // One in the middle becomes the highest.
    check_given_up(&damaged(&folder, |octets, place| octets[place] = 0xFF));
}

#[test]
fn s4_with_a_page_of_no_kind_nobody_is_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    // The first octet of a page says what it is; the database panics over one it does not know.
    check_given_up(&damaged(&folder, |octets, place| {
        octets[place / 4096 * 4096] = 9;
    }));
}

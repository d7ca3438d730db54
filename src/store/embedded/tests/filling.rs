//! Memory answers for the file once it is filled, as the file would.

use proptest::prelude::*;

use super::super::newcomers;
use super::super::tables::Ledgers;
use super::settling::{Model, Step, far_key, tenants};
use super::*;
use crate::suppression::Record;
use crate::suppression::record::Bounces;

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
        let findings = look_up::look_up(reading, tenant, keys)?;
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

/// Adds recipients with records that cannot be read, and settles so many of those who were added before.
fn add(file: &DatabaseFile, numbers: std::ops::Range<u64>, settled: usize) {
    let work = |writing: &Writing<'_>| {
        let mut register = recipients::Register::open(writing)?;
        let mut records = writing.open_table(tables::RECORDS)?;
        for number in numbers {
            register.add(&tenant(), &far_key(&tenant(), number), number)?;
            records.insert(number, b"{}".as_slice())?;
        }
        drop((register, records));
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
    model.take(Step::Add(1)).await;
    let file = Arc::clone(&model.store().file);
    fill(&file);
    let first = model.keys(&tenant());
    let before = look_up(&file, &tenant(), &first);
    assert!(!before.1);
    let key = [far_key(&tenant(), 1 << 40)];
    let failed = file.write(|writing| {
        recipients::Register::open(writing)?.add(&tenant(), &key[0], 2)?;
        writing.set_standing(0, Some(Standing::default()));
        Err::<(), _>(redb::Error::Io(std::io::Error::other("no room")))
    });
    assert!(failed.is_err());
    assert_eq!(are_strangers(&file, &tenant(), &key), [true]);
    assert_eq!(look_up(&file, &tenant(), &first), before);
    let findings = model.store().look_up(&tenant(), &key).await;
    assert_eq!(findings, [Finding::Clear]);
    model.take(Step::Add(1)).await;
    model.check().await;
}

/// What is done to a file whose writer does not run.
#[derive(Debug, Clone)]
enum Act {
    /// So many are new, and as many are settled.
    Add(u64),
    /// Something happens to one of those on record, so often in one transaction.
    Change(u64, u64),
    /// A step of filling.
    Fill(usize),
    /// The file is opened again.
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1..9_u64).prop_map(Act::Add),
        3 => (any::<u64>(), 1..4_u64).prop_map(|(which, times)| Act::Change(which, times)),
        6 => (1..5_usize).prop_map(Act::Fill),
        1 => Just(Act::Reopen),
    ]
}

/// A record that differs with each version.
fn record(version: u64) -> Record {
    let at = Timestamp::from_millis(version);
    let mut record = Record::default();
    let bounces = |listed| Bounces {
        count: 1,
        first: at,
        last: at,
        status: None,
        diagnostic: None,
        campaign: None,
        recent: Vec::new(),
        listed,
    };
    // With one time, with two, and with more names than are kept.
    record.hard = Some(bounces(None));
    if !version.is_multiple_of(3) {
        record.soft = Some(bounces(Some(at)));
    }
    if version % 3 > 1 {
        let names = (0..20).map(|number| format!("list:l{number}").parse().unwrap());
        record.opt_ins = names
            .map(|name| (name, contract::consent(version)))
            .collect();
    }
    record
}

/// Makes a version of the record of each of these.
fn commit(file: &DatabaseFile, which: &[(u64, u64)], settled: usize) {
    let work = |writing: &Writing<'_>| {
        let mut ledgers = Ledgers::open(writing)?;
        for (number, version) in which {
            let record = record(*version);
            let fields = codec::encode(&record, *version).unwrap();
            let write = tables::Write {
                tenant: tenant(),
                key: far_key(&tenant(), *number),
                expected_version: version - 1,
                record: codec::encode_object(fields).unwrap(),
                standing: Standing::from(&record),
                entry: "{}".to_owned(),
                event_id: version.to_string(),
                forget_at: Timestamp::from_millis(u64::MAX),
            };
            let outcome = ledgers.commit(&write, Timestamp::from_millis(1))?;
            assert_eq!(outcome.unwrap(), CommitOutcome::Committed);
        }
        drop(ledgers);
        newcomers::settle(writing, settled)
    };
    file.write(work).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_answers_as_the_file_would(acts in prop::collection::vec(act(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let file = DatabaseFile::open(&folder.path().join("store.redb"), 1 << 20).unwrap();
        let mut versions: Vec<u64> = Vec::new();
        for act in acts {
            let count = versions.len() as u64;
            match act {
                Act::Add(more) => {
                    let new: Vec<_> = (count..count + more).map(|number| (number, 1)).collect();
                    commit(&file, &new, new.len());
                    versions.extend(new.iter().map(|_| 1));
                }
                Act::Change(which, times) => {
                    let Some(which) = which.checked_rem(count) else {
                        continue;
                    };
                    let version = &mut versions[usize::try_from(which).unwrap()];
                    let changes: Vec<_> =
                        (1..=times).map(|more| (which, *version + more)).collect();
                    commit(&file, &changes, 1);
                    *version += times;
                }
                Act::Fill(most) => {
                    file.fill(most);
                }
                Act::Reopen => prop_assert!(file.reopen()),
            }
            let keys: Vec<_> = (0..versions.len() as u64 + 3)
                .map(|number| far_key(&tenant(), number))
                .collect();
            let mut expected: Vec<_> =
                versions.iter().map(|version| Finding::known(&record(*version))).collect();
            expected.extend([const { Finding::Clear }; 3]);
            prop_assert_eq!(look_up(&file, &tenant(), &keys).0, expected);
        }
        fill(&file);
        let in_memory = versions.iter().zip(0..).filter(|(version, _)| *version % 3 < 2);
        let keys: Vec<_> = in_memory.map(|(_, number)| far_key(&tenant(), number)).collect();
        prop_assert!(!look_up(&file, &tenant(), &keys).1, "the file was asked");
    }
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

#[test]
fn s4_where_somebody_with_a_record_is_missing_nobody_is_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let file = DatabaseFile::open(&folder.path().join("store.redb"), 1 << 20).unwrap();
    add(&file, 0..40, 0);
    add(&file, 0..0, 1000);
    let lose = |writing: &Writing<'_>| {
        let mut table = writing.open_table(recipients::RECIPIENTS)?;
        assert!(table.pop_first()?.is_some());
        Ok(())
    };
    file.write(lose).unwrap();
    assert!(file.reopen());
    check_given_up(&file);
}

#[test]
fn s4_with_a_damaged_number_nobody_has_the_record_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let file = DatabaseFile::open(&path, 0).unwrap();
    let all: Vec<_> = (0..40).map(|number| (number, 1)).collect();
    commit(&file, &all, 0);
    commit(&file, &[(10, 2), (10, 3), (10, 4)], 1000);
    let mut octets = std::fs::read(&path).unwrap();
    let pair = |first: u64, second: u64| [first, second].map(u64::to_le_bytes).concat();
    // Its neighbour before or after it is in the same page, and perhaps both.
    for (old, new) in [(pair(9, 10), pair(9, 7)), (pair(10, 11), pair(7, 11))] {
        for place in 0..octets.len() - 16 {
            let page = &octets[place / 4096 * 4096..][..4096];
            // Other tables have numbers too.
            if octets[place..place + 16] == old && page.windows(6).any(|part| part == b"\"hard\"") {
                octets[place..place + 16].copy_from_slice(&new);
            }
        }
    }
    std::fs::write(&path, octets).unwrap();
    assert!(file.reopen());
    // All in one piece, so that the damage lies within.
    let steps = (0..100).take_while(|_| file.fill(100)).count();
    assert!(steps < 100, "it does not come to its end");
    let seventh = look_up(&file, &tenant(), &[far_key(&tenant(), 7)]);
    assert_eq!(seventh.0, [Finding::known(&record(1))]);
    let tenth = look_up(&file, &tenant(), &[far_key(&tenant(), 10)]);
    assert_eq!(tenth.0, [Finding::Unavailable]);
}

//! What every adapter does with the recipients of signed transactions and the labels of tags.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fixture, GENERATION, key, ready, tasks_done, tenant};
use crate::store::{StoreError, TransactionId};
use crate::suppression::{RecipientKey, Tenant};

const DAY: Duration = Duration::from_secs(24 * 3600);
const ID: TransactionId = [7; 16];

fn keys(count: u32) -> Vec<RecipientKey> {
    (0..count)
        .map(|number| RecipientKey::from_bytes(u128::from(number).to_be_bytes()))
        .collect()
}

pub(crate) async fn b10_a_set_of_recipients_is_read_as_written(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    assert_eq!(store.sent(&tenant, &ID).await.unwrap(), None);
    for count in [1, 2, 1000, 1001, 12_345, 0, 3] {
        let recipients = keys(count);
        store
            .put_sent(&tenant, &ID, &recipients, DAY)
            .await
            .unwrap();
        let found = store.sent(&tenant, &ID).await.unwrap();
        assert_eq!(found, Some(recipients), "the newest of this id");
    }
    assert_eq!(store.sent(&tenant, &[8; 16]).await.unwrap(), None);
    let other = Tenant::new("other").unwrap();
    assert_eq!(store.sent(&other, &ID).await.unwrap(), None);
}

pub(crate) async fn a_set_of_recipients_expires(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    for keep in [Duration::ZERO, Duration::from_millis(20)] {
        store.put_sent(&tenant, &ID, &keys(2), keep).await.unwrap();
        let limit = Instant::now() + Duration::from_secs(10);
        while store.sent(&tenant, &ID).await.unwrap().is_some() {
            assert!(Instant::now() < limit, "still there");
        }
    }
    // Written again with a longer time, the shorter one does not end it.
    let short = Duration::from_millis(1);
    store.put_sent(&tenant, &ID, &keys(2), short).await.unwrap();
    let long = Duration::MAX;
    store.put_sent(&tenant, &ID, &keys(3), long).await.unwrap();
    for number in 0..50 {
        let id = [number; 16];
        store.put_sent(&tenant, &id, &keys(1), DAY).await.unwrap();
    }
    store.put_sent(&tenant, &ID, &keys(3), long).await.unwrap();
    assert_eq!(store.sent(&tenant, &ID).await.unwrap(), Some(keys(3)));
}

pub(crate) async fn a_label_keeps_its_first_text(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    assert_eq!(store.label(&tenant, 1).await.unwrap(), None);
    for text in ["spring sale é", "another"] {
        let kept = store.put_label(&tenant, 1, text, None).await.unwrap();
        assert_eq!(kept, "spring sale é");
    }
    let kept = store.label(&tenant, 1).await.unwrap();
    assert_eq!(kept.as_deref(), Some("spring sale é"));
    let kept = store.put_label(&tenant, u32::MAX, "", Some(DAY)).await;
    assert_eq!(kept.unwrap(), "");
    let empty = store.label(&tenant, u32::MAX).await.unwrap();
    assert_eq!(empty.as_deref(), Some(""), "empty is not none");
    assert_eq!(store.label(&tenant, 0x0100_0000).await.unwrap(), None);
    let other = Tenant::new("other").unwrap();
    assert_eq!(store.label(&other, 1).await.unwrap(), None);
    let long = "x".repeat(1_000_000);
    assert!(store.put_label(&tenant, 9, &long, None).await.is_err());
    assert_eq!(store.label(&tenant, 9).await.unwrap(), None);
}

pub(crate) async fn a_label_lasts_as_long_as_it_is_used(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    let put = async |text: &str, keep| store.put_label(&tenant, 1, text, keep).await.unwrap();
    let short = Some(Duration::from_millis(20));
    for text in ["spring", "summer"] {
        put(text, short).await;
        let limit = Instant::now() + Duration::from_secs(10);
        while store.label(&tenant, 1).await.unwrap().is_some() {
            assert!(Instant::now() < limit, "still there");
        }
    }
    // Used again, it lasts longer; another who tries its tag changes nothing.
    put("autumn", Some(DAY)).await;
    put("autumn", Some(Duration::MAX)).await;
    assert_eq!(put("winter", short).await, "autumn");
    store.put_label(&tenant, 2, "list", None).await.unwrap();
    assert_eq!(
        store.put_label(&tenant, 2, "x", short).await.unwrap(),
        "list"
    );
    let gone = store.put_label(&tenant, 3, "gone", Some(Duration::ZERO));
    assert_eq!(gone.await.unwrap(), "gone");
    let limit = Instant::now() + Duration::from_secs(10);
    while store.label(&tenant, 3).await.unwrap().is_some() {
        assert!(Instant::now() < limit, "still there");
    }
    for (tag, text) in [(1, "autumn"), (2, "list")] {
        let kept = store.label(&tenant, tag).await.unwrap();
        assert_eq!(kept.as_deref(), Some(text));
    }
}

pub(crate) async fn of_many_who_name_a_tag_one_wins(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tasks = (0..16).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let text = format!("campaign {number}");
            let put = store.put_label(&tenant(), 5, &text, Some(DAY)).await;
            put.unwrap()
        })
    });
    let there = tasks_done(tasks.collect()).await;
    let kept = store.label(&tenant(), 5).await.unwrap();
    assert!(there.iter().all(|text| Some(text) == kept.as_ref()));
}

pub(crate) async fn s1_another_generation_has_no_sets_and_takes_none(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    store.put_sent(&tenant, &ID, &keys(1), DAY).await.unwrap();
    let put = store.put_label(&tenant, 1, "spring", None).await;
    assert_eq!(put.unwrap(), "spring");
    for generation in [None, Some("another")] {
        fixture.set_generation(generation);
        let unavailable = |error: StoreError| {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        };
        unavailable(store.sent(&tenant, &ID).await.unwrap_err());
        unavailable(store.label(&tenant, 1).await.unwrap_err());
        unavailable(store.put_label(&tenant, 2, "x", None).await.unwrap_err());
        let put = store.put_sent(&tenant, &[1; 16], &keys(1), DAY).await;
        unavailable(put.unwrap_err());
    }
    fixture.set_generation(Some(GENERATION));
    assert_eq!(store.sent(&tenant, &ID).await.unwrap(), Some(keys(1)));
    assert_eq!(store.sent(&tenant, &[1; 16]).await.unwrap(), None);
    assert_eq!(store.label(&tenant, 2).await.unwrap(), None);
}

pub(crate) async fn s4_a_set_that_cannot_be_read_is_not_none(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let one = key(1).to_string();
    let spoilt: [&[(&str, &str)]; 8] = [
        &[("count", "2"), ("0", &one)],
        &[("0", &one)],
        &[("count", "1")],
        &[("count", "x"), ("0", &one)],
        &[("count", "1"), ("1", &one)],
        &[("count", "1"), ("0", "zz")],
        &[("count", "1"), ("0", &one[1..])],
        &[("count", "1"), ("0", &one), ("more", "")],
    ];
    for fields in spoilt {
        fixture.set_sent(&tenant(), &ID, fields);
        let error = store.sent(&tenant(), &ID).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt(_)),
            "{fields:?}: {error}"
        );
    }
    fixture.set_sent(&tenant(), &ID, &[("count", "1"), ("0", &one)]);
    let found = store.sent(&tenant(), &ID).await.unwrap();
    assert_eq!(found, Some(vec![key(1)]));
}

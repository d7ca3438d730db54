//! What every adapter does with the values of a record: all are read as written, or not at all.

use super::{Fixture, Write, consent, event, full_record, key, ledger, named, ready, tenant};
use crate::store::{StoreError, codec};
use crate::suppression::event::{Effect, Grounds};
use crate::suppression::{Change, Finding, Record, Scope};

pub(crate) async fn s4_what_cannot_be_read_is_never_clear(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = full_record();
    Write::new(1, 0, &record).to(&store).await.unwrap();
    let other = Write {
        key: key(2),
        ..Write::new(1, 0, &record)
    };
    other.to(&store).await.unwrap();
    let spoilt: [(&str, Option<&[u8]>); 12] = [
        ("version", None),
        ("version", Some(b"")),
        ("version", Some(b"-1")),
        ("version", Some(b"0")),
        ("hard", Some(b"{\"")),
        ("hard", Some(b"{}")),
        ("hard", Some(b"{\"count\":1} x")),
        ("optout:*", Some(b"\xff\xfe")),
        ("optout:LIST:x", Some(b"{}")),
        (
            "optout:list:News",
            Some(b"{\"at\":\"2026-01-01T00:00:00Z\",\"via\":\"a\",\"actor\":\"a\"}"),
        ),
        ("an_axis_of_a_newer_program", Some(b"{}")),
        ("", Some(b"")),
    ];
    for (field, value) in spoilt {
        fixture.set_field(&tenant(), &key(1), field, value);
        let findings = store.look_up(&tenant(), &[key(1), key(2)]).await;
        assert_eq!(findings[0], Finding::Unavailable, "{field} {value:?}");
        assert_eq!(findings[1], Finding::known(&record), "{field}");
        let error = store.read(&tenant(), &key(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{field}: {error}");
        let error = ledger(&store).record(&tenant(), &key(1), event(9)).await;
        assert!(
            matches!(error, Err(StoreError::Corrupt(_))),
            "{field}: {error:?}"
        );
        // As it was before.
        fixture.set_field(&tenant(), &key(1), field, None);
        for (name, value) in codec::encode(&record, 1).unwrap() {
            fixture.set_field(&tenant(), &key(1), &name, Some(value.as_bytes()));
        }
        let read = store.read(&tenant(), &key(1)).await.unwrap();
        assert_eq!((read.version, &read.record), (1, &record));
    }
}

pub(crate) async fn every_field_is_read_as_written(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let full = full_record();
    Write::new(1, 0, &full).to(&store).await.unwrap();
    let read = store.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!(read.record, full);
    let empty = Record::default();
    Write::new(2, 1, &empty).to(&store).await.unwrap();
    let read = store.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!(
        (read.version, read.record),
        (2, empty),
        "fields that are gone are gone"
    );
}

pub(crate) async fn what_is_too_large_is_refused(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let long = named(&"a".repeat(100_000));
    assert!(Write::new(1, 0, &long).to(&store).await.is_err());
    let mut many = Record::default();
    for number in 0..5000 {
        let scope = Scope::topic(&format!("topic-{number}")).unwrap();
        many.opt_outs.insert(scope, consent(1));
    }
    assert!(Write::new(2, 0, &many).to(&store).await.is_err());
    assert_eq!(store.look_up(&tenant(), &[key(1)]).await, [Finding::Clear]);
    // A report with a diagnostic of any length is recorded all the same.
    let mut event = event(3);
    event.change = Change::OptOut {
        scope: Scope::All,
        grounds: Grounds {
            evidence: Some("e".repeat(1_000_000)),
            ..Grounds::default()
        },
    };
    let recorded = ledger(&store).record(&tenant(), &key(1), event).await;
    assert_eq!(recorded.unwrap().effect, Some(Effect::Changed));
}

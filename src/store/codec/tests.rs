use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::mail::EnhancedStatus;
use crate::store::contract::full_record;
use crate::suppression::record::{Bounces, Complaint, Consent, DoNotEmail, Erased, Further, Reset};
use crate::timestamp::Timestamp;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        "\\PC{0,10}",
        Just("\"\\\u{2028}\n".to_owned())
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0..4_102_444_800_000_u64).prop_map(Timestamp::from_millis)
}

fn scope() -> impl Strategy<Value = Scope> {
    let name = "[^\\pC\\pZ\\s]{1,20}";
    prop_oneof![
        Just(Scope::All),
        name.prop_filter_map("a name", |name| Scope::list(&name).ok()),
        name.prop_filter_map("a name", |name| Scope::topic(&name).ok()),
        name.prop_filter_map("a name", |name| Scope::stream(&name).ok()),
    ]
}

fn consent() -> impl Strategy<Value = Consent> {
    let texts = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    );
    (moment(), option::of(moment()), text(), text(), texts).prop_map(
        |(at, last, via, actor, (campaign, reason, comment, evidence))| Consent {
            at,
            last,
            via,
            actor,
            campaign,
            reason,
            comment,
            evidence,
        },
    )
}

fn do_not_email() -> impl Strategy<Value = DoNotEmail> {
    (
        moment(),
        text(),
        text(),
        option::of(moment()),
        any::<bool>(),
    )
        .prop_map(|(at, by, why, until, auto)| DoNotEmail {
            at,
            by,
            why,
            until,
            auto,
        })
}

fn complaint() -> impl Strategy<Value = Complaint> {
    let also = (
        option::of(moment()),
        option::of(text()),
        option::of(moment()),
        option::of(text()),
    )
        .prop_map(|(at, stream, last, source)| Further {
            at,
            stream,
            last,
            source,
        });
    let last = option::of(moment());
    (moment(), option::of(text()), last, vec(also, 0..3), text()).prop_map(
        |(at, stream, last, also, source)| Complaint {
            at,
            stream,
            last,
            also,
            source,
        },
    )
}

fn bounces() -> impl Strategy<Value = Bounces> {
    let status = (
        prop_oneof![Just(2_u8), Just(4), Just(5)],
        0_u16..1000,
        0_u16..1000,
    )
        .prop_map(|(class, subject, detail)| EnhancedStatus::of(class, subject, detail));
    let rest = (
        option::of(text()),
        option::of(text()),
        proptest::collection::vec(moment(), 0..5),
    );
    (any::<u32>(), moment(), moment(), option::of(status), rest).prop_map(
        |(count, first, last, status, (diagnostic, campaign, recent))| Bounces {
            count,
            first,
            last,
            status,
            diagnostic,
            campaign,
            recent,
            listed: None,
        },
    )
}

fn reset() -> impl Strategy<Value = Reset> {
    (moment(), text(), option::of(text())).prop_map(|(at, by, reason)| Reset { at, by, reason })
}

fn erased() -> impl Strategy<Value = Erased> {
    (moment(), text()).prop_map(|(at, by)| Erased { at, by })
}

fn record() -> impl Strategy<Value = Record> {
    let consents = || btree_map(scope(), consent(), 0..4);
    let resets = (
        option::of(reset()),
        option::of(reset()),
        option::of(erased()),
    );
    let counts = (option::of(bounces()), option::of(bounces()));
    let marks = (option::of(do_not_email()), option::of(complaint()));
    (
        option::of(text()),
        consents(),
        consents(),
        marks,
        counts,
        resets,
    )
        .prop_map(
            |(address, opt_outs, opt_ins, marks, counts, resets)| Record {
                address,
                opt_outs,
                opt_ins,
                do_not_email: marks.0,
                complaint: marks.1,
                hard: counts.0,
                soft: counts.1,
                hard_reset: resets.0,
                soft_reset: resets.1,
                erased: resets.2,
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(record in record(), version in 1_u64..) {
        let fields = encode(&record, version).unwrap();
        let read = decode(fields.clone()).unwrap();
        prop_assert_eq!(&read.record, &record);
        prop_assert_eq!(read.version, version);
        let object = encode_object(fields).unwrap();
        prop_assert_eq!(decode(decode_object(&object).unwrap()).unwrap(), read);
    }

    #[test]
    fn s4_no_field_is_passed_over(name in "\\PC{0,20}", value in "\\PC{0,20}") {
        let fields = [(VERSION, "1"), (name.as_str(), value.as_str())];
        if let Ok(read) = decode(fields) {
            // Only the address is free text; a version says nothing about a recipient.
            let expected = if name == "address" {
                Record { address: Some(value), ..Record::default() }
            } else {
                prop_assert_eq!(name, VERSION);
                Record::default()
            };
            prop_assert_eq!(read.record, expected);
        }
    }

    #[test]
    fn no_value_makes_it_panic(fields in vec((vec(any::<u8>(), 0..12), vec(any::<u8>(), 0..40)), 0..5)) {
        let _ = decode(fields);
    }
}

#[test]
fn the_fields_are_those_of_the_design() {
    let names: Vec<String> = encode(&full_record(), 3)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "version",
            "address",
            "optout:*",
            "optout:list:news.example.com",
            "optin:topic:offers",
            "do_not_email",
            "complaint",
            "hard",
            "soft",
            "hard_reset",
            "soft_reset",
            "erased"
        ]
    );
}

#[test]
fn the_format_never_changes() {
    // These values are in stores: a program that reads them otherwise forgets people.
    let read = decode([
        ("version", "2"),
        ("address", "a@example.com"),
        (
            "optout:*",
            r#"{"at":"2026-11-22T06:20:00.000Z","via":"one-click","actor":"recipient"}"#,
        ),
        (
            "hard",
            r#"{"count":1,"first":"2026-11-22T06:20:00.000Z","last":"2026-11-22T06:20:00.000Z","status":"5.1.1"}"#,
        ),
    ])
    .unwrap();
    assert_eq!(read.version, 2);
    assert_eq!(read.record.opt_outs[&Scope::All].via, "one-click");
    assert_eq!(
        read.record.hard.unwrap().status,
        Some(EnhancedStatus::of(5, 1, 1))
    );
}

#[test]
fn an_error_names_the_field_and_not_the_value() {
    let error = decode([("version", "1"), ("hard", r#"{"secret@example.com": 1}"#)]).unwrap_err();
    assert!(error.to_string().contains("hard"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = decode([("version", "1"), ("a\nb\u{1b}[2J", "")]).unwrap_err();
    assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
}

#[test]
fn a_scope_that_could_not_be_read_again_is_not_written() {
    let mut record = full_record();
    let consent = record.opt_outs[&Scope::All].clone();
    record
        .opt_outs
        .insert(Scope::List("Upper Case".into()), consent);
    assert!(encode(&record, 1).is_err());
}

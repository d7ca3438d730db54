use super::*;
use crate::suppression::record::{Bounces, Consent, DoNotEmail, Erased, Further};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn consent(millis: u64) -> Consent {
    Consent {
        at: at(millis),
        last: Some(at(millis + 50)),
        via: "cli".into(),
        actor: "operator".into(),
        campaign: None,
        reason: None,
        comment: None,
        evidence: None,
    }
}

fn bounces(count: u32, last: u64) -> Bounces {
    Bounces {
        count,
        first: at(1),
        last: at(last),
        status: "5.1.1".parse().ok(),
        diagnostic: Some("no such user".into()),
        campaign: None,
        recent: vec![at(last - 1), at(last)],
        listed: None,
    }
}

/// A record in which every axis says something.
fn full() -> Record {
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    Record {
        address: Some("a@example.com".into()),
        opt_outs: [(scope("*"), consent(10)), (scope("list:news"), consent(11))].into(),
        opt_ins: [(scope("topic:offers"), consent(12))].into(),
        do_not_email: Some(DoNotEmail {
            at: at(20),
            by: "operator".into(),
            why: "asked".into(),
            until: Some(at(21)),
            auto: false,
        }),
        complaint: Some(Complaint {
            at: at(30),
            stream: Some("news".into()),
            last: None,
            also: vec![Further {
                at: Some(at(31)),
                stream: None,
                last: None,
                source: None,
            }],
            source: "provider".into(),
        }),
        hard: Some(bounces(2, 40)),
        soft: Some(bounces(3, 50)),
        hard_reset: None,
        soft_reset: None,
        erased: Some(Erased {
            at: at(60),
            by: "operator".into(),
        }),
    }
}

#[test]
fn it_has_what_each_axis_says() {
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    let expected = Standing {
        erased: Some(at(60)),
        hard: Some(HardBounces {
            last: at(40),
            status: "5.1.1".parse().ok(),
        }),
        complaint: Some(Complained {
            at: at(30),
            streams: vec![Some("news".into()), None],
        }),
        do_not_email: Some(Blocked {
            at: at(20),
            until: Some(at(21)),
        }),
        opt_outs: vec![(scope("*"), at(10)), (scope("list:news"), at(11))],
        opt_ins: vec![scope("topic:offers")],
        soft: Some(SoftBounces {
            count: 3,
            last: at(50),
            recent: vec![at(49), at(50)],
        }),
    };
    assert_eq!(Standing::from(&full()), expected);
    assert_eq!(Standing::from(&Record::default()), Standing::default());
}

#[test]
fn hard_bounces_that_were_all_taken_back_are_none() {
    let record = Record {
        hard: Some(bounces(0, 40)),
        ..Record::default()
    };
    assert_eq!(Standing::from(&record).hard, None);
}

#[test]
fn every_time_is_found() {
    let mut standing = Standing::from(&full());
    let times: Vec<_> = standing.times_mut().map(|time| time.millis()).collect();
    assert_eq!(times, [60, 40, 30, 20, 21, 10, 11, 50, 49, 50]);
    // Nothing else tells one from the other, then.
    standing.times_mut().for_each(|time| *time = at(0));
    let printed = format!("{standing:?}");
    assert_eq!(printed.matches("Timestamp(0)").count(), times.len());
    assert_eq!(printed.matches("Timestamp(").count(), times.len());
}

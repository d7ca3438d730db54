use serde_json::json;

use super::*;

#[test]
fn an_unknown_recipient_gets_mail() {
    let answer: Recipient = serde_json::from_value(json!({
        "tenant": "default",
        "address": "bob@example.net",
        "key": "817b6bb68716870241dc38a4e98c1403",
        "version": 0,
        "mailability": [{"stream": "campaign", "class": "campaign", "verdict": "relay"}],
        "record": {},
    }))
    .unwrap();
    assert_eq!(
        recipient(&answer),
        "\
bob@example.net  tenant default, key 817b6bb68716870241dc38a4e98c1403, version 0

STREAM    MAIL      WHY  SINCE  ALSO
campaign  goes out  -    -

Nothing is on record.
"
    );
}

#[test]
fn each_axis_tells_where_it_comes_from() {
    let at = "2026-11-22T06:20:00Z";
    let answer: Recipient = serde_json::from_value(json!({
        "tenant": "default",
        "address": "bob@example.net",
        "key": "817b6bb68716870241dc38a4e98c1403",
        "version": 4,
        "mailability": [
            {"stream": "campaign", "class": "campaign", "verdict": "reject",
             "reason": "hard_bounce", "since": at, "status": "5.1.1",
             "active": ["hard_bounce", "opt_out"]},
            {"stream": "personal", "class": "personal", "verdict": "relay",
             "active": ["hard_bounce", "opt_out"],
             "exceptions": [{"scope": "list:news", "verdict": "reject", "reason": "opt_out"}]},
        ],
        "record": {
            "opt_outs": {"*": {"at": at, "via": "cli", "actor": "root", "reason": "by phone"}},
            "do_not_email": {"at": at, "by": "root", "why": "rival", "until": at},
            "hard": {"count": 2, "first": at, "last": at, "status": "5.1.1",
                     "diagnostic": "no \u{1b}[2Jsuch user"},
            "soft_reset": {"at": at, "by": "root"},
        },
    }))
    .unwrap();
    assert_eq!(
        recipient(&answer),
        "\
bob@example.net  tenant default, key 817b6bb68716870241dc38a4e98c1403, version 4

STREAM       MAIL      WHY                SINCE                 ALSO
campaign     blocked   hard bounce 5.1.1  2026-11-22 06:20:00Z  opt-out
personal     goes out  -                  -                     hard bounce, opt-out
  list:news  blocked   opt-out            -

ON RECORD              SINCE                 DETAILS
hard bounces: 2        2026-11-22 06:20:00Z  first 2026-11-22 06:20:00Z, 5.1.1, \"no ?[2Jsuch user\"
Do Not Email           2026-11-22 06:20:00Z  by root: rival, until 2026-11-22 06:20:00Z
opt-out of everything  2026-11-22 06:20:00Z  via cli by root, reason \"by phone\"
soft bounces reset     2026-11-22 06:20:00Z  by root
"
    );
}

#[test]
fn history_is_one_line_an_event() {
    let answer: History = serde_json::from_value(json!({
        "tenant": "default",
        "address": "bob@example.net",
        "key": "817b6bb68716870241dc38a4e98c1403",
        "history": [{
            "event": {
                "id": "00", "at": "2026-11-22T06:20:00Z", "actor": "mx.example.net",
                "via": "returns",
                "change": {"change": "bounce", "kind": "soft", "status": "4.2.2",
                           "diagnostic": "mailbox full"},
            },
            "effect": "changed",
        }],
    }))
    .unwrap();
    let text = history(&answer);
    let line = text.lines().last().unwrap();
    assert_eq!(
        line,
        "2026-11-22 06:20:00Z  soft bounce  changed  returns  mx.example.net  4.2.2, \"mailbox full\""
    );
}

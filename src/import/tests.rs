use super::*;
use crate::suppression::{EventRules, KeyMaker, Record};

fn now() -> Timestamp {
    "2026-11-22T06:20:00Z".parse().unwrap()
}

fn settings(reason: Option<Reason>) -> Settings {
    Settings {
        reason,
        scope: None,
        ignored: Vec::new(),
        now: now(),
    }
}

/// What a list holds, each item in a few words.
fn read_with(list: &[u8], settings: &Settings) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::open(list, settings)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item(settings)? {
        items.push(match item {
            Item::Row(row) => {
                let scope = row.scope.map(|scope| format!(" {scope}"));
                let at = row.at.map(|at| format!(" {at}"));
                let status = row.status.map(|status| format!(" {status}"));
                let text = row.text.map(|text| format!(" \"{text}\""));
                let campaign = row.campaign.map(|campaign| format!(" of {campaign}"));
                let parts = [scope, at, status, text, campaign].map(Option::unwrap_or_default);
                let (line, reason) = (row.line, row.reason.name());
                format!("{line} {} {reason}{}", row.address, parts.concat())
            }
            Item::Skipped { line, reason } => format!("{line} skipped {reason}"),
            Item::Error { line, error } => format!("{line} {error}"),
        });
    }
    assert_eq!(reader.position(), without_bom(list).len() as u64);
    Ok(items)
}

fn without_bom(list: &[u8]) -> &[u8] {
    list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list)
}

#[track_caller]
fn check(list: &str, reason: Option<Reason>, expected: &[&str]) {
    let read = read_with(list.as_bytes(), &settings(reason)).unwrap();
    assert_eq!(read, expected, "{list}");
}

#[test]
fn lists_of_many_makes_are_read() {
    let hard = Some(Reason::HardBounce);
    // Amazon SES: no header.
    check(
        "a@example.net,BOUNCE\nb@example.net,COMPLAINT\n",
        None,
        &["1 a@example.net hard_bounce", "2 b@example.net complaint"],
    );
    check(
        "{\"emailAddress\":\"a@example.net\",\"reason\":\"BOUNCE\",\"lastUpdateTime\":\"2024-01-01\"}\n",
        None,
        &["1 a@example.net hard_bounce 2024-01-01T00:00:00.000Z"],
    );
    // Mailgun: the file decides, and a tag is a topic.
    check(
        "address,code,error,created_at\r\na@example.net,550,\"No, thanks\",\"Mon, 01 Jan 2024 10:00:00 UTC\"\r\nb@example.net,5.1.1,,\r\n",
        hard,
        &[
            "2 a@example.net hard_bounce 2024-01-01T10:00:00.000Z \"550 No, thanks\"",
            "3 b@example.net hard_bounce 5.1.1",
        ],
    );
    check(
        "address,tag,created_at\na@example.net,*,\nb@example.net,Offers,\nc@example.net,,\n",
        Some(Reason::OptOut),
        &[
            "2 a@example.net opt_out *",
            "3 b@example.net opt_out topic:offers",
            "4 c@example.net opt_out",
        ],
    );
    // Postmark: by hand is not by whom.
    check(
        "EmailAddress,SuppressionReason,Origin,CreatedAt\n\
         a@example.net,ManualSuppression,Recipient,2024-01-01T10:00:00+01:00\n\
         b@example.net,ManualSuppression,Customer,\n\
         c@example.net,ManualSuppression,,\n\
         d@example.net,SpamComplaint,Recipient,\n",
        None,
        &[
            "2 a@example.net opt_out 2024-01-01T09:00:00.000Z",
            "3 b@example.net do_not_email",
            "4 the reason \"ManualSuppression\" needs an origin: Recipient, Customer or Admin",
            "5 d@example.net complaint",
        ],
    );
    // SparkPost: curly quotes, and a type that there is not.
    check(
        "“recipient”,“type”,“description”\n“a@example.net”,“non_transactional”,“asked”\n\
         “b@example.net”,“non_transaction”,\n",
        None,
        &[
            "2 a@example.net opt_out \"asked\"",
            "3 the reason \"non_transaction\" is not known",
        ],
    );
    // SendGrid: the reason is a text, so it is ignored or read as an error, never guessed.
    let list = "status,reason,email,created\n5.1.1,550 unknown,a@example.net,1704103200\n";
    check(list, hard, &["2 the reason \"550 unknown\" is not known"]);
    let ignoring = Settings {
        ignored: vec!["reason".to_owned()],
        ..settings(hard)
    };
    assert_eq!(
        read_with(list.as_bytes(), &ignoring).unwrap(),
        ["2 a@example.net hard_bounce 2024-01-01T10:00:00.000Z 5.1.1"]
    );
}

#[test]
fn separators_quotes_line_ends_and_a_bom_make_no_difference() {
    let expected = ["2 a@example.net complaint", "3 b@example.net hard_bounce"];
    for list in [
        "email,reason\na@example.net,complaint\nb@example.net,hard\n",
        "\u{feff}email,reason\r\na@example.net,complaint\r\nb@example.net,hard",
        "EMAIL;Reason\na@example.net;Complaint\nb@example.net;Hard\n",
        "reason\te-mail\ncomplaint\t a@example.net \nhard\tb@example.net\n",
        "\"email\",\"reason\"\n\"a@example.net\",\"complaint\"\n\"b@example.net\",\"hard\"\n",
        "\u{feff}\"email\";\"note, of ours\";\"type\"\na@example.net;x;complaint\nb@example.net;;hard\n",
    ] {
        check(list, None, &expected);
    }
    check(
        "\u{feff}{\"email\":\"a@example.net\"}\r\n\r\n{\"email\":null}\n{\n",
        Some(Reason::OptOut),
        &[
            "1 a@example.net opt_out",
            "3 there is no address",
            "4 the line is no JSON object: column 1",
        ],
    );
    check("", None, &[]);
    check("email,reason\n", None, &[]);
    check(
        "a@example.net",
        Some(Reason::Complaint),
        &["1 a@example.net complaint"],
    );
    check(
        "email\n\"a b\"@example.net\n\n\"\"\"c d\"\"@example.net\"\n",
        Some(Reason::OptOut),
        &[
            "2 the address has no canonical form: the local-part is not valid",
            "4 \"c d\"@example.net opt_out",
        ],
    );
}

#[test]
fn a_row_with_a_fault_is_told_by_its_line() {
    check(
        "email,reason,date,scope,code\n\
         a@example.net,spam,2026-11-22T06:20:01Z,,\n\
         b@example.net,spam,22/11/2026,,\n\
         c@example.net,opt-out,,everything,\n\
         d@example.net,spam\n\
         ,spam,,,\n\
         \"e@example.net,spam,,,\nf@example.net,spam,\",,x,y,z,1\n\
         g@example.net,soft_bounce,x,,\n\
         h@exa mple.net,spam,,,\n\
         i@example.net,,,,\n\
         j@example.net,opt-out,,list:News.example.com,\n",
        None,
        &[
            "2 2026-11-22T06:20:01.000Z is in the future",
            "3 \"22/11/2026\" is no time: give 2026-11-22, 2026-11-22T06:20:00Z or seconds since 1970",
            "4 \"everything\" is no scope: give '*', list:NAME, topic:NAME or stream:NAME",
            "5 d@example.net complaint",
            "6 there is no address",
            "7 it has more fields than the header: look for a quotation mark that does not end",
            "9 skipped soft_bounce",
            "10 the address has no canonical form: the domain is not valid",
            "11 it does not say why; --reason says it for all such rows",
            "12 j@example.net opt_out list:news.example.com",
        ],
    );
    check(
        "{\"email\":[\"a@example.net\"],\"reason\":\"spam\",\"more\":{}}\n\
         {\"email\":\"b@example.net\",\"reason\":\"opt_out\",\"tags\":[\"x\",\"y\"]}\n[1]\n",
        None,
        &[
            "1 a@example.net complaint",
            "2 the value of \"tags\" is neither a text nor a number",
            "3 the line is no JSON object: column 0",
        ],
    );
}

#[test]
fn what_is_no_list_is_refused() {
    let refused = |list: &[u8]| read_with(list, &settings(None)).unwrap_err();
    for list in [
        &b"Contact,Phone\nx,1\n"[..],
        b"\x89PNG\r\n\x1a\n\0\0",
        b"\n\nx\n",
    ] {
        assert!(matches!(refused(list), ReadError::NoAddressColumn));
    }
    assert!(matches!(refused(b"\xff\xfea\0"), ReadError::Utf16));
    assert!(matches!(refused(b" [{}]"), ReadError::JsonArray));
}

#[test]
fn a_row_without_end_needs_no_memory_without_end() {
    let endless = |beginning: &'static str| beginning.as_bytes().chain(std::io::repeat(b'x'));
    use std::io::Read;
    for beginning in [
        "email,reason\na@example.net,spam\n\"b@example.net,spam\n",
        "{\"email\":\"a@example.net\",\"reason\":\"spam\"}\n\n{\"email\":\"",
    ] {
        let settings = settings(None);
        let mut reader = Reader::open(endless(beginning), &settings).unwrap();
        assert!(reader.next_item(&settings).unwrap().is_some());
        let error = reader.next_item(&settings).unwrap_err();
        assert!(matches!(error, ReadError::TooLong { line: 3 }), "{error}");
    }
}

fn provenance() -> Provenance {
    Provenance {
        tenant: Tenant::default(),
        actor: "carol".to_owned(),
        source: Some("list.csv".to_owned()),
        note: Some("moved".to_owned()),
    }
}

fn row(reason: Reason, at: Option<Timestamp>) -> Row<'static> {
    Row {
        line: 1,
        address: "a@example.net".into(),
        reason,
        scope: None,
        at,
        status: None,
        text: None,
        campaign: None,
    }
}

fn event_at(row: Row<'_>, now: Timestamp) -> Event {
    let key = KeyMaker::new(b"pepper").key(&Tenant::default(), &row.canonical().unwrap());
    row.event(&key, &provenance(), now).unwrap()
}

#[test]
fn the_same_row_is_the_same_event_whenever_it_comes() {
    for at in [None, Some(Timestamp::from_millis(5000))] {
        let first = event_at(row(Reason::OptOut, at), now());
        let mut elsewhere = row(Reason::OptOut, at);
        elsewhere.line = 7;
        let later = now().plus(std::time::Duration::from_secs(9));
        let second = event_at(elsewhere, later);
        assert_eq!(first.id, second.id);
        assert_eq!(first.at, at.unwrap_or_else(now));
        assert_eq!(second.at, at.unwrap_or(later));
        let mut ids = vec![first.id];
        let mut other = row(Reason::OptOut, at);
        other.scope = Some(Scope::All);
        ids.push(event_at(other, now()).id);
        ids.push(event_at(row(Reason::Complaint, at), now()).id);
        ids.push(event_at(row(Reason::OptOut, Some(Timestamp::from_millis(1))), now()).id);
        let mut other = row(Reason::OptOut, at);
        other.address = "b@example.net".into();
        ids.push(event_at(other, now()).id);
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
    let key = RecipientKey::from_bytes([1; 16]);
    let late = row(Reason::OptOut, Some(now()));
    let error = late.event(&key, &provenance(), Timestamp::from_millis(1));
    assert_eq!(error, Err(RowError::Future(now())));
}

#[test]
fn a4_applied_again_however_late_it_changes_nothing() {
    let rules = EventRules::default();
    for reason in [
        Reason::OptOut,
        Reason::DoNotEmail,
        Reason::HardBounce,
        Reason::Complaint,
    ] {
        for at in [None, Some(Timestamp::from_millis(5000))] {
            let first = event_at(row(reason, at), now());
            let applied = first.apply(&Record::default(), &rules);
            assert_eq!(applied.effect, crate::suppression::event::Effect::Changed);
            let years = now().plus(std::time::Duration::from_secs(100_000_000));
            let again = event_at(row(reason, at), years);
            let second = again.apply(&applied.record, &rules);
            assert_eq!(second.record, applied.record, "{reason:?} {at:?}");
            assert_eq!(second.effect, crate::suppression::event::Effect::AlreadySo);
        }
    }
}

#[test]
fn rows_survive_the_way_to_the_gateway() {
    let full = Row {
        line: 0,
        address: "\"a\\\"b\"@example.net".into(),
        reason: Reason::HardBounce,
        scope: Some(Scope::All),
        at: Some(now()),
        status: Some(EnhancedStatus::of(5, 1, 1)),
        text: Some("no\u{2028}such \"user\"".into()),
        campaign: Some("spring".into()),
    };
    for row in [full, row(Reason::OptOut, None)] {
        let text = serde_json::to_string(&row).unwrap();
        let read: Row<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(
            Row {
                line: row.line,
                ..read
            },
            row
        );
    }
}

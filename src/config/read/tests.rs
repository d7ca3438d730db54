use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::config::Config;

fn problems(text: &str) -> Vec<String> {
    let mut tree = tree::parse(&Arc::new(PathBuf::from("f")), text).unwrap();
    let (config, problems) = read::<Config>(&mut tree);
    assert_eq!(config.is_none(), !problems.is_empty());
    problems.iter().map(Problem::to_string).collect()
}

/// One line of configuration gives exactly this error.
#[track_caller]
fn check(text: &str, error: &str) {
    assert_eq!(problems(text), [error]);
}

#[test]
fn an_error_names_place_key_and_remedy() {
    check(
        "[[smtp]]\nlisen = 1",
        "f:2:1: smtp[0].lisen: unknown key, did you mean `listen`?",
    );
    check(
        "stor = 1",
        "f:1:1: stor: unknown key, did you mean `store`?",
    );
    check(
        "[tls]\nzzz = 1",
        "f:2:1: tls.zzz: unknown key; there are: certificate, key",
    );
    check(
        "[[smtp]]\n[[smtp]]\nlisten = '2525'",
        "f:3:10: smtp[1].listen: \"2525\" does not say on which address; write \"0.0.0.0:2525\", \"[::]:2525\" or \"127.0.0.1:2525\"",
    );
    check(
        "[[smtp]]\nclients = ['::1',\n '10.0.0.0/40']",
        "f:3:2: smtp[0].clients[1]: \"10.0.0.0/40\" is not a network; write for example \"10.0.0.0/8\" or \"::1\"",
    );
    check(
        "[store]\ntimeout = 200",
        "f:2:11: store.timeout: a duration needs a unit: write \"200s\" for seconds or \"200ms\" for milliseconds",
    );
    check(
        "[limits]\nmessage_size_limit = '25 Mo'",
        "f:2:22: limits.message_size_limit: \"25 Mo\" is not a size; write octets, or a whole number with kB, MB, GB, KiB, MiB or GiB",
    );
    check(
        "[log]\naddresses = 'hash'",
        "f:2:13: log.addresses: unknown value `hash`, did you mean `hashed`? (one of: plain, hashed)",
    );
    check(
        "[users.anna]\nstream = 'x'",
        "f:1:1: users.anna.password_hash: is missing; `sendgate hash-password` prints one",
    );
}

#[test]
fn a_wrong_type_says_what_is_expected() {
    check(
        "hostname = 5",
        "f:1:12: hostname: expected a text in quotes, found integer `5`",
    );
    check(
        "store = 5",
        "f:1:9: store: expected a table, found integer `5`",
    );
    check(
        "smtp = 'x'",
        "f:1:8: smtp: expected a list, found string \"x\"",
    );
    check(
        "[store]\ncreate = 'yes'",
        "f:2:10: store.create: expected true or false, found string \"yes\"",
    );
    check(
        "[limits]\nerror_limit = -1",
        "f:2:15: limits.error_limit: expected a whole number, found integer `-1`",
    );
    check(
        "[limits]\nerror_limit = 99999999999999999999",
        "f:2:15: limits.error_limit: expected a whole number, found floating point `inf`",
    );
    check(
        "[log]\nfile = 2020-01-01",
        "f:2:8: log.file: expected a text in quotes, found a date",
    );
    check(
        "[[smtp]]\nmode = 1",
        "f:2:8: smtp[0].mode: expected a text in quotes, found integer `1`",
    );
    check(
        "[[smtp]]\ntenant = 'a b'",
        "f:2:10: smtp[0].tenant: a tenant name has 1 to 64 letters, digits, '-', '_' or '.'",
    );
}

#[test]
fn every_error_is_found() {
    let text = "x = 1\n[[smtp]]\nlisten = 1\nclients = ['a', '::1', 'b']\n[learning]\nauto_do_not_email = ['optout']\nsoft_limit = ''\n[users]\na = {}\nb = {}\n";
    let mut places: Vec<_> = problems(text)
        .iter()
        .map(|problem| problem.split(": ").nth(1).unwrap().to_owned())
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "learning.auto_do_not_email[0]",
            "learning.soft_limit",
            "smtp[0].clients[0]",
            "smtp[0].clients[2]",
            "smtp[0].listen",
            "users.a.password_hash",
            "users.b.password_hash",
            "x",
        ]
    );
}

#[test]
fn nobody_is_told_more_than_a_hundred() {
    let text: String = (0..300).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(problems(&text).len(), PROBLEM_LIMIT);
}

#[test]
fn an_empty_text_turns_off() {
    let text = "[http]\nadmin = ''\n[log]\nfile = ''\n";
    let mut tree = tree::parse(&Arc::new(PathBuf::from("f")), text).unwrap();
    let config = read::<Config>(&mut tree).0.unwrap();
    assert!(config.http.admin.is_none() && config.log.file.is_none());
}

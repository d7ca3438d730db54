use crate::config::{Config, derived};

/// The findings about this file, without the values that are fine.
fn findings(text: &str) -> Vec<String> {
    let config: Config = toml::from_str(text).unwrap();
    let findings = super::check(&config).into_iter();
    findings
        .map(|(path, message)| format!("{path}: {message}"))
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let findings = findings(text);
    assert!(
        findings.len() == 1 && findings[0].starts_with(expected),
        "{findings:#?}"
    );
}

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FtcGxlc2FsdHNhbXBsZQ$5pTxWdVW8u4pkBMWLIqRYbVKwhSY3MhkTsVTkvVY8cE";

#[test]
fn the_defaults_are_fine() {
    assert_eq!(findings(""), [""; 0]);
    assert_eq!(findings("smtp = []\nreturns = []"), [""; 0]);
    assert_eq!(
        findings(&format!("users.a = {{password_hash = '{HASH}'}}")),
        [""; 0]
    );
}

#[test]
fn names_and_domains() {
    check("hostname = 'a b'", "hostname: `a b` is not a domain");
    check("data_dir = ''", "data_dir: is empty");
    check(
        "[return_path]\ndomain = 'x@y'",
        "return_path.domain: `x@y` is not a domain",
    );
    check(
        "[[smtp]]\nrelay_domains = ['a.example', '*']",
        "smtp[0].relay_domains[1]: `*`",
    );
    check(
        "[[returns]]\ndomains = ['']",
        "returns[0].domains[0]: `` is not a domain",
    );
    check(
        &format!("http.socket = '{}'", "x".repeat(108)),
        "http.socket: a socket needs",
    );
    assert_eq!(
        findings("[return_path]\ndomain = 'bücher.example'"),
        [""; 0]
    );
}

#[test]
fn nothing_is_signed_without_a_domain() {
    let needed = "needs return_path.domain";
    check("smtp = [{sign = true}]", &format!("smtp[0].sign: {needed}"));
    check(
        "smtp = [{list_unsubscribe = true}]",
        &format!("smtp[0].list_unsubscribe: {needed}"),
    );
    check(
        &format!("users.a = {{password_hash = '{HASH}', sign = true}}"),
        &format!("users.a.sign: {needed}"),
    );
    check(
        &format!("users.a = {{password_hash = '{HASH}', forward_to = 'a@example.com'}}"),
        &format!("users.a.forward_to: {needed}"),
    );
    let fine = "smtp = [{sign = false}]\n[return_path]\nsign = true\nvalidity = 0";
    assert_eq!(findings(fine), [""; 0]);
}

#[test]
fn b4_a_report_is_remembered_as_long_as_it_is_believed() {
    let with = |keys: &str| format!("[return_path]\ndomain = 'r.example.com'\n{keys}");
    check(&with("validity = 0"), "return_path.validity: must be");
    check(
        &with("validity = '36days'"),
        "learning.remember: is shorter",
    );
    assert_eq!(findings(&with("validity = '35days'")), [""; 0]);
    let long = vec!["a".repeat(60); 4].join(".");
    check(
        &format!("[return_path]\ndomain = '{long}'"),
        "return_path.domain: is too long",
    );
}

#[test]
fn nothing_is_sent_on_to_a_user_for_whom_nothing_is_signed() {
    let with = |user: &str, more: &str| {
        format!(
            "users.a = {{password_hash = '{HASH}', forward_to = 'a@example.com'{user}}}\n\
             return_path.domain = 'r.example.com'\n{more}"
        )
    };
    for (user, more) in [
        (", sign = false", ""),
        ("", "return_path.sign = false"),
        ("", "smtp = [{sign = false}]"),
    ] {
        check(&with(user, more), "users.a.forward_to: gets nothing");
    }
    for (user, more) in [
        ("", ""),
        (", sign = true", "return_path.sign = false"),
        ("", "return_path.sign = false\nsmtp = [{sign = true}]"),
    ] {
        assert_eq!(findings(&with(user, more)), [""; 0]);
    }
}

#[test]
fn references_to_streams() {
    check(
        "[[smtp]]\nstream = 'campain'",
        "smtp[0].stream: there is no stream `campain`, did you mean `campaign`?",
    );
    check(
        "[[smtp]]\nstreams = ['personal', 'reciepts']\n[streams.receipts]",
        "smtp[0].streams[1]: there is no stream `reciepts`, did you mean `receipts`?",
    );
    check(
        &format!("users.a = {{password_hash = '{HASH}', stream = 'x'}}"),
        "users.a.stream: there is no stream `x`; add [streams.NAME]",
    );
    check(
        &format!("users.a = {{password_hash = '{HASH}', streams = ['x']}}"),
        "users.a.streams[0]: there is no stream `x`",
    );
}

#[test]
fn streams() {
    check(
        "[streams.news]\non_unavailable = 'pass'",
        "streams.news.on_unavailable: only a stream of class `transactional`",
    );
    check(
        "[streams.personal]\nclass = 'campaign'",
        "streams.personal.class: the stream `personal`",
    );
    check("[streams.'a b']", "streams.\"a b\": the name of a stream");
    check(
        "[streams.a]\n[streams.A]",
        "streams.a: there is a stream of this name already",
    );
}

#[test]
fn users() {
    for hash in [
        "",
        "secret",
        "$argon2id$v=19$m=1",
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q",
    ] {
        check(
            &format!("users.a = {{password_hash = '{hash}'}}"),
            "users.a.password_hash: not an argon2 hash; paste what `sendgate hash-password` prints",
        );
    }
    check(
        &format!("users.'' = {{password_hash = '{HASH}'}}"),
        "users.\"\": a user name",
    );
}

#[test]
fn listeners() {
    check(
        "[[smtp]]\n[[smtp]]",
        "smtp[1].listen: 127.0.0.1:2525 is taken by smtp[0].listen",
    );
    check(
        "[[smtp]]\nlisten = '0.0.0.0:2526'",
        "returns[0].listen: 127.0.0.1:2526 is taken by smtp[0].listen",
    );
    check(
        "http.admin = '127.0.0.1:2526'",
        "http.admin: 127.0.0.1:2526 is taken by returns[0].listen",
    );
    assert_eq!(
        findings("[[smtp]]\nlisten='[::]:26'\n[[smtp]]\nlisten='0.0.0.0:26'"),
        [""; 0]
    );
    check(
        "[[smtp]]\nlisten='[::1]:0'\n[[smtp]]\nlisten='[::1]:0'",
        "smtp[1].listen: [::1]:0 stands here twice",
    );
    assert_eq!(
        findings("[[smtp]]\nlisten='[::1]:0'\n[[returns]]\nlisten='[::1]:0'"),
        [""; 0]
    );
    check(
        "[[smtp]]\ntls = 'required'",
        "smtp[0].tls: needs a certificate",
    );
    check(
        "[[returns]]\ntls = 'implicit'",
        "returns[0].tls: needs a certificate",
    );
    check("tls.certificate = 'x'", "tls.certificate: has no key");
    check("tls.key = 'x'", "tls.key: has no certificate");
}

#[test]
fn r10_an_upstream_that_is_our_own_listener() {
    for (url, listen) in [
        ("smtp://127.0.0.1:2525", "127.0.0.1:2525"),
        ("smtp://localhost:2525", "127.0.0.1:2525"),
        ("smtp+starttls://[::1]:2525", "[::]:2525"),
        ("smtp://127.0.0.2:2525", "0.0.0.0:2525"),
        ("smtp://gate.example:2525", "192.0.2.1:2525"),
    ] {
        check(
            &format!("hostname='gate.example'\nupstream.url='{url}'\n[[smtp]]\nlisten='{listen}'"),
            &format!("upstream.url: {url} is our own listener (smtp[0].listen)"),
        );
    }
    check(
        "upstream.url='smtp://127.0.0.1:2526'",
        "upstream.url: smtp://127.0.0.1:2526 is our own",
    );
    assert_eq!(findings("upstream.url='smtp://192.0.2.1:2525'"), [""; 0]);
}

#[test]
fn upstream_and_store() {
    check(
        "upstream.url='smpt://h'",
        "upstream.url: unknown scheme `smpt`, did you mean `smtp`?",
    );
    check("upstream.user='u'", "upstream.user: has no password");
    check(
        "upstream.password_file='p'",
        "upstream.password_file: has no user",
    );
    check(
        "store.url='redis-cluster://h'",
        "store.url: redis-cluster:// is not in this release",
    );
    check(
        "store.ca_file='x'\nstore.url='redis://h'",
        "store.ca_file: is believed for rediss://",
    );
    check("store.timeout='0s'", "store.timeout: must be between");
    check("store.timeout='2m'", "store.timeout: must be between");
}

#[test]
fn levels() {
    for level in [
        "debug",
        "INFO",
        "info,sendgate::gateway=debug",
        "off",
        "sendgate=trace",
    ] {
        assert_eq!(
            findings(&format!("trace.level='{level}'")),
            [""; 0],
            "{level}"
        );
    }
    check(
        "trace.level='inof'",
        "trace.level: unknown level `inof`, did you mean `info`?",
    );
    check("trace.level='sendgate=loud'", "trace.level: cannot be read");
}

#[test]
fn bounds() {
    check(
        "limits.recipient_limit=99",
        "limits.recipient_limit: 99 is too small; the least is 100",
    );
    check(
        "limits.text_line_limit=998",
        "limits.text_line_limit: 998 is too small",
    );
    check(
        "limits.message_size_limit=60000",
        "limits.message_size_limit: 60000 is too small; the least is 65536",
    );
    check(
        "limits.error_limit=0",
        "limits.error_limit: 0 is too small; the least is 1",
    );
    check(
        "timeouts.data_rate=0",
        "timeouts.data_rate: must be 1 or more",
    );
    check(
        "timeouts.command='0'",
        "timeouts.command: must be more than 0",
    );
    check(
        "timeouts.learning='5m'\ntimeouts.forwarding='5m'",
        "timeouts.forwarding: must be, together with timeouts.learning, less than 10m",
    );
    check(
        "timeouts.drain='2days'",
        "timeouts.drain: must be 24h or less",
    );
    check(
        "learning.soft_limit=0",
        "learning.soft_limit: must be 1 or more",
    );
    check(
        "learning.remember='0s'",
        "learning.remember: must be more than 0",
    );
    assert_eq!(findings("timeouts.drain='0s'"), [""; 0]);
    assert!(derived::is_domain(&Config::default().hostname()));
}

#[test]
fn r10_what_comes_back_is_not_sent_on_to_where_it_comes_from() {
    let user = format!("password_hash = '{HASH}'");
    let with = |mailbox: &str| {
        format!(
            "returns = [{{domains = ['Returns.example.com']}}]\n\
             [return_path]\ndomain = 'bounces.example.com'\n\
             [users.a]\n{user}\nforward_to = '{mailbox}'"
        )
    };
    for domain in ["returns.example.com", "BOUNCES.example.com."] {
        check(&with(&format!("anna@{domain}")), "users.a.forward_to: ");
    }
    check(
        &with("anna"),
        "users.a.forward_to: `anna` is not an address",
    );
    assert_eq!(findings(&with("anna@sender.example")), [""; 0]);
    check(
        "returns = [{feedback = ['fbl@example.com', 'nobody']}]",
        "returns[0].feedback[1]: `nobody` is not an address",
    );
}

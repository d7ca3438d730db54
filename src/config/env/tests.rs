use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::config::{Config, read};
use crate::suppression::StreamClass;

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut tree = tree::parse(&Arc::new(PathBuf::from("f")), file).unwrap();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let mut problems = apply(&mut tree, &variables);
    let (config, unread) = read::read(&mut tree);
    problems.extend(unread);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.iter().map(Problem::to_string).collect()),
    }
}

#[test]
fn a_variable_of_every_type() {
    let config = load(
        "[store]\nurl = 'redis://file'\n",
        &[
            ("SENDGATE_HOSTNAME", "gate.example.com"),
            ("SENDGATE_STORE_URL", "redis://h/1"),
            ("SENDGATE_STORE_TIMEOUT", "1s"),
            ("SENDGATE_STORE_CREATE", "false"),
            ("SENDGATE_STORE_PASSWORD", "12345"),
            ("SENDGATE_STORE_PASSWORD_FILE", "/run/p"),
            ("SENDGATE_LIMITS_RECIPIENT_LIMIT", "200"),
            ("SENDGATE_LIMITS_ERROR_LIMIT", "7"),
            ("SENDGATE_LIMITS_MESSAGE_SIZE_LIMIT", "10MB"),
            ("SENDGATE_LIMITS_REPORT_SIZE_LIMIT", "100000"),
            ("SENDGATE_TRACE_FORMAT", "json"),
            ("SENDGATE_HTTP_ADMIN", ""),
            (
                "SENDGATE_LEARNING_AUTO_DO_NOT_EMAIL",
                "opt_out, hard_bounce",
            ),
            ("SENDGATE_SMTP_CLIENTS", "[\"10.0.0.0/8\"]"),
        ],
    )
    .unwrap();
    assert_eq!(config.hostname, "gate.example.com");
    assert_eq!(config.store.url, "redis://h/1");
    assert_eq!(config.store.timeout.as_secs(), 1);
    assert!(!config.store.create && config.store.password.is_some());
    assert_eq!(config.store.password_file, Some("/run/p".into()));
    assert_eq!(config.limits.recipient_limit, 200);
    assert_eq!(config.limits.error_limit, 7);
    assert_eq!(config.limits.message_size_limit, 10_000_000);
    assert_eq!(config.limits.report_size_limit, 100_000);
    assert_eq!(config.trace.format, crate::config::TraceFormat::Json);
    assert_eq!(config.http.admin, None);
    assert_eq!(config.learning.auto_do_not_email.len(), 2);
    assert_eq!(config.smtp[0].clients[0].to_string(), "10.0.0.0/8");
    assert_eq!(config.smtp[0].listen.port(), 2525);
}

#[test]
fn lists_of_tables_by_number() {
    let file = "[[smtp]]\nlisten = '127.0.0.1:1'\n[[smtp]]\nlisten = '127.0.0.1:2'\n";
    let ports = |config: Config| -> Vec<_> {
        config
            .smtp
            .iter()
            .map(|listener| listener.listen.port())
            .collect()
    };
    let listen = |name, port: &'static str| (name, port);
    let config = load(
        file,
        &[
            listen("SENDGATE_SMTP_2_LISTEN", "127.0.0.1:33"),
            listen("SENDGATE_SMTP_1_LISTEN", "127.0.0.1:22"),
            listen("SENDGATE_SMTP_LISTEN", "127.0.0.1:11"),
        ],
    );
    assert_eq!(ports(config.unwrap()), [11, 22, 33]);
    let config = load("", &[("SENDGATE_SMTP_1_LISTEN", "127.0.0.1:9")]);
    assert_eq!(ports(config.unwrap()), [2525, 9]);
    let config = load(file, &[("SENDGATE_SMTP", "[]")]);
    assert_eq!(ports(config.unwrap()), [0; 0]);
    let config = load("", &[("SENDGATE_SMTP", "[{listen = '127.0.0.1:7'}, {}]")]);
    assert_eq!(ports(config.unwrap()), [7, 2525]);
    assert_eq!(
        load("", &[("SENDGATE_SMTP_5_LISTEN", "127.0.0.1:9")]).unwrap_err(),
        ["SENDGATE_SMTP_5_LISTEN: smtp[5].listen: there are 1 entries so far; use the number 1"]
    );
}

#[test]
fn tables_by_name() {
    let file = "[streams.password-reset]\n[users.\"anna@example.com\"]\npassword_hash = 'x'\n";
    let config = load(
        file,
        &[
            ("SENDGATE_STREAMS_RECEIPTS_CLASS", "transactional"),
            ("SENDGATE_STREAMS_PASSWORD_RESET_ON_UNAVAILABLE", "pass"),
            ("SENDGATE_USERS_ANNA_EXAMPLE_COM_STREAM", "personal"),
            ("SENDGATE_USERS_BOB_PASSWORD_HASH", "y"),
        ],
    )
    .unwrap();
    assert_eq!(config.streams["receipts"].class, StreamClass::Transactional);
    assert_eq!(
        config.streams["password-reset"].on_unavailable,
        crate::config::OnUnavailable::Pass
    );
    assert_eq!(
        config.users["anna@example.com"].stream.as_deref(),
        Some("personal")
    );
    assert_eq!(config.users["bob"].password_hash, "y");
}

#[test]
fn an_error_names_the_variable() {
    for (name, text, error) in [
        (
            "SENDGATE_STORE_TIMEOUT",
            "5",
            "store.timeout: a duration needs a unit: write \"5s\" for seconds or \"5ms\" for milliseconds",
        ),
        (
            "SENDGATE_STORE_CREATE",
            "maybe",
            "store.create: expected true or false, found string \"maybe\"",
        ),
        (
            "SENDGATE_SMTP_0_CLIENTS",
            "::1,x",
            "smtp[0].clients[1]: \"x\" is not a network; write for example \"10.0.0.0/8\" or \"::1\"",
        ),
        (
            "SENDGATE_LOG_ADDRESSES",
            "",
            "log.addresses: unknown value `` (one of: plain, hashed)",
        ),
        (
            "SENDGATE_STORE_URI",
            "",
            "no key is set by this variable, did you mean `SENDGATE_STORE_URL`?",
        ),
        (
            "SENDGATE_SMTP_LISTN",
            "",
            "no key is set by this variable, did you mean `SENDGATE_SMTP_LISTEN`?",
        ),
    ] {
        assert_eq!(
            load("", &[(name, text)]).unwrap_err(),
            [format!("{name}: {error}")]
        );
    }
    for name in ["SENDGATE_SMTP", "SENDGATE_STORE"] {
        assert!(load("", &[(name, "[[[")]).unwrap_err()[0].contains("not valid TOML"));
    }
}

#[test]
fn errors_in_lists_of_variables_do_not_hide_others() {
    let problems = load(
        "",
        &[
            ("SENDGATE_SMTP_CLIENTS", "x"),
            ("SENDGATE_STORE_TIMEOUT", "y"),
        ],
    )
    .unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let variables = [
        "SENDGATE_CONFIG",
        "SENDGATE_TEST_REDIS",
        "SENDGATE_PORT",
        "SENDGATE_SERVICE_HOST",
        "SENDGATE_SERVICE_PORT",
        "SENDGATE_SERVICE_PORT_SMTP",
        "SENDGATE_PORT_2525_TCP",
        "SENDGATE_PORT_2525_TCP_PROTO",
        "SENDGATE_PORT_2525_TCP_PORT",
        "SENDGATE_PORT_2525_TCP_ADDR",
        "SENDGATE_SMTP_SERVICE_HOST",
        "SENDGATE_SMTP_PORT_25_TCP_ADDR",
        "PATH",
    ];
    let variables: Vec<_> = variables.iter().map(|name| (*name, "x")).collect();
    assert!(load("", &variables).is_ok());
}

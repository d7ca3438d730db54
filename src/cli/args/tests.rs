use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::{Cli, Command};

fn typed(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn recipient(line: &str) -> String {
    match typed(line).command {
        Command::Recipient(args) => match args.request() {
            RecipientRequest::One(request) => format!("{request:?}"),
            RecipientRequest::Import(request) => format!("{request:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tree_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_configuration_can_be_named_before_and_after() {
    for line in [
        "sendgate --config a.toml serve",
        "sendgate serve --config a.toml",
        "sendgate recipient show a@example.com --config a.toml",
    ] {
        assert_eq!(typed(line).config, Some("a.toml".into()), "{line}");
    }
    assert_eq!(typed("sendgate check-config").config, None);
}

#[test]
fn what_is_typed_becomes_a_request() {
    let opt_out = recipient(
        "sendgate recipient opt-out a@example.com --tenant acme --reason r --comment c --evidence e",
    );
    assert_eq!(
        opt_out,
        "Request { address: \"a@example.com\", tenant: Some(\"acme\"), json: false, \
         command: OptOut { scope: Some(All), reason: Some(\"r\"), comment: Some(\"c\"), \
         evidence: Some(\"e\") } }"
    );
    let opt_in = recipient("sendgate recipient opt-in a@b.example --scope list:news --json");
    assert!(
        opt_in.contains("OptIn { scope: Some(List(\"news\"))") && opt_in.contains("json: true")
    );
    let block = recipient("sendgate recipient block a@b.example --why spam --until 2026-12-24");
    assert!(
        block.contains("Block { reason: Some(\"spam\"), until: Some("),
        "{block}"
    );
    let reset = recipient("sendgate recipient reset-bounces a@b.example --soft");
    assert!(
        reset.contains("ResetBounces { hard: false, soft: true"),
        "{reset}"
    );
    for line in ["show", "history", "unblock"] {
        recipient(&format!("sendgate recipient {line} a@b.example"));
    }
}

#[test]
fn the_log_takes_words_as_people_write_them() {
    let Command::Log(args) =
        typed("sendgate log -f --reason Hard-Bounce --verdict reject --since 2026-11-22").command
    else {
        panic!("not the log");
    };
    assert_eq!(args.reason, Some(Reason::HardBounce));
    assert_eq!(args.verdict, Some(Verdict::Reject));
    assert_eq!(args.since, "2026-11-22T00:00:00Z".parse().ok());
    assert!(args.request().follow);
    assert!(since("90m").unwrap() < Timestamp::now());
    assert!(since("yesterday").unwrap_err().contains("90m"));
    assert_eq!(word::<Reason>("opt_out"), Ok(Reason::OptOut));
    assert!(word::<Reason>("optout").unwrap_err().contains("opt_out"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "sendgate",
        "sendgate bounce explain",
        "sendgate recipient show",
        "sendgate recipient opt-out a@b.example --scope everything",
        "sendgate recipient block a@b.example --until soon",
        "sendgate recipient show a@b.example --tenant a/b",
        "sendgate log --verdict accept",
        "sendgate hash-password hunter2",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

//! Where to look next.

use std::path::Path;

use crate::demo::{Pass, Role, Stage, recipients};
use crate::suppression::Verdict;

/// What can be tried while gateway and smarthost are up.
pub(super) fn while_it_runs(stage: &Stage) -> String {
    let program = program();
    let config = stage.config_file();
    let at = stage.addresses();
    let address = somebody_who_bounced();
    let command = |command: &str| {
        format!(
            "   {program} {command} \\\n      --config {}\n",
            quoted(&config)
        )
    };
    format!(
        "\nWhere to look next, from another terminal\n\
         What is known of a recipient, and how it came about:\n{}{}\
         Take the bounce back, and the next message is relayed:\n{}\
         Every verdict with its reason, as it falls:\n{}\
         The same as JSON lines:  {}\n\
         Metrics:                 http://{}/metrics\n\
         Your own mail:           send it to {}\n\
         A first configuration:   {}\n\
         \nThe gateway stays up. Ctrl-C stops it and removes {}.\n",
        command(&format!("recipient show {address}")),
        command(&format!("recipient history {address}")),
        command(&format!("recipient reset-bounces {address}")),
        command("log --follow"),
        stage.directory().join("suppression.log").display(),
        at.admin,
        at.campaign,
        config.display(),
        stage.directory().display(),
    )
}

/// What can be tried when all is over.
pub(super) fn after_the_end() -> String {
    let program = program();
    format!(
        "\nWhere to look next\n\
         The same, and gateway and smarthost stay up to be looked at:\n   {program} demo\n\
         A gateway on 127.0.0.1:2525, with a store in ./data:\n   {program} serve\n\
         Every setting, its default and the reason for it:\n   config/sendgate.toml\n\
         How to put it between a tool and a smarthost:\n   README.md\n"
    )
}

/// As it was called, so that the commands can be copied.
fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(|| "sendgate".to_owned(), |name| quoted(Path::new(&name)))
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One who was relayed to first and is refused now.
fn somebody_who_bounced() -> String {
    recipients()
        .into_iter()
        .find(|one| {
            matches!(one.role, Role::Gone(_))
                && one.role.expected(Pass::First).delivered
                && one.role.expected(Pass::Second).verdict == Verdict::Reject
        })
        .map(|one| one.address.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_the_shell() {
        let quoted = |text: &str| quoted(Path::new(text));
        assert_eq!(quoted("/tmp/a-b_1.toml"), "/tmp/a-b_1.toml");
        assert_eq!(quoted("/tmp/it's one"), r"'/tmp/it'\''s one'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn somebody_bounced() {
        assert!(somebody_who_bounced().contains('@'));
    }
}

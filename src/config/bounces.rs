//! How returned mail is read: the operator's own rules of bounce classification.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Loaded, Origin, Problem};
use crate::bounce::Rules;

/// Largest file of rules that is read, in octets; the built-in one has a tenth of that.
const FILE_LIMIT: u64 = 1024 * 1024;

/// How returned mail is read.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounces {
    /// File of rules that extend and override the built-in ones.
    pub rules_file: Option<PathBuf>,
}

impl Loaded {
    /// The rules of bounce classification: the built-in ones, and those of `bounces.rules_file`.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong in it: line, key, and the
    /// example that its rule does not decide on.
    pub fn bounce_rules(&self) -> Result<Arc<Rules>, ConfigError> {
        // On a thread of its own, because the allocator keeps what a thread has used for that thread:
        // compiling takes some megabytes for a moment, which sessions use again when it has ended.
        std::thread::scope(|scope| scope.spawn(|| self.compile_rules()).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn compile_rules(&self) -> Result<Arc<Rules>, ConfigError> {
        let Some(file) = &self.config.bounces.rules_file else {
            return Ok(Rules::built_in());
        };
        let text = read(file).map_err(|error| {
            let message = format!("cannot read {}: {error}", file.display());
            ConfigError {
                problems: vec![self.problem("bounces", "rules_file", message)],
            }
        })?;
        let rules = Rules::with(&text).map_err(|error| {
            let name = Arc::new(file.clone());
            let problems = error.problems.into_iter().map(|problem| Problem {
                origin: Origin::Place {
                    file: Arc::clone(&name),
                    line: problem.line,
                    column: problem.column,
                },
                key: problem.key,
                message: problem.message,
            });
            ConfigError {
                problems: problems.collect(),
            }
        })?;
        Ok(Arc::new(rules))
    }
}

fn read(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.len() > FILE_LIMIT {
        return Err(io::Error::other(
            "larger than 1 MiB; is it a file of rules?",
        ));
    }
    std::fs::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// What is said about a file with these rules, without the folder.
    fn said(rules: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let file = folder.path().join("sendgate.toml");
        std::fs::write(
            &file,
            format!("[bounces]\nrules_file = \"{at}/rules.toml\"\n"),
        )
        .unwrap();
        if let Some(rules) = rules {
            std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
        }
        let loaded = Config::load(Some(&file), std::iter::empty()).unwrap();
        match loaded.bounce_rules() {
            Ok(rules) => format!("{:?}", rules.source("gone")),
            Err(error) => error.to_string().replace(&format!("{at}/"), ""),
        }
    }

    const RULE: &str = "[[rule]]\nid = \"gone\"\ncause = \"user_unknown\"\nsource = \"our own\"\n\
        any = [\"flown away\"]\nexamples = [\"550 the bird has flown away\"]\n";

    #[test]
    fn the_operators_rules_are_read() {
        assert_eq!(said(Some(RULE)), "Some(\"our own\")");
    }

    #[test]
    fn c5_what_is_wrong_is_told_with_file_line_and_key() {
        assert!(
            said(None)
                .starts_with("sendgate.toml:2:14: bounces.rules_file: cannot read rules.toml: "),
            "{}",
            said(None)
        );
        assert_eq!(
            said(Some(&RULE.replace("flown away\"]\ne", "flew\"]\ne"))),
            "rules.toml:6:13: rule[0].examples[0]: `gone` does not decide on its example \
             `550 the bird has flown away`: no rule finds anything in it"
        );
        let syntax = said(Some(&RULE.replace("\"user_unknown\"", "\"lost\"")));
        assert!(
            syntax.starts_with("rules.toml:3:9: unknown variant `lost`"),
            "{syntax}"
        );
    }
}

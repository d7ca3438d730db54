//! A [`ConfigError`] names everything that is wrong: where, which key, and what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of the file, then of the environment.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong. Prints as `sendgate.toml:12:1: smtp[0].lisen: unknown key, did you mean …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The path of the key, `smtp[0].listen`; empty where no key can be named.
    pub key: String,
    /// What is wrong, then what to do.
    pub message: String,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file as a whole.
    File(Arc<PathBuf>),
    /// At a place in a file.
    Place {
        /// The file.
        file: Arc<PathBuf>,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
    /// In an environment variable.
    Variable(Arc<str>),
    /// Nowhere: it is the built-in default.
    Default,
}

impl ConfigError {
    /// An error of one problem.
    #[must_use]
    pub fn one(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            problems: vec![Problem {
                origin,
                key: key.into(),
                message: message.into(),
            }],
        }
    }

    /// An error of these problems, of which there must be one, sorted by place.
    pub(super) fn of(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { problems }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    /// One line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => {}
            origin => write!(f, "{origin}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        // One problem is one line, whatever a key or a value holds (A5).
        for c in self.message.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Place { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

/// `, did you mean …?` with the choice that is near enough to be a slip of the pen; else nothing.
pub(super) fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> String {
    let word = word.to_lowercase();
    choices
        .into_iter()
        .map(|choice| (similarity(&word, &choice.to_lowercase()), choice))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, choice)| format!(", did you mean `{choice}`?"))
        .unwrap_or_default()
}

fn similarity(word: &str, choice: &str) -> f64 {
    // Long input is no slip of the pen, and comparing costs the product of the lengths.
    if word.len() > 100 {
        return 0.0;
    }
    // Jaro-Winkler sees swapped letters and common beginnings, `opt-out` for `opt_out`.
    strsim::jaro_winkler(word, choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_key_and_message() {
        let file = Arc::new(PathBuf::from("sendgate.toml"));
        let mut problem = Problem {
            origin: Origin::Place {
                file: file.clone(),
                line: 12,
                column: 1,
            },
            key: "smtp[0].lisen".into(),
            message: format!("unknown key{}", nearest("lisen", ["tenant", "listen"])),
        };
        assert_eq!(
            problem.to_string(),
            "sendgate.toml:12:1: smtp[0].lisen: unknown key, did you mean `listen`?"
        );
        problem.origin = Origin::Variable("SENDGATE_X".into());
        problem.key.clear();
        problem.message = "a\nb\u{7}".into();
        assert_eq!(problem.to_string(), "SENDGATE_X: a\\nb\\u{7}");
    }

    #[test]
    fn suggests_only_what_is_near() {
        let words = ["campaign", "transactional", "personal", "opt_out"];
        assert_eq!(
            nearest("transactonal", words),
            ", did you mean `transactional`?"
        );
        assert_eq!(nearest("Opt-Out", words), ", did you mean `opt_out`?");
        assert_eq!(nearest("zzz", words), "");
        assert_eq!(nearest(&"campaign".repeat(50), words), "");
    }
}

//! A [`KeyPath`] names one key: `smtp[0].listen`, `users."anna@example.com".stream`.

use std::fmt;

/// The way from the top of the configuration to one key; empty for the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

impl KeyPath {
    /// The path of a key at the top.
    pub(super) fn of(key: &str) -> Self {
        Self::default().key(key)
    }

    /// The path of a key in the table that this one names.
    #[must_use]
    pub(super) fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// The path of an entry of the list that this one names.
    #[must_use]
    pub(super) fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The path of what this one's key is in.
    #[must_use]
    pub(super) fn parent(mut self) -> Self {
        self.0.pop();
        self
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Puts a step in front: an error learns its path from the inside out.
    pub(super) fn prepend(&mut self, step: Step) {
        self.0.insert(0, step);
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if place > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether TOML takes the key without quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_write_it() {
        assert_eq!(
            KeyPath::of("smtp").index(0).key("listen").to_string(),
            "smtp[0].listen"
        );
        assert_eq!(
            KeyPath::of("users").key("a@b\n").to_string(),
            "users.\"a@b\\n\""
        );
        assert_eq!(KeyPath::default().to_string(), "");
    }
}

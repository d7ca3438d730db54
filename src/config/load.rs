//! Reads the configuration: the file, the environment over it, then the checks.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Origin, Problem};
use super::path::KeyPath;
use super::tree::{self, Node, Value};
use super::{Config, check, derived, env, read, redact};

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was decided.
    pub config: Config,
    /// The file it was read from; none when there is none and the defaults hold.
    pub file: Option<PathBuf>,
    /// Where each value was written, without the values.
    places: Node,
}

impl Loaded {
    /// A problem with a key of a table, such as a file that it names and that cannot be read.
    #[must_use]
    pub fn problem(&self, table: &str, key: &str, message: impl Into<String>) -> Problem {
        let path = KeyPath::of(table).key(key);
        Problem {
            origin: self.places.place(&path),
            key: path.to_string(),
            message: message.into(),
        }
    }

    /// What can be done and is dangerous all the same.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        placed(check::warn(&self.config), &self.places).collect()
    }
}

/// Where a file is looked for when nobody names one.
const FILES: [&str; 2] = ["sendgate.toml", "/etc/sendgate/sendgate.toml"];

/// Largest configuration file that is read, in octets.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// The secrets, and what takes their place in the file.
const SECRETS: [(&str, &str, &str); 5] = [
    ("upstream", "password", "password_file"),
    ("store", "password", "password_file"),
    ("keys", "pepper", "pepper_file"),
    ("return_path", "key", "key_file"),
    ("return_path", "previous_key", "previous_key_file"),
];

impl Config {
    /// Reads the configuration from the named file, else from that of `SENDGATE_CONFIG`, else from
    /// `./sendgate.toml`, else from `/etc/sendgate/sendgate.toml`, else from the built-in defaults;
    /// then from the variables of the environment. Nothing is bound or connected (C5).
    ///
    /// # Errors
    /// When a named file is missing, or with everything that is wrong: first every syntax error,
    /// else every key and value that cannot be read, else everything that does not fit together.
    pub fn load(
        explicit: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let variables: Vec<_> = env
            .filter(|(name, _)| name.starts_with("SENDGATE_"))
            .collect();
        let file = find(explicit, &variables)?;
        let (mut tree, mode) = match &file {
            Some(file) => read_file(file)?,
            None => (Node::empty_table(Origin::Default), 0),
        };
        let mut problems = env::apply(&mut tree, &variables);
        problems.extend(secrets_in_file(&mut tree));
        built_in_classes(&mut tree);
        let (config, unread) = read::read::<Self>(&mut tree);
        problems.extend(unread);
        // What does not fit together is told only when everything could be read: a stream with a
        // slip in it would be reported once more wherever it is named.
        if let Some(config) = config.as_ref().filter(|_| problems.is_empty()) {
            problems.extend(misfits(config, &tree));
        }
        problems.extend(password_in_open_file(&tree, mode));
        match config {
            Some(config) if problems.is_empty() => {
                tree.forget_values();
                Ok(Loaded {
                    config,
                    file,
                    places: tree,
                })
            }
            _ => Err(ConfigError::of(problems)),
        }
    }
}

/// The variables of this process that concern us. A value that is not Unicode is read as far as it
/// is, so that the error about it can name the variable.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("SENDGATE_"))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
}

/// The file to read, if there is any.
fn find(
    explicit: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(file) = explicit {
        return Ok(Some(file.to_owned()));
    }
    let named = variables
        .iter()
        .find(|(name, value)| name == "SENDGATE_CONFIG" && !value.is_empty());
    if let Some((name, value)) = named {
        let file = PathBuf::from(value);
        return match file.symlink_metadata() {
            Err(error) => Err(ConfigError::one(
                Origin::Variable(name.as_str().into()),
                "",
                format!("cannot read {value}: {error}"),
            )),
            Ok(_) => Ok(Some(file)),
        };
    }
    // Only a file that is not there is passed over. One that we may not read would otherwise turn
    // into the defaults, and with them into another store.
    let there = |file: &PathBuf| match file.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    Ok(FILES.into_iter().map(PathBuf::from).find(there))
}

/// The file as a tree, and its permission bits.
fn read_file(file: &Path) -> Result<(Node, u32), ConfigError> {
    let name = Arc::new(file.to_owned());
    let fail = |message: String| ConfigError::one(Origin::File(name.clone()), "", message);
    let unreadable = |error: io::Error| fail(format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if metadata.len() > FILE_LIMIT {
        return Err(fail(
            "is larger than 4 MiB; is it a configuration file?".into(),
        ));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()])
            .into_owned();
        let (line, column) = tree::line_and_column(&good, good.len());
        let place = Origin::Place {
            file: name.clone(),
            line,
            column,
        };
        ConfigError::one(place, "", "not valid UTF-8; save the file as UTF-8")
    })?;
    let tree = tree::parse(&name, &text).map_err(ConfigError::of)?;
    Ok((tree, metadata.permissions().mode()))
}

/// Secrets in the file: the file is readable by more people than a secret is for, gets copied and
/// is kept in version control (A6).
fn secrets_in_file(tree: &mut Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, key, instead) in SECRETS {
        let path = KeyPath::of(section).key(key);
        let Some(node) = tree.get(&path) else {
            continue;
        };
        if matches!(node.at, Origin::Variable(_)) {
            continue;
        }
        problems.push(Problem {
            origin: node.at.clone(),
            key: path.to_string(),
            message: format!(
                "a secret does not belong into this file; name a file with `{instead}`, or set SENDGATE_{}_{}",
                section.to_uppercase(),
                key.to_uppercase()
            ),
        });
        read::mark_broken(tree, path);
    }
    problems
}

/// A URL with a password in a file that everybody can read (A6).
fn password_in_open_file(tree: &Node, mode: u32) -> Option<Problem> {
    let path = KeyPath::of("store").key("url");
    let node = tree.get(&path)?;
    let Value::Text(url) = &node.value else {
        return None;
    };
    if mode & 0o004 == 0 || !redact::holds_password(url) {
        return None;
    }
    Some(Problem {
        origin: node.at.clone(),
        key: path.to_string(),
        message: "holds a password and the file can be read by everybody; \
                  use store.user and store.password_file, or run chmod o-r on the file"
            .to_owned(),
    })
}

/// What does not fit together, with the places where it was written.
fn misfits(config: &Config, tree: &Node) -> impl Iterator<Item = Problem> {
    placed(check::check(config), tree)
}

fn placed(findings: Vec<check::Finding>, tree: &Node) -> impl Iterator<Item = Problem> {
    findings.into_iter().map(|(path, message)| Problem {
        origin: tree.place(&path),
        key: path.to_string(),
        message,
    })
}

/// `[streams.transactional]` without a class is about the built-in stream, and keeps its class.
fn built_in_classes(tree: &mut Node) {
    for (name, _) in derived::BUILT_IN_STREAMS {
        let path = KeyPath::of("streams").key(name);
        if let Some(stream) = tree.get_mut(&path)
            && !stream.keys().any(|key| key == "class")
        {
            let class = Node {
                at: stream.at.clone(),
                value: Value::Text(name.to_owned()),
            };
            stream.set("class", class);
        }
    }
}

#[cfg(test)]
mod tests;

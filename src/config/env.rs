//! The environment overrides the file: `SENDGATE_STORE_URL` for `store.url`,
//! `SENDGATE_SMTP_1_LISTEN` for `smtp[1].listen` (without a number: the first),
//! `SENDGATE_STREAMS_RECEIPTS_CLASS` for `streams.receipts.class`.
//!
//! A list is written with commas or as in TOML; a whole section (`SENDGATE_SMTP='[]'`) as in TOML.

use super::error::{Origin, Problem, nearest};
use super::keys::{Fields, Section, Shape, sections};
use super::path::{KeyPath, Step};
use super::tree::{self, Node, Value};

/// What every variable of ours begins with.
const PREFIX: &str = "SENDGATE_";

/// Variables that are not keys: where the configuration is, and whatever tests of this program want.
const OTHERS: [&str; 2] = ["SENDGATE_CONFIG", "SENDGATE_TEST_"];

/// Writes every variable of ours over what the file says; answers with those that fit no key.
pub(super) fn apply(tree: &mut Node, variables: &[(String, String)]) -> Vec<Problem> {
    let sections = sections();
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = Origin::Variable(name.as_str().into());
        match resolve(&sections, tree, rest) {
            Some(path) => found.push((path, origin, text)),
            None if is_foreign(name) => {}
            None => problems.push(Problem {
                origin,
                key: String::new(),
                message: format!(
                    "no key is set by this variable{}",
                    nearest(name, known(&sections, tree).iter().map(String::as_str))
                ),
            }),
        }
    }
    // Whole sections first, then the keys in them; lists in the order of their entries.
    found.sort_by_key(|(path, ..)| order(path));
    for (path, origin, text) in found {
        if let Err(message) = insert(tree, &path, &origin, text) {
            problems.push(Problem {
                origin,
                key: path.to_string(),
                message,
            });
        }
    }
    problems
}

/// The key that a variable sets, by what follows the prefix.
fn resolve(sections: &[Section], tree: &Node, rest: &str) -> Option<KeyPath> {
    sections.iter().find_map(|section| {
        let behind = rest.strip_prefix(section.name.to_uppercase().as_str())?;
        let path = KeyPath::of(section.name);
        if behind.is_empty() {
            return Some(path);
        }
        let behind = behind.strip_prefix('_')?;
        match section.shape {
            Shape::Value => None,
            Shape::Table(fields) => field(fields, behind).map(|field| path.key(field)),
            Shape::List(fields) => {
                let (index, name) = match behind.split_once('_') {
                    Some((digits, name)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                        (digits.parse().ok()?, name)
                    }
                    _ => (0, behind),
                };
                field(fields, name).map(|field| path.index(index).key(field))
            }
            Shape::Named(fields) => {
                let (name, field) = named(fields, behind)?;
                let name = existing_name(tree, &path, name);
                Some(path.key(&name).key(field))
            }
        }
    })
}

fn field(fields: Fields, upper: &str) -> Option<&'static str> {
    fields
        .iter()
        .find(|field| field.to_uppercase() == upper)
        .copied()
}

/// Name and field of `RECEIPTS_ON_UNAVAILABLE`. Either may hold underscores: the longest field wins.
fn named(fields: Fields, behind: &str) -> Option<(&str, &'static str)> {
    fields
        .iter()
        .filter_map(|field| {
            let name = behind.strip_suffix(field.to_uppercase().as_str())?;
            let name = name.strip_suffix('_').filter(|name| !name.is_empty())?;
            Some((name, *field))
        })
        .max_by_key(|(_, field)| field.len())
}

/// The name in the file that a variable can only spell in upper case, with underscores for the
/// rest (`anna@example.com` as `ANNA_EXAMPLE_COM`), or else the name in lower case.
fn existing_name(tree: &Node, section: &KeyPath, upper: &str) -> String {
    tree.get(section)
        .into_iter()
        .flat_map(Node::keys)
        .find(|name| as_variable(name) == upper)
        .map_or_else(|| upper.to_lowercase(), str::to_owned)
}

fn as_variable(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
            _ => '_',
        })
        .collect()
}

/// Whether a variable with our prefix is none of our keys by right.
///
/// Kubernetes sets `SENDGATE_SERVICE_HOST`, `SENDGATE_PORT_2525_TCP_ADDR` and so on in every pod
/// beside a service named `sendgate`; that must not keep us from starting.
fn is_foreign(name: &str) -> bool {
    let [config, tests] = OTHERS;
    let service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];
    name == config
        || name.starts_with(tests)
        || service.iter().any(|suffix| name.ends_with(suffix))
        || name.contains("_SERVICE_PORT_")
        || name.contains("_PORT_")
            && ["_TCP", "_UDP", "_PROTO", "_ADDR"]
                .iter()
                .any(|suffix| name.ends_with(suffix))
}

/// Every variable that would be a key, for a suggestion.
fn known(sections: &[Section], tree: &Node) -> Vec<String> {
    let mut known = vec![OTHERS[0].to_owned()];
    for section in sections {
        let base = format!("{PREFIX}{}", section.name.to_uppercase());
        let mut add = |before: &str, fields: Fields| {
            for field in fields {
                known.push(format!("{base}{before}_{}", field.to_uppercase()));
            }
        };
        match section.shape {
            Shape::Value => add("", &[]),
            Shape::Table(fields) => add("", fields),
            Shape::List(fields) => {
                add("", fields);
                add("_0", fields);
            }
            Shape::Named(fields) => {
                let names = tree.get(&KeyPath::of(section.name));
                for name in names.into_iter().flat_map(Node::keys) {
                    add(&format!("_{}", as_variable(name)), fields);
                }
            }
        }
        known.push(base);
    }
    known
}

fn order(path: &KeyPath) -> (usize, Option<usize>, String) {
    let index = path.steps().iter().find_map(|step| match step {
        Step::Index(index) => Some(*index),
        Step::Key(_) => None,
    });
    (path.steps().len(), index, path.to_string())
}

/// Writes one variable into the tree.
fn insert(tree: &mut Node, path: &KeyPath, origin: &Origin, text: &str) -> Result<(), String> {
    let node = match path.steps() {
        [Step::Key(section)] if !matches!(section.as_str(), "hostname" | "data_dir") => {
            tree::parse_variable(origin, text.trim())?
        }
        _ => Node {
            at: origin.clone(),
            value: Value::Variable(text.to_owned()),
        },
    };
    let mut at = tree;
    let mut steps = path.steps().iter().peekable();
    while let Some(step) = steps.next() {
        match step {
            Step::Key(key) if steps.peek().is_none() => {
                at.set(key, node);
                return Ok(());
            }
            Step::Key(key) => {
                if !at.keys().any(|existing| existing == key) {
                    let inner = match steps.peek() {
                        // The list that is used when nobody gives one has one entry.
                        Some(Step::Index(_)) => {
                            Value::List(vec![Node::empty_table(origin.clone())])
                        }
                        _ => Value::Table(Vec::new()),
                    };
                    at.set(
                        key,
                        Node {
                            at: origin.clone(),
                            value: inner,
                        },
                    );
                }
                let Some(inner) = at.get_mut(&KeyPath::of(key)) else {
                    return Ok(());
                };
                at = inner;
            }
            Step::Index(index) => {
                let Value::List(nodes) = &mut at.value else {
                    return Ok(());
                };
                if *index > nodes.len() {
                    return Err(format!(
                        "there are {} entries so far; use the number {}",
                        nodes.len(),
                        nodes.len()
                    ));
                }
                if *index == nodes.len() {
                    nodes.push(Node::empty_table(origin.clone()));
                }
                at = &mut nodes[*index];
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

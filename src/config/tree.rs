//! A [`Node`] is a value as it was written, with the place where: file and line, or variable.

use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};
use super::path::{KeyPath, Step};

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Origin,
    pub(super) value: Value,
}

/// What was written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// A text from the environment: it is read as whatever its key wants.
    Variable(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// Reported already, and passed over from then on, so that one error does not hide the next.
    Broken,
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Origin,
    pub(super) node: Node,
}

impl Node {
    /// A table that nobody has written anything into.
    pub(super) const fn empty_table(at: Origin) -> Self {
        Self {
            at,
            value: Value::Table(Vec::new()),
        }
    }

    /// The node at this path.
    pub(super) fn get(&self, path: &KeyPath) -> Option<&Self> {
        path.steps()
            .iter()
            .try_fold(self, |node, step| node.step(step))
    }

    /// The node at this path.
    pub(super) fn get_mut(&mut self, path: &KeyPath) -> Option<&mut Self> {
        let mut node = self;
        for step in path.steps() {
            node = match (&mut node.value, step) {
                (Value::Table(entries), Step::Key(key)) => {
                    &mut entries.iter_mut().find(|entry| entry.key == *key)?.node
                }
                (Value::List(nodes), Step::Index(index)) => nodes.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Where the value at this path was written, or else the nearest thing around it.
    pub(super) fn place(&self, path: &KeyPath) -> Origin {
        let mut node = self;
        for step in path.steps() {
            match node.step(step) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.at.clone()
    }

    /// The keys of a table; none of anything else.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.value {
            Value::Table(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// Drops every value and keeps the places: passwords are among the values (A6).
    pub(super) fn forget_values(&mut self) {
        match &mut self.value {
            Value::List(nodes) => nodes.iter_mut().for_each(Self::forget_values),
            Value::Table(entries) => {
                entries
                    .iter_mut()
                    .for_each(|entry| entry.node.forget_values());
            }
            value => *value = Value::Broken,
        }
    }

    /// Sets a key of a table; what is not a table stays as it is and is reported when it is read.
    pub(super) fn set(&mut self, key: &str, node: Self) {
        let Value::Table(entries) = &mut self.value else {
            return;
        };
        entries.retain(|entry| entry.key != key);
        entries.push(Entry {
            key: key.to_owned(),
            at: node.at.clone(),
            node,
        });
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(entries), Step::Key(key)) => entries
                .iter()
                .find(|entry| entry.key == *key)
                .map(|entry| &entry.node),
            (Value::List(nodes), Step::Index(index)) => nodes.get(*index),
            _ => None,
        }
    }
}

/// Reads a file's text; every syntax error in it is a problem.
pub(super) fn parse(file: &Arc<PathBuf>, text: &str) -> Result<Node, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let places = Places::File { file, text };
    if errors.is_empty() {
        return Ok(Node {
            at: Origin::File(file.clone()),
            value: places.table(table.into_inner()),
        });
    }
    let problem = |error: toml::de::Error| Problem {
        origin: places.origin(error.span().map_or(0, |span| span.start)),
        key: String::new(),
        message: format!(
            "not valid TOML: {}",
            error.message().trim_end().replace('\n', ", ")
        ),
    };
    Err(errors.into_iter().map(problem).collect())
}

/// Reads a value in TOML syntax that came from a variable.
pub(super) fn parse_variable(variable: &Origin, text: &str) -> Result<Node, String> {
    match DeValue::parse(text) {
        Ok(value) => Ok(Places::Variable(variable).node(value)),
        Err(error) => Err(format!(
            "not valid TOML: {}",
            error.message().replace('\n', ", ")
        )),
    }
}

/// Where the values that are being read were written.
enum Places<'a> {
    File {
        file: &'a Arc<PathBuf>,
        text: &'a str,
    },
    Variable(&'a Origin),
}

impl Places<'_> {
    fn origin(&self, offset: usize) -> Origin {
        match self {
            Self::Variable(origin) => (*origin).clone(),
            Self::File { file, text } => {
                let (line, column) = line_and_column(text, offset);
                Origin::Place {
                    file: Arc::clone(file),
                    line,
                    column,
                }
            }
        }
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        Node {
            at: self.origin(value.span().start),
            value: match value.into_inner() {
                DeValue::String(text) => Value::Text(text.into_owned()),
                // A number beyond 64 bits is out of every range anyway.
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .map_or_else(|_| Value::Float(f64::INFINITY), Value::Integer),
                DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
                DeValue::Boolean(yes) => Value::Boolean(yes),
                DeValue::Datetime(_) => Value::Datetime,
                DeValue::Array(values) => {
                    Value::List(values.into_iter().map(|value| self.node(value)).collect())
                }
                DeValue::Table(table) => self.table(table),
            },
        }
    }

    fn table(&self, table: DeTable<'_>) -> Value {
        let entry = |(key, value): (Spanned<_>, _)| Entry {
            at: self.origin(key.span().start),
            key: std::borrow::Cow::into_owned(key.into_inner()),
            node: self.node(value),
        };
        Value::Table(table.into_iter().map(entry).collect())
    }
}

/// Line and character of an offset, both from 1.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &KeyPath, text: &str) -> String {
        let file = Arc::new(PathBuf::from("f"));
        parse(&file, text).unwrap().place(path).to_string()
    }

    #[test]
    fn each_value_knows_its_place() {
        let text = "hostname = 'ü' # x\n[store]\nurl = 'x'\n[[smtp]]\n[[smtp]]\nclients = [\n  'a',\n 'b']\n";
        let smtp = || KeyPath::of("smtp").index(1);
        for (path, expected) in [
            (KeyPath::of("hostname"), "f:1:12"),
            (KeyPath::of("store").key("url"), "f:3:7"),
            (KeyPath::of("store").key("timeout"), "f:2:1"),
            (smtp().key("clients").index(1), "f:8:2"),
            (smtp().key("listen"), "f:5:1"),
            (KeyPath::of("http").key("admin"), "f"),
        ] {
            assert_eq!(place(&path, text), expected, "{path}");
        }
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let file = Arc::new(PathBuf::from("f"));
        let mut problems = parse(&file, "a = \nb = 1\n[c\n").unwrap_err();
        problems.sort();
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| problem.to_string()[..4].to_owned())
            .collect();
        assert_eq!(lines, ["f:1:", "f:3:"]);
        assert_eq!(parse(&file, "d = 'x\n").unwrap_err().len(), 1);
    }
}

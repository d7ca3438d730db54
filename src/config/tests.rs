//! `config/sendgate.toml` and the types tell the same.

use super::keys::{Fields, Shape, sections};
use super::*;

const FILE: &str = include_str!("../../config/sendgate.toml");

/// The secrets, which are not for the file.
const NOT_IN_THE_FILE: [&str; 5] = [
    "upstream.password",
    "store.password",
    "keys.pepper",
    "return_path.key",
    "return_path.previous_key",
];

fn read(text: &str) -> Config {
    let mut tree = tree::parse(&std::sync::Arc::new("sendgate.toml".into()), text).unwrap();
    let (config, problems) = read::read(&mut tree);
    assert_eq!(problems, []);
    config.unwrap()
}

/// The file with its examples: lines that are a key or a table behind a `# `.
fn with_examples() -> String {
    let example = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let key = rest
            .split_once(" = ")
            .is_some_and(|(key, _)| !key.contains(' '));
        (key || rest.starts_with('[')).then(|| rest.to_owned())
    };
    FILE.lines()
        .map(|line| example(line).unwrap_or_else(|| line.to_owned()) + "\n")
        .collect()
}

#[test]
fn the_file_says_the_defaults() {
    let config = read(FILE);
    assert_eq!(
        toml::to_string(&config).unwrap(),
        toml::to_string(&Config::default()).unwrap()
    );
    assert_eq!(check::check(&config), []);
}

#[test]
fn its_examples_are_fine() {
    let config = read(&with_examples());
    assert_eq!(config.users.len(), 1);
    assert_eq!(config.streams.len(), 1);
    assert_eq!(
        check::check(&config)
            .iter()
            .map(|(path, _)| path.to_string())
            .collect::<Vec<_>>(),
        // The example shows a redis-only key beside the embedded default, and that is all.
        [""; 0]
    );
}

#[test]
fn it_has_every_key() {
    let table: toml::Table = with_examples().parse().unwrap();
    for section in sections() {
        let name = section.name;
        let value = table.get(name).unwrap_or_else(|| panic!("{name}"));
        let (fields, inner): (Fields, _) = match section.shape {
            Shape::Value => (&[], value),
            Shape::Table(fields) => (fields, value),
            Shape::List(fields) => (fields, &value[0]),
            Shape::Named(fields) => (fields, value.as_table().unwrap().values().next().unwrap()),
        };
        for field in fields {
            let key = format!("{name}.{field}");
            let there = inner.get(field).is_some();
            assert_eq!(there, !NOT_IN_THE_FILE.contains(&key.as_str()), "{key}");
        }
    }
}

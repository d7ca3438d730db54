use std::fs;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join("sendgate.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn none() -> impl Iterator<Item = (String, String)> {
    std::iter::empty()
}

/// The errors of this file without its name.
fn errors(text: &str, mode: u32) -> Vec<String> {
    let folder = Folder::new();
    let file = folder.file(text, mode);
    let error = Config::load(Some(&file), none()).unwrap_err();
    let name = format!("{}:", file.display());
    let problems = error.problems.iter().map(ToString::to_string);
    problems.map(|problem| problem.replace(&name, "")).collect()
}

#[test]
fn no_file_is_the_defaults() {
    // The tests run where there is no ./sendgate.toml.
    let loaded = Config::load(None, none()).unwrap();
    assert_eq!(loaded.file, None);
    assert_eq!(
        toml::to_string(&loaded.config).unwrap(),
        toml::to_string(&Config::default()).unwrap()
    );
}

#[test]
fn a_named_file_must_be_there() {
    let folder = Folder::new();
    let missing = folder.0.path().join("missing.toml");
    let error = Config::load(Some(&missing), none())
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing.toml: cannot be read"), "{error}");
    let variable = ("SENDGATE_CONFIG".to_owned(), missing.display().to_string());
    let error = Config::load(None, [variable].into_iter())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("SENDGATE_CONFIG: cannot read"), "{error}");
}

#[test]
fn the_environment_names_the_file_and_overrides_it() {
    let folder = Folder::new();
    let file = folder.file("hostname = 'a.example'\n[store]\ntimeout = '1s'\n", 0o644);
    let variables = [
        ("SENDGATE_CONFIG".to_owned(), file.display().to_string()),
        ("SENDGATE_HOSTNAME".to_owned(), "b.example".to_owned()),
    ];
    let loaded = Config::load(None, variables.into_iter()).unwrap();
    assert_eq!(loaded.file, Some(file));
    assert_eq!(loaded.config.hostname, "b.example");
    assert_eq!(loaded.config.store.timeout.as_secs(), 1);
}

#[test]
fn listeners_in_the_file_replace_the_default_ones() {
    let folder = Folder::new();
    let file = folder.file("returns = []\n[[smtp]]\nlisten = '127.0.0.1:9'\n", 0o644);
    let config = Config::load(Some(&file), none()).unwrap().config;
    assert_eq!(config.smtp.len(), 1);
    assert_eq!(config.smtp[0].listen.port(), 9);
    assert!(config.returns.is_empty());
}

#[test]
fn a6_secrets_are_refused_in_the_file() {
    let problems = errors(
        "[upstream]\nuser = 'u'\npassword = 'hunter2'\n[store]\npassword = 12345\n[keys]\npepper = 'hunter2'\n",
        0o600,
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(
        problems[0],
        "3:12: upstream.password: a secret does not belong into this file; \
         name a file with `password_file`, or set SENDGATE_UPSTREAM_PASSWORD"
    );
    assert!(
        problems
            .iter()
            .all(|p| !p.contains("hunter2") && !p.contains("12345"))
    );
    let variable = ("SENDGATE_KEYS_PEPPER".to_owned(), "x".to_owned());
    let loaded = Config::load(None, [variable].into_iter()).unwrap();
    assert!(loaded.config.keys.pepper.is_some());
}

#[test]
fn a6_a_password_in_a_url_wants_a_private_file() {
    let text = "[store]\nurl = 'redis://:hunter2@h'\n";
    let problems = errors(text, 0o644);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("2:7: store.url: holds a password"),
        "{}",
        problems[0]
    );
    assert!(!problems[0].contains("hunter2"));
    let folder = Folder::new();
    assert!(Config::load(Some(&folder.file(text, 0o640)), none()).is_ok());
}

#[test]
fn c5_all_errors_are_told_at_once() {
    let problems = errors(
        "[[smtp]]\nstream = 'x'\ntls = 'required'\n[limits]\nhop_limit = 0\n",
        0o644,
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("2:10: smtp[0].stream: there is no stream `x`"));
    assert!(problems[1].starts_with("3:7: smtp[0].tls: needs a certificate"));
    assert!(problems[2].starts_with("5:13: limits.hop_limit: 0 is too small"));
}

#[test]
fn a_built_in_stream_keeps_its_class() {
    let folder = Folder::new();
    let file = folder.file("[streams.transactional]\non_unavailable = 'pass'\n", 0o644);
    let streams = Config::load(Some(&file), none()).unwrap().config.streams();
    assert_eq!(
        streams["transactional"].class,
        crate::suppression::StreamClass::Transactional
    );
    assert!(streams["transactional"].pass_unavailable);
}

#[test]
fn a_file_that_is_no_text_is_no_panic() {
    let folder = Folder::new();
    for bytes in [
        &b"a = 1\nb = '\xff'\n"[..],
        b"\0\0",
        b"[[[[",
        b"\xef\xbb\xbfx = 1",
    ] {
        let error = Config::load(Some(&folder.file(bytes, 0o644)), none()).unwrap_err();
        assert!(!error.problems.is_empty());
    }
    let error = Config::load(Some(&folder.file(b"a = 1\nb = '\xff'\n", 0o644)), none());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains(":2:6: not valid UTF-8")
    );
    assert!(Config::load(Some(folder.0.path()), none()).is_err());
}

#[test]
fn a6_what_is_loaded_shows_no_secret() {
    let folder = Folder::new();
    let file = folder.file("[store]\nurl = 'redis://:hunter2@h'\n", 0o600);
    let secret = ("SENDGATE_KEYS_PEPPER".to_owned(), "hunter2".to_owned());
    let loaded = Config::load(Some(&file), [secret].into_iter()).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
    let problem = loaded.problem("store", "url", "is gone").to_string();
    assert_eq!(
        problem,
        format!("{}:2:7: store.url: is gone", file.display())
    );
}

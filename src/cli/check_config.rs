//! `sendgate check-config` tells every error of the configuration, and of the files it names.

use std::io;
use std::path::Path;

use secrecy::ExposeSecret;

use super::{ExitCode, misconfigured, text};
use crate::config::{self, Config, ConfigError, Loaded, Problem, missing_return_path_key, secret};
use crate::gateway::tls::{self, TlsError};
use crate::store::pepper;
use crate::token::SECRET_MINIMUM;

/// Checks the configuration that `serve` would use and says so; nothing is bound or connected.
#[must_use]
pub fn run(explicit: Option<&Path>) -> ExitCode {
    match check(explicit, config::environment()) {
        Ok(fine) => match text::print(&fine) {
            Ok(_) => ExitCode::Fine,
            Err(_) => ExitCode::Failed,
        },
        Err(error) => misconfigured(&error),
    }
}

fn check(
    explicit: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<String, ConfigError> {
    let loaded = Config::load(explicit, env)?;
    let mut problems = check_tls(&loaded);
    problems.extend(check_passwords(&loaded));
    problems.extend(check_pepper(&loaded));
    problems.extend(check_return_path(&loaded));
    if let Err(error) = loaded.bounce_rules() {
        problems.extend(error.problems);
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let mut fine = match &loaded.file {
        Some(file) => format!("{}: fine\n", file.display()),
        None => "no configuration file; the built-in defaults are fine\n".to_owned(),
    };
    for warning in loaded.warnings() {
        fine.push_str(&format!("{warning} (a warning)\n"));
    }
    Ok(fine)
}

/// The certificate, its key and the authorities.
fn check_tls(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    // The same functions as at the start, so that what is fine here is fine there.
    tls::install_provider();
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key)
        && let Err(error) = tls::acceptor(certificate, key)
    {
        let at = match &error {
            TlsError::Read { file, .. } if file == key => "key",
            _ => "certificate",
        };
        problems.push(loaded.problem("tls", at, error.to_string()));
    }
    let authorities = [
        ("upstream", &config.upstream.ca_file),
        ("store", &config.store.ca_file),
    ];
    for (table, ca_file) in authorities {
        if let Some(file) = ca_file
            && let Err(error) = tls::verifying_connector(Some(file))
        {
            problems.push(loaded.problem(table, "ca_file", error.to_string()));
        }
    }
    problems
}

/// The password files, unless the environment gives the password itself.
fn check_passwords(loaded: &Loaded) -> Vec<Problem> {
    let (upstream, store) = (&loaded.config.upstream, &loaded.config.store);
    let files = [
        ("upstream", &upstream.password, &upstream.password_file),
        ("store", &store.password, &store.password_file),
    ];
    files
        .into_iter()
        .filter(|(_, password, _)| password.is_none())
        .filter_map(|(table, _, file)| {
            let error = secret::read(file.as_deref()?).err()?;
            Some(loaded.problem(table, "password_file", error.to_string()))
        })
        .collect()
}

/// The pepper, unless the environment gives it, or the first start will make it.
fn check_pepper(loaded: &Loaded) -> Option<Problem> {
    let config = &loaded.config;
    if config.keys.pepper.is_some() {
        return None;
    }
    let file = match &config.keys.pepper_file {
        Some(file) => file.clone(),
        None => config.data_dir.join("pepper"),
    };
    let error = pepper::load_or_create_pepper(&file, false).err()?;
    let will_be_made = config.keys.pepper_file.is_none() && config.store.create;
    if error.kind() == io::ErrorKind::NotFound && will_be_made {
        return None;
    }
    Some(loaded.problem("keys", "pepper_file", error.to_string()))
}

/// The keys of the return path, unless the environment gives them.
fn check_return_path(loaded: &Loaded) -> Vec<Problem> {
    let settings = &loaded.config.return_path;
    if settings.domain.is_none() {
        return Vec::new();
    }
    let (key_file, may_be_made) = loaded.config.return_path_key_file();
    let key_file = (key_file.exists() || !may_be_made).then_some(key_file);
    let is_missing = |name, file: &Path| name == "key_file" && !file.exists();
    let previous = settings.previous_key_file.clone();
    let files = [
        ("key_file", &settings.key, key_file),
        ("previous_key_file", &settings.previous_key, previous),
    ];
    files
        .into_iter()
        .filter(|(_, key, _)| key.is_none())
        .filter_map(|(name, _, file)| {
            let file = file?;
            let wrong = match secret::read(&file) {
                Err(_) if is_missing(name, &file) => missing_return_path_key(&file),
                Err(error) => error.to_string(),
                Ok(key) if key.expose_secret().trim().len() < SECRET_MINIMUM => format!(
                    "{} is shorter than {SECRET_MINIMUM} octets; make one with: openssl rand -hex 32",
                    file.display()
                ),
                Ok(_) => return None,
            };
            Some(loaded.problem("return_path", name, wrong))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(folder: &Path, name: &str, content: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What is said about this configuration, with the folder cut out of it.
    fn said(folder: &Path, text: &str) -> String {
        let at = folder.display().to_string();
        write(folder, "sendgate.toml", &text.replace("DIR", &at), 0o600);
        let said = match check(Some(&folder.join("sendgate.toml")), std::iter::empty()) {
            Ok(fine) => fine,
            Err(error) => error.to_string(),
        };
        said.replace(&format!("{at}/"), "")
    }

    #[test]
    fn a_configuration_that_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["gate.example.com".to_owned()]).unwrap();
        write(folder.path(), "cert.pem", &key.cert.pem(), 0o644);
        write(
            folder.path(),
            "key.pem",
            &key.signing_key.serialize_pem(),
            0o600,
        );
        write(folder.path(), "password", "hunter2\n", 0o600);
        let text = "data_dir = 'DIR/data'\n\
                    [tls]\ncertificate = 'DIR/cert.pem'\nkey = 'DIR/key.pem'\n\
                    [upstream]\nuser = 'u'\npassword_file = 'DIR/password'\nca_file = 'DIR/cert.pem'\n";
        assert_eq!(said(folder.path(), text), "sendgate.toml: fine\n");
    }

    #[test]
    fn b2_a_smarthost_that_is_believed_without_proof_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let data = "data_dir = 'DIR/data'\n";
        for (url, trusted, warned) in [
            ("smtp://127.0.0.1:25", "['127.0.0.0/8']", true),
            ("smtp://localhost:25", "['::1']", true),
            ("smtp://127.0.0.1:25", "['192.0.2.0/24']", false),
            ("smtp://127.0.0.1:25", "[]", false),
        ] {
            let text =
                format!("{data}[upstream]\nurl = '{url}'\n[[returns]]\ntrusted = {trusted}\n");
            let said = said(folder.path(), &text);
            let (first, rest) = said.split_once('\n').unwrap();
            assert_eq!(first, "sendgate.toml: fine");
            let expected = "sendgate.toml:5:11: returns[0].trusted: the smarthost (";
            assert_eq!(rest.starts_with(expected), warned, "{trusted}: {said}");
            assert_eq!(rest.is_empty(), !warned, "{said}");
        }
        // Nobody is trusted by default.
        assert_eq!(said(folder.path(), data), "sendgate.toml: fine\n");
    }

    #[test]
    fn c5_files_that_cannot_be_used_are_errors_with_a_place() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "empty.pem", "", 0o644);
        write(folder.path(), "password", "hunter2\n", 0o644);
        let text = "data_dir = 'DIR/data'\n\
                    [tls]\ncertificate = 'DIR/empty.pem'\nkey = 'DIR/key.pem'\n\
                    [upstream]\nuser = 'u'\npassword_file = 'DIR/password'\nca_file = 'DIR/none.pem'\n\
                    [keys]\npepper_file = 'DIR/pepper'\n";
        let said = said(folder.path(), text);
        for line in [
            "sendgate.toml:3:15: tls.certificate: no certificate in empty.pem",
            "sendgate.toml:8:11: upstream.ca_file: cannot read none.pem",
            "sendgate.toml:7:17: upstream.password_file: password can be read by others (mode 644); run: chmod 600 password",
            "sendgate.toml:10:15: keys.pepper_file: ",
        ] {
            assert!(
                said.lines().any(|told| told.starts_with(line)),
                "{line}\n{said}"
            );
        }
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(!said.contains("hunter2"));
    }

    #[test]
    fn a6_keys_of_the_return_path_are_read_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "key", "0123456789abcdef\n", 0o600);
        write(folder.path(), "short", "hunter2\n", 0o600);
        write(folder.path(), "open", "0123456789abcdef\n", 0o640);
        let text = "data_dir = 'DIR/data'\n[return_path]\ndomain = 'r.example.com'\nkey_file = 'DIR/key'\n";
        assert_eq!(said(folder.path(), text), "sendgate.toml: fine\n");
        for (file, told) in [
            ("short", "short is shorter than 16 octets"),
            ("open", "open can be read by others"),
            ("none", "cannot read none"),
        ] {
            let text = format!("{text}previous_key_file = 'DIR/{file}'\n");
            let said = said(folder.path(), &text);
            let expected = format!("sendgate.toml:5:21: return_path.previous_key_file: {told}");
            assert!(said.starts_with(&expected), "{said}");
            assert!(
                !said.contains("hunter2") && !said.contains("0123"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_key_of_the_return_path_is_made_only_where_no_other_gateway_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = "data_dir = 'DIR/data'\n[return_path]\ndomain = 'r.example.com'\n";
        assert_eq!(said(folder.path(), text), "sendgate.toml: fine\n");
        let missing = "return_path.key_file: the key of the return path data/return-path.key is missing; copy it";
        let shared = format!("{text}[store]\nurl = 'redis://127.0.0.1'\n");
        let told = said(folder.path(), &shared);
        assert!(told.contains(missing), "{told}");
        let named = format!("{text}key_file = 'DIR/data/return-path.key'\n");
        let told = said(folder.path(), &named);
        assert!(told.contains(missing), "{told}");
    }

    #[test]
    fn a_pepper_that_is_lost_is_an_error_where_none_may_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let fine = "data_dir = 'DIR/data'\n";
        assert_eq!(said(folder.path(), fine), "sendgate.toml: fine\n");
        let lost = format!("{fine}[store]\ncreate = false\n");
        assert!(said(folder.path(), &lost).contains("keys.pepper_file: "));
    }
}

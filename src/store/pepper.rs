//! The *pepper* is the secret from which recipient keys are made.
//!
//! Who has it can test whether an address is on file; who loses it has lost every record, because
//! no key can be made again. So it is kept in a file that only we read, and backed up with the store.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use secrecy::ExposeSecret;

use crate::config::secret;

pub(super) use crate::config::secret::{random_hex, sync_folder};

/// Shortest pepper, in octets.
pub const PEPPER_MINIMUM: usize = 16;

/// Longest pepper file that is read, in octets.
const PEPPER_FILE_LIMIT: u64 = 4096;

/// Reads the pepper; white space around it does not count.
///
/// A missing file is made, with 32 random octets in hexadecimal digits, where `may_create` allows
/// it: on a machine that should already have a pepper, a new one would forget everybody.
///
/// # Errors
/// When the file is missing and must not be made, when others may read it, or when what is in it
/// is too short. The text says what to do and never shows the contents.
pub fn load_or_create_pepper(file: &Path, may_create: bool) -> io::Result<Vec<u8>> {
    match File::open(file) {
        Ok(open) => read(file, open),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => create(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failure(
            error.kind(),
            file,
            "is missing; restore it from a backup, because records made with it cannot be found with a new one",
        )),
        Err(error) => Err(failure(
            error.kind(),
            file,
            &format!("cannot be opened: {error}"),
        )),
    }
}

fn read(file: &Path, open: File) -> io::Result<Vec<u8>> {
    let metadata = open.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(failure(
            io::ErrorKind::PermissionDenied,
            file,
            "may be read or written by others; run: chmod 600",
        ));
    }
    let mut contents = Vec::new();
    open.take(PEPPER_FILE_LIMIT + 1)
        .read_to_end(&mut contents)?;
    let pepper = contents.trim_ascii();
    if contents.len() as u64 > PEPPER_FILE_LIMIT {
        return Err(failure(
            io::ErrorKind::InvalidData,
            file,
            "is too long for a pepper",
        ));
    }
    if pepper.len() < PEPPER_MINIMUM {
        return Err(failure(
            io::ErrorKind::InvalidData,
            file,
            "is shorter than 16 octets; restore it, or remove it if no store was ever filled with it",
        ));
    }
    Ok(pepper.to_vec())
}

/// Two processes that start together must not have two peppers: one makes it, the other reads it.
fn create(file: &Path) -> io::Result<Vec<u8>> {
    match secret::create(file) {
        Ok(pepper) => Ok(pepper.expose_secret().as_bytes().to_vec()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(file, File::open(file)?),
        Err(error) => Err(failure(
            error.kind(),
            file,
            &format!("cannot be made: {error}"),
        )),
    }
}

fn failure(kind: io::ErrorKind, file: &Path, what: &str) -> io::Error {
    io::Error::new(kind, format!("the pepper file {} {what}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file_with(contents: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pepper");
        fs::write(&file, contents).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn a_missing_pepper_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/pepper");
        let error = load_or_create_pepper(&file, false).unwrap_err();
        assert!(error.to_string().contains("restore it"), "{error}");
        let pepper = load_or_create_pepper(&file, true).unwrap();
        assert_eq!(pepper.len(), 64);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load_or_create_pepper(&file, false).unwrap(), pepper);
    }

    #[test]
    fn white_space_around_it_does_not_count() {
        let (_folder, file) = file_with(" 0123456789abcdef\r\n", 0o600);
        assert_eq!(
            load_or_create_pepper(&file, false).unwrap(),
            b"0123456789abcdef"
        );
    }

    #[test]
    fn a6_a_file_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o620] {
            let (_folder, file) = file_with("0123456789abcdef", mode);
            let error = load_or_create_pepper(&file, true).unwrap_err().to_string();
            assert!(
                error.contains("chmod 600") && !error.contains("0123"),
                "{error}"
            );
        }
    }

    #[test]
    fn a6_a_short_pepper_is_refused_and_not_shown() {
        for contents in ["", "\n", "s3cr3t", "0123456789abcde\n\n\n"] {
            let (_folder, file) = file_with(contents, 0o600);
            let error = load_or_create_pepper(&file, true).unwrap_err().to_string();
            assert!(
                error.contains("shorter than 16") && !error.contains("s3cr3t"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_huge_file_is_not_read_to_its_end() {
        let (_folder, file) = file_with(&"x".repeat(10_000), 0o600);
        assert!(load_or_create_pepper(&file, false).is_err());
    }
}

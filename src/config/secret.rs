//! A secret comes from a file that only its owner can read, or from the environment (A6).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::{Zeroize, Zeroizing};

/// Largest secret file that is read, in octets.
pub const SECRET_LIMIT: u64 = 64 * 1024;

/// Why a secret could not be read. Never shows what is in the file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing or cannot be read.
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Others than its owner may read it.
    #[error("{} can be read by others (mode {mode:03o}); run: chmod 600 {}", file.display(), file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is empty, too large or not UTF-8 text.
    #[error("{} {what}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Reads a secret from a file that nobody but its owner may read; one newline at the end is dropped.
///
/// # Errors
/// When the file is missing, can be read by its group or by everybody, is empty, larger than
/// [`SECRET_LIMIT`] or not UTF-8.
pub fn read(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |cause| SecretError::Unreadable {
        file: path.to_owned(),
        cause,
    };
    let unusable = |what| SecretError::Unusable {
        file: path.to_owned(),
        what,
    };
    // The mode of the opened file, not of the path: between the two it could be swapped.
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unusable("is not a file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed {
            file: path.to_owned(),
            mode,
        });
    }
    // Room from the start, so that no growing buffer leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(4096));
    file.take(SECRET_LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > SECRET_LIMIT {
        return Err(unusable("is larger than 64 KiB; it should hold one secret"));
    }
    let mut text = match String::from_utf8(std::mem::take(&mut *content)) {
        Ok(text) => text,
        Err(error) => {
            error.into_bytes().zeroize();
            return Err(unusable("is not UTF-8 text"));
        }
    };
    trim_newline(&mut text);
    if text.is_empty() {
        return Err(unusable("is empty; it should hold the secret"));
    }
    Ok(SecretString::from(text))
}

/// Makes a file with a new secret: 32 random octets in hexadecimal digits, for its owner only, as is
/// the folder if it is missing.
///
/// The file has its name only once all of it is on the disk, so nobody ever reads half a secret.
///
/// # Errors
/// When there is such a file already, or it cannot be written. What is made is on the disk.
pub fn create(path: &Path) -> io::Result<SecretString> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let secret = random_hex::<32>()?;
    let draft = draft_of(path)?;
    // Unlike a rename, a link does not replace what somebody else made meanwhile.
    let linked = write_new(&draft, &secret).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked?;
    removed?;
    sync_folder(path)?;
    Ok(secret.into())
}

/// A name in the same folder that nobody else has.
fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", random_hex::<8>()?));
    Ok(path.with_file_name(name))
}

fn write_new(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

/// So many random octets, as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a new name in a folder last: the file is synced, its name is in the folder.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Drops the newline that editors and `echo` add; everything else belongs to the secret.
fn trim_newline(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn one_newline_at_the_end_is_dropped() {
        for (content, secret) in [
            (&b"word\n"[..], "word"),
            (b"word\r\n", "word"),
            (b"word", "word"),
            (b" two words \n\n", " two words \n"),
        ] {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read(&path).unwrap().expose_secret(), secret);
        }
    }

    #[test]
    fn a6_a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o660] {
            let (_folder, path) = file(b"hunter2\n", mode);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/key");
        let made = create(&path).unwrap();
        assert_eq!(made.expose_secret().len(), 64);
        let again = create(&path).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let found = read(&path).unwrap();
        assert_eq!(found.expose_secret(), made.expose_secret());
        let folder = path.parent().unwrap();
        let names: Vec<_> = fs::read_dir(folder).unwrap().collect();
        assert_eq!(names.len(), 1, "no draft is left: {names:?}");
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_file_without_a_secret_is_refused() {
        for content in [&b""[..], b"\n", b"\xff\xfe\n"] {
            let (_folder, path) = file(content, 0o400);
            assert!(matches!(read(&path), Err(SecretError::Unusable { .. })));
        }
        let (_folder, path) = file(&vec![b'a'; 70_000], 0o600);
        assert!(matches!(read(&path), Err(SecretError::Unusable { .. })));
        let (folder, path) = file(b"", 0o600);
        assert!(matches!(
            read(&path.join("x")),
            Err(SecretError::Unreadable { .. })
        ));
        assert!(matches!(
            read(folder.path()),
            Err(SecretError::Unusable { .. })
        ));
    }
}

//! `sendgate hash-password` makes what `users.NAME.password_hash` holds, of a password on standard
//! input. Never of an argument: arguments are in the process list and in the shell's history.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use argon2::Argon2;
use password_hash::PasswordHasher;
use password_hash::phc::PasswordHash;
use zeroize::Zeroizing;

use super::text;

/// Longest password, in octets. An AUTH line has room for more (W6), a person has not.
const PASSWORD_LIMIT: u64 = 1024;

/// Reads the password, prints its argon2id hash as a PHC string.
///
/// # Errors
/// When there is no password, or one that nobody could log in with.
pub fn run() -> anyhow::Result<()> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        // Echo cannot be turned off without more than the standard library has.
        write!(
            io::stderr(),
            "Password (it is shown as you type; better pipe it in): "
        )?;
        io::stderr().flush()?;
    }
    let password = read(input)?;
    text::print(&format!("{}\n", hash(&password)?))?;
    Ok(())
}

/// The first line, without its end.
fn read(input: impl BufRead) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut password = Zeroizing::new(Vec::with_capacity(PASSWORD_LIMIT as usize + 3));
    let mut line = input.take(PASSWORD_LIMIT + 2);
    line.read_until(b'\n', &mut password)
        .context("cannot read the password from standard input")?;
    if password.last() == Some(&b'\n') {
        password.pop();
        if password.last() == Some(&b'\r') {
            password.pop();
        }
    }
    if password.is_empty() {
        bail!("there is no password on standard input; pipe it in: sendgate hash-password < FILE");
    }
    if password.len() as u64 > PASSWORD_LIMIT {
        bail!("the password is longer than {PASSWORD_LIMIT} octets; take a shorter one");
    }
    // RFC 4616 §2: the parts of AUTH PLAIN are separated by NUL.
    if password.contains(&0) {
        bail!("the password holds a NUL; nobody could log in with it");
    }
    Ok(password)
}

/// With argon2id at its recommended cost (RFC 9106 §4 in its smaller form), and a salt of its own.
fn hash(password: &[u8]) -> anyhow::Result<PasswordHash> {
    match Argon2::default().hash_password(password) {
        Ok(hash) => Ok(hash),
        Err(error) => bail!("the password could not be hashed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use password_hash::PasswordVerifier;

    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (input, password) in [
            ("word\n", "word"),
            ("word\r\nmore\n", "word"),
            ("two words ", "two words "),
        ] {
            assert_eq!(**read(input.as_bytes()).unwrap(), *password.as_bytes());
        }
        for input in ["", "\n", "a\0b\n", &"x".repeat(1025)] {
            assert!(read(input.as_bytes()).is_err());
        }
        assert!(read("x".repeat(1024).as_bytes()).is_ok());
    }

    #[test]
    fn a_hash_is_verified_and_salted() {
        let one = hash(b"correct horse").unwrap();
        assert!(one.to_string().starts_with("$argon2id$v=19$m="));
        assert_ne!(one.to_string(), hash(b"correct horse").unwrap().to_string());
        let verify = |password: &[u8]| Argon2::default().verify_password(password, &one);
        assert!(verify(b"correct horse").is_ok());
        assert!(verify(b"wrong horse").is_err());
    }
}

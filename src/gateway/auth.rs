//! [`Users`] are those who may log in, with the rules of their mail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use hmac::{Hmac, KeyInit, Mac};
use password_hash::{PasswordVerifier, phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::smtp::sasl::Credentials;

/// Somebody who may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: Arc<str>,
    /// The PHC string of the password's argon2 hash.
    pub password_hash: String,
}

/// How many hashes are computed at the same time: each takes a core and some 19 MiB.
const AT_ONCE: usize = 2;
/// How many logins may wait for that. Guesses beyond it are put off at once (X32).
const WAITING: usize = 64;
/// How long a proven password is remembered, so that a client that connects for each message does
/// not cost a hash each time.
const REMEMBER: Duration = Duration::from_secs(300);

/// Those who may log in.
pub struct Users {
    by_name: HashMap<String, Arc<User>>,
    /// Checked when the user is unknown, so that it takes as long as for a known one (W6).
    decoy: String,
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
    /// Who proved a password lately, under a keyed hash of name and password.
    proven: Mutex<HashMap<Arc<str>, (Proof, Instant)>>,
    proof_key: [u8; 32],
}

type Proof = [u8; 32];

/// What became of a login.
#[derive(Debug, Clone)]
pub enum Login {
    /// The password is right.
    Granted(Arc<User>),
    /// User or password is wrong; which of the two is not said.
    Denied,
    /// Too many logins are being checked: try later.
    Busy,
}

impl Users {
    /// The users of a configuration.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let by_name: HashMap<_, _> = users
            .into_iter()
            .map(|user| (user.name.to_string(), Arc::new(user)))
            .collect();
        let mut proof_key = [0; 32];
        // Without randomness there is no proof to remember; every login is then checked in full.
        let _ = getrandom::fill(&mut proof_key);
        Self {
            // Hashing takes much memory; where nobody can log in there is nothing to hide.
            decoy: if by_name.is_empty() {
                String::new()
            } else {
                decoy()
            },
            by_name,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
            proven: Mutex::new(HashMap::new()),
            proof_key,
        }
    }

    /// Whether nobody may log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Checks a password.
    pub async fn log_in(&self, credentials: Credentials) -> Login {
        let user = self.by_name.get(&credentials.user).cloned();
        let proof = self.proof(&credentials);
        if let Some(user) = &user
            && self.is_proven(user, &proof)
        {
            return Login::Granted(Arc::clone(user));
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Login::Busy;
        };
        let hash = user
            .as_ref()
            .map_or_else(|| self.decoy.clone(), |user| user.password_hash.clone());
        let Ok(permit) = Arc::clone(&self.at_once).acquire_owned().await else {
            return Login::Busy;
        };
        let checking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            verify(&hash, &credentials.password)
        });
        match (user, checking.await) {
            (Some(user), Ok(true)) => {
                self.remember(&user, proof);
                Login::Granted(user)
            }
            (_, Ok(_)) => Login::Denied,
            (_, Err(_)) => Login::Busy,
        }
    }

    fn proof(&self, credentials: &Credentials) -> Option<Proof> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.proof_key).ok()?;
        mac.update(&(credentials.user.len() as u64).to_be_bytes());
        mac.update(credentials.user.as_bytes());
        mac.update(credentials.password.expose_secret().as_bytes());
        Some(mac.finalize().into_bytes().into())
    }

    fn is_proven(&self, user: &User, proof: &Option<Proof>) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        match (proven.get(&user.name), proof) {
            (Some((known, at)), Some(proof)) if at.elapsed() < REMEMBER => {
                known.ct_eq(proof).into()
            }
            _ => false,
        }
    }

    fn remember(&self, user: &User, proof: Option<Proof>) {
        if let Some(proof) = proof {
            let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
            proven.insert(Arc::clone(&user.name), (proof, Instant::now()));
        }
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.by_name.len())
    }
}

fn verify(hash: &str, password: &SecretString) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), &hash)
            .is_ok()
    })
}

/// The hash of a password that nobody has.
fn decoy() -> String {
    use password_hash::PasswordHasher;
    let mut password = [0; 16];
    let _ = getrandom::fill(&mut password);
    Argon2::default()
        .hash_password(&password)
        .map(|hash| hash.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use password_hash::PasswordHasher;

    fn users() -> Users {
        let hash = Argon2::default()
            .hash_password(b"secret")
            .unwrap()
            .to_string();
        Users::new([User {
            name: "mautic".into(),
            password_hash: hash,
        }])
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.into(),
            password: password.to_owned().into(),
        }
    }

    #[tokio::test]
    async fn w6_known_and_unknown_users_are_denied_alike() {
        let users = users();
        assert!(matches!(
            users.log_in(credentials("mautic", "wrong")).await,
            Login::Denied
        ));
        assert!(matches!(
            users.log_in(credentials("nobody", "secret")).await,
            Login::Denied
        ));
        assert!(matches!(
            users.log_in(credentials("mautic", "secret")).await,
            Login::Granted(_)
        ));
        assert!(matches!(
            users.log_in(credentials("mautic", "secret")).await,
            Login::Granted(_)
        ));
        assert!(matches!(
            users.log_in(credentials("mautic", "Secret")).await,
            Login::Denied
        ));
    }

    #[tokio::test]
    async fn x32_fifty_guesses_do_not_lock_out_the_true_user() {
        let users = Arc::new(users());
        assert!(matches!(
            users.log_in(credentials("mautic", "secret")).await,
            Login::Granted(_)
        ));
        let guesses: Vec<_> = (0..50)
            .map(|n| {
                let users = Arc::clone(&users);
                tokio::spawn(async move {
                    users
                        .log_in(credentials("mautic", &format!("guess {n}")))
                        .await
                })
            })
            .collect();
        assert!(matches!(
            users.log_in(credentials("mautic", "secret")).await,
            Login::Granted(_)
        ));
        for guess in guesses {
            assert!(!matches!(guess.await.unwrap(), Login::Granted(_)));
        }
    }
}

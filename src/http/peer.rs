//! A [`Peer`] is who asks over the Unix socket, as the kernel knows them.

use std::fs;

use tokio::net::UnixStream;

/// Where user names are looked up. Other directories are not asked: they may be slow.
const USERS: &str = "/etc/passwd";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// A user name, `uid:N` where the user has none here, or `unknown`.
    pub(super) name: String,
}

impl Peer {
    /// The user at the other end of this connection (SO_PEERCRED).
    pub(super) fn of(stream: &UnixStream) -> Self {
        let name = match stream.peer_cred() {
            Ok(credentials) => {
                let users = fs::read_to_string(USERS).unwrap_or_default();
                name_of(credentials.uid(), &users)
            }
            Err(_) => "unknown".to_owned(),
        };
        Self { name }
    }

    /// Whom the history names: the user, and before it the person they say they act for.
    pub(super) fn acting_for(&self, person: Option<&str>) -> String {
        match person {
            Some(person) => format!("{person} (as {})", self.name),
            None => self.name.clone(),
        }
    }
}

/// The name of a user in the lines of passwd(5).
fn name_of(uid: u32, users: &str) -> String {
    users
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id: u32 = fields.nth(1)?.parse().ok()?;
            (id == uid && !name.is_empty()).then(|| name.to_owned())
        })
        .next()
        .unwrap_or_else(|| format!("uid:{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_users_have_their_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nmail:x:8:8::/:\n:x:9:9::/:\n";
        assert_eq!(name_of(0, users), "root");
        assert_eq!(name_of(8, users), "mail");
        assert_eq!(name_of(9, users), "uid:9");
        assert_eq!(name_of(1000, ""), "uid:1000");
    }
}

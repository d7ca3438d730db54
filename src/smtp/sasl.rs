//! SASL as SMTP clients use it: PLAIN in one response, LOGIN in two prompts (RFC 4954, RFC 4616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::command::Mechanism;

/// What a client says to prove who it is.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password; never shown.
    pub password: SecretString,
}

/// An exchange in progress.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN: the one response is awaited.
    Plain,
    /// LOGIN: the user name is awaited.
    User,
    /// LOGIN: the password is awaited.
    Password {
        /// The name that was given.
        user: String,
    },
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// The client is asked for more with this prompt, base64.
    Prompt(&'static str),
    /// The client has said who it is.
    Done(Credentials),
    /// The client gave up with `*`.
    Cancelled,
    /// The response is not what the mechanism expects.
    Malformed,
}

/// `Username:` in base64.
const USER_PROMPT: &str = "VXNlcm5hbWU6";
/// `Password:` in base64.
const PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

impl Exchange {
    /// Begins an exchange; the prompt is what to ask for first.
    #[must_use]
    pub const fn begin(mechanism: Mechanism) -> (Self, &'static str) {
        match mechanism {
            Mechanism::Plain => (Self::Plain, ""),
            Mechanism::Login => (Self::User, USER_PROMPT),
        }
    }

    /// Takes one response, without its CRLF.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        if response == b"*" {
            return Step::Cancelled;
        }
        let Ok(decoded) = STANDARD.decode(response) else {
            return Step::Malformed;
        };
        let Ok(text) = String::from_utf8(decoded) else {
            return Step::Malformed;
        };
        match self {
            Self::Plain => plain(&text),
            Self::User if text.is_empty() || text.contains('\0') => Step::Malformed,
            Self::User => {
                *self = Self::Password { user: text };
                Step::Prompt(PASSWORD_PROMPT)
            }
            Self::Password { user } => Step::Done(Credentials {
                user: std::mem::take(user),
                password: text.into(),
            }),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`; acting for somebody else is not supported.
fn plain(text: &str) -> Step {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(acting_for), Some(user), Some(password), None)
            if !user.is_empty() && (acting_for.is_empty() || acting_for == user) =>
        {
            Step::Done(Credentials {
                user: user.to_owned(),
                password: password.to_owned().into(),
            })
        }
        _ => Step::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn plain_response(text: &str) -> Step {
        Exchange::Plain.respond(STANDARD.encode(text).as_bytes())
    }

    #[test]
    fn plain_takes_user_and_password() {
        for text in ["\0u\0p w", "u\0u\0p w"] {
            let Step::Done(credentials) = plain_response(text) else {
                panic!("{text:?}")
            };
            assert_eq!(credentials.user, "u");
            assert_eq!(credentials.password.expose_secret(), "p w");
            assert!(
                !format!("{credentials:?}").contains("p w"),
                "a password is never shown"
            );
        }
    }

    #[test]
    fn x31_malformed_responses_are_refused() {
        for text in ["a\0b\0c\0d", "\0\0p", "", "\0u", "other\0u\0p"] {
            assert!(matches!(plain_response(text), Step::Malformed), "{text:?}");
        }
        assert!(matches!(Exchange::Plain.respond(b"="), Step::Malformed));
        assert!(matches!(Exchange::Plain.respond(b"*"), Step::Cancelled));
        assert!(matches!(Exchange::User.respond(b""), Step::Malformed));
    }

    #[test]
    fn login_asks_twice() {
        let (mut exchange, prompt) = Exchange::begin(Mechanism::Login);
        assert_eq!(prompt, USER_PROMPT);
        assert!(matches!(
            exchange.respond(b"dQ=="),
            Step::Prompt(PASSWORD_PROMPT)
        ));
        let Step::Done(credentials) = exchange.respond(b"cA==") else {
            panic!()
        };
        assert_eq!(
            (
                credentials.user.as_str(),
                credentials.password.expose_secret()
            ),
            ("u", "p")
        );
    }
}

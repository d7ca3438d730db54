//! `sendgate recipient` shows what is known of a recipient, and changes it.

mod render;

use std::path::Path;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::client::{Client, encode, parse};
use super::text;
use crate::suppression::Scope;
use crate::timestamp::Timestamp;

/// What to do with which recipient.
#[derive(Debug, Clone)]
pub struct Request {
    /// The address, in any spelling.
    pub address: String,
    /// Whose list; the gateway knows which where there is only one.
    pub tenant: Option<String>,
    /// Print the gateway's answer as it is.
    pub json: bool,
    /// What to do.
    pub command: Command,
}

/// What to do with a recipient.
#[derive(Debug, Clone)]
pub enum Command {
    /// Tell what is known, and whether mail would go through.
    Show,
    /// Tell what happened.
    History {
        /// How many entries at most; none for the gateway's choice.
        limit: Option<usize>,
    },
    /// Record that consent was withdrawn.
    OptOut {
        /// What it covers; none for everything.
        scope: Option<Scope>,
        /// Why.
        reason: Option<String>,
        /// A remark.
        comment: Option<String>,
        /// What proves it.
        evidence: Option<String>,
    },
    /// Record that consent was given.
    OptIn {
        /// What it covers; none for everything.
        scope: Option<Scope>,
        /// Why; required by the gateway.
        reason: Option<String>,
        /// A remark.
        comment: Option<String>,
        /// What proves it.
        evidence: Option<String>,
    },
    /// Set Do Not Email.
    Block {
        /// Why.
        reason: Option<String>,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// Clear Do Not Email.
    Unblock {
        /// Why; required by the gateway.
        reason: Option<String>,
    },
    /// Set bounces back to none; neither means both.
    ResetBounces {
        /// The hard ones.
        hard: bool,
        /// The soft ones.
        soft: bool,
        /// Why.
        reason: Option<String>,
    },
}

/// Asks the gateway at `socket` and prints its answer.
///
/// # Errors
/// When no gateway answers or it refuses.
pub async fn run(request: &Request, socket: &Path) -> anyhow::Result<()> {
    text::print(&ask(request, socket).await?)?;
    Ok(())
}

/// What is printed.
pub(crate) async fn ask(request: &Request, socket: &Path) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let path = path(request);
    let answer = match &request.command {
        Command::Show | Command::History { .. } => client.get(&path).await?,
        change => client.post(&path, &body(change)).await?,
    };
    if request.json {
        return Ok(answer + "\n");
    }
    Ok(match &request.command {
        Command::Show => render::recipient(&parse(&answer)?),
        Command::History { .. } => render::history(&parse(&answer)?),
        _ => render::changed(&parse(&answer)?),
    })
}

fn path(request: &Request) -> String {
    let action = match &request.command {
        Command::Show => "",
        Command::History { .. } => "/history",
        Command::OptOut { .. } => "/opt-out",
        Command::OptIn { .. } => "/opt-in",
        Command::Block { .. } => "/block",
        Command::Unblock { .. } => "/unblock",
        Command::ResetBounces { .. } => "/reset-bounces",
    };
    let mut query = Vec::new();
    if let Some(tenant) = &request.tenant {
        query.push(format!("tenant={}", encode(tenant)));
    }
    if let Command::History { limit: Some(limit) } = &request.command {
        query.push(format!("limit={limit}"));
    }
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    format!("/v1/recipients/{}{action}{query}", encode(&request.address))
}

fn body(command: &Command) -> Value {
    let fields = match command {
        Command::Show | Command::History { .. } => Vec::new(),
        Command::OptOut {
            scope,
            reason,
            comment,
            evidence,
        }
        | Command::OptIn {
            scope,
            reason,
            comment,
            evidence,
        } => vec![
            ("scope", json!(scope)),
            ("reason", json!(reason)),
            ("comment", json!(comment)),
            ("evidence", json!(evidence)),
        ],
        Command::Block { reason, until } => {
            vec![("reason", json!(reason)), ("until", json!(until))]
        }
        Command::Unblock { reason } => vec![("reason", json!(reason))],
        Command::ResetBounces { hard, soft, reason } => {
            let mut fields = vec![("reason", json!(reason))];
            if *hard || *soft {
                fields.extend([("hard", json!(hard)), ("soft", json!(soft))]);
            }
            fields
        }
    };
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        given
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

/// Reads a moment as people type it: RFC 3339, or a date that stands for its first moment in UTC.
///
/// # Errors
/// When the text is neither.
pub fn parse_moment(text: &str) -> anyhow::Result<Timestamp> {
    let is_date = text.len() == "2026-11-22".len();
    let written = if is_date {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    match written.parse() {
        Ok(moment) => Ok(moment),
        Err(_) => bail!("not a date or time: give 2026-11-22 or 2026-11-22T06:20:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: Command) -> Request {
        Request {
            address: "a/b@example.net".to_owned(),
            tenant: Some("acme".to_owned()),
            json: false,
            command,
        }
    }

    #[test]
    fn a_command_becomes_a_request() {
        assert_eq!(
            path(&request(Command::History { limit: Some(3) })),
            "/v1/recipients/a%2Fb%40example.net/history?tenant=acme&limit=3"
        );
        let reset = Command::ResetBounces {
            hard: false,
            soft: true,
            reason: None,
        };
        assert_eq!(body(&reset), json!({"hard": false, "soft": true}));
        let block = Command::Block {
            reason: Some("asked by phone".to_owned()),
            until: Some(parse_moment("2026-12-01").unwrap()),
        };
        assert_eq!(
            body(&block),
            json!({"reason": "asked by phone", "until": "2026-12-01T00:00:00.000Z"})
        );
    }

    #[test]
    fn moments_are_dates_or_times() {
        let day = parse_moment("2026-11-22").unwrap();
        assert_eq!(day.to_string(), "2026-11-22T00:00:00.000Z");
        let moment = parse_moment("2026-11-22T08:20:00+02:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-22T06:20:00.000Z");
        assert!(parse_moment("tomorrow").is_err());
        assert!(parse_moment("2026-13-01").is_err());
    }
}

//! `sendgate pending` shows the bounces that the brake on learning holds, and decides on them.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::args::{PendingCommand, Which};
use super::client::{Client, encode, parse};
use super::text::{self, columns, moment, plain};
use crate::http::answer::{Decided, PendingCause, PendingCauses};
use crate::suppression::Tenant;

/// Asks the gateway at `socket` and prints what it answers.
///
/// # Errors
/// When no gateway answers or it refuses. What was decided until then stays decided.
pub async fn run(command: &PendingCommand, socket: &Path) -> anyhow::Result<()> {
    let client = Client::new(socket);
    match command {
        PendingCommand::List { tenant, json } => {
            let answer = client.get(&list_path(tenant.as_ref())).await?;
            let shown = if *json {
                answer + "\n"
            } else {
                list(&parse(&answer)?)
            };
            text::print(&shown)?;
        }
        PendingCommand::Accept { which } => decide(&client, which, "accept").await?,
        PendingCommand::Drop { which } => decide(&client, which, "drop").await?,
    }
    Ok(())
}

fn list_path(tenant: Option<&Tenant>) -> String {
    match tenant {
        Some(tenant) => format!("/v1/pending?tenant={}", encode(tenant.as_str())),
        None => "/v1/pending".to_owned(),
    }
}

/// Decides on each cause that is meant, page by page until nothing is left.
async fn decide(client: &Client, which: &Which, decision: &str) -> anyhow::Result<()> {
    let answer = client.get(&list_path(which.tenant.as_ref())).await?;
    let PendingCauses { pending } = parse(&answer)?;
    let meant: Vec<PendingCause> = pending
        .into_iter()
        .filter(|pending| which.all || which.cause.as_deref() == Some(pending.cause.as_str()))
        .collect();
    if meant.is_empty() {
        if which.all {
            text::print("nothing is pending\n")?;
            return Ok(());
        }
        bail!("nothing of this cause is pending: see \"sendgate pending list\"");
    }
    let body = match &which.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    for cause in meant {
        let decided = decide_one(client, &cause, decision, &body).await?;
        let line = if which.json {
            let done = json!({ "tenant": cause.tenant, "cause": cause.cause,
                "decision": decision, "decided": decided });
            format!("{done}\n")
        } else {
            let done = if decision == "accept" {
                "recorded"
            } else {
                "dropped"
            };
            format!("{}: {decided} bounces {done}\n", cause.cause)
        };
        text::print(&line)?;
    }
    Ok(())
}

async fn decide_one(
    client: &Client,
    cause: &PendingCause,
    decision: &str,
    body: &Value,
) -> anyhow::Result<u64> {
    let path = format!(
        "/v1/pending/{}/{decision}?tenant={}",
        cause.cause,
        encode(cause.tenant.as_str())
    );
    let (mut total, mut seen) = (0, 0);
    loop {
        let answer: Decided = parse(&client.post(&path, body).await?)?;
        let looked_at = answer.decided + answer.known;
        total += answer.decided;
        seen += looked_at;
        // What comes while we decide is for the next decision, or this would never end.
        if answer.left == 0 || looked_at == 0 || seen >= cause.held {
            return Ok(total);
        }
    }
}

fn list(causes: &PendingCauses) -> String {
    if causes.pending.is_empty() {
        return "nothing is pending\n".to_owned();
    }
    causes.pending.iter().map(describe).collect()
}

fn describe(cause: &PendingCause) -> String {
    let hold = &cause.hold;
    let state = match hold.free_until {
        None => "held".to_owned(),
        Some(until) => format!(
            "accepted until {}; accept again to record the rest",
            moment(until)
        ),
    };
    let provider = if hold.provider.is_empty() {
        "any".to_owned()
    } else {
        hold.provider.clone()
    };
    let rows = [
        ("tenant", cause.tenant.to_string()),
        ("since", moment(hold.since)),
        ("state", state),
        ("bounces", cause.held.to_string()),
        ("provider", provider),
        ("host", hold.host.clone()),
        ("words", format!("\"{}\"", hold.words)),
        (
            "brake",
            format!(
                "{} recipients, of {} messages relayed there",
                hold.recipients, hold.relayed
            ),
        ),
        ("such as", cause.examples.join(", ")),
    ]
    .map(|(name, value)| vec![format!("  {name}"), value]);
    format!("{}\n{}", plain(cause.cause.as_str()), columns(None, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::lessons::{CauseId, Hold};
    use crate::timestamp::Timestamp;

    #[test]
    fn a_cause_is_told_in_full_and_harmless() {
        let cause = PendingCause {
            tenant: Tenant::default(),
            cause: CauseId::of(&[b"a"]),
            held: 12,
            examples: vec!["a@example.net".to_owned(), "b@example.net".to_owned()],
            hold: Hold {
                provider: "example.net".to_owned(),
                host: "mx.example.net".to_owned(),
                words: "550 \u{1b}[2J unknown".to_owned(),
                since: Timestamp::from_millis(0),
                recipients: 51,
                relayed: 900,
                free_until: None,
            },
        };
        let told = list(&PendingCauses {
            pending: vec![cause],
        });
        for part in [
            "550 ?[2J unknown",
            "51 recipients, of 900 messages",
            "a@example.net, b@example.net",
            "1970-01-01 00:00:00Z",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let none = PendingCauses {
            pending: Vec::new(),
        };
        assert_eq!(list(&none), "nothing is pending\n");
    }
}

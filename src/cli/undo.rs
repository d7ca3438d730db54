//! `sendgate undo` takes back a batch of what was learnt by mistake, or tells what it would.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::UndoArgs;
use super::client::{Client, encode, parse};
use super::text::{self, columns};
use crate::http::answer::{Undone, UndoneGroup};

/// Most groups that are told; of more, the largest.
const GROUPS_SHOWN: usize = 20;

/// Most groups that are kept while the answers come.
const GROUP_LIMIT: usize = 10_000;

/// Most addresses that are told.
const EXAMPLES_SHOWN: usize = 10;

/// Asks the gateway at `socket` page by page, and prints what came of it.
///
/// # Errors
/// When no gateway answers or it refuses. What was undone until then stays undone; the same command
/// goes on with the rest.
pub async fn run(args: &UndoArgs, socket: &Path) -> anyhow::Result<()> {
    let client = Client::new(socket);
    let mut path = "/v1/undo".to_owned();
    if let Some(tenant) = &args.tenant {
        path = format!("{path}?tenant={}", encode(tenant.as_str()));
    }
    let mut sum = Sum::default();
    let mut from = None;
    let show_progress = io::stderr().is_terminal();
    loop {
        let answer: Undone = parse(&client.post(&path, &body(args, from.as_deref())).await?)?;
        from.clone_from(&answer.next);
        sum.add(answer);
        if show_progress {
            // A line that cannot be shown keeps nobody from undoing.
            let _ = write!(
                io::stderr(),
                "\r{} found, {} undone",
                sum.matched,
                sum.undone
            );
        }
        if from.is_none() {
            break;
        }
    }
    if show_progress {
        let _ = writeln!(io::stderr());
    }
    text::print(&if args.json {
        format!("{}\n", sum.json(args.dry_run))
    } else {
        sum.told(args.dry_run)
    })?;
    Ok(())
}

fn body(args: &UndoArgs, from: Option<&str>) -> Value {
    let fields = [
        ("since", json!(args.since)),
        ("until", json!(args.until)),
        ("reason", json!(args.reason)),
        ("diagnostic", json!(args.diagnostic)),
        ("dry_run", json!(args.dry_run)),
        ("comment", json!(args.comment)),
        ("from", json!(from)),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        given
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

/// All answers together.
#[derive(Debug, Default)]
struct Sum {
    matched: u64,
    undone: u64,
    said_again: u64,
    forgotten: u64,
    groups: BTreeMap<(String, String, String), u64>,
    examples: Vec<String>,
}

impl Sum {
    fn add(&mut self, answer: Undone) {
        self.matched += answer.matched;
        self.undone += answer.undone;
        self.said_again += answer.said_again;
        self.forgotten += answer.forgotten;
        for group in answer.groups {
            let UndoneGroup {
                reason,
                provider,
                host,
                count,
            } = group;
            let key = (reason, provider, host);
            if self.groups.len() < GROUP_LIMIT || self.groups.contains_key(&key) {
                *self.groups.entry(key).or_default() += count;
            }
        }
        let room = EXAMPLES_SHOWN.saturating_sub(self.examples.len());
        self.examples.extend(answer.examples.into_iter().take(room));
    }

    /// The groups, the largest first.
    fn largest(&self) -> Vec<(&(String, String, String), u64)> {
        let mut groups: Vec<_> = self
            .groups
            .iter()
            .map(|(key, count)| (key, *count))
            .collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        groups
    }

    fn json(&self, dry_run: bool) -> Value {
        let groups: Vec<Value> = self
            .largest()
            .into_iter()
            .map(|((reason, provider, host), count)| {
                json!({ "reason": reason, "provider": provider, "host": host, "count": count })
            })
            .collect();
        json!({ "dry_run": dry_run, "matched": self.matched, "undone": self.undone,
            "said_again": self.said_again, "forgotten": self.forgotten, "groups": groups, "examples": self.examples })
    }

    fn told(&self, dry_run: bool) -> String {
        let would = if dry_run { "would be undone" } else { "undone" };
        let mut told = format!("{} lessons found, {} {would}\n", self.matched, self.undone);
        let named = self.undone + self.said_again + self.forgotten;
        let others = [
            (self.said_again, "stand: the same was said again since then"),
            (
                self.forgotten,
                "left alone: older than what the recipient's history still holds",
            ),
            (
                self.matched.saturating_sub(named),
                "left alone: they never counted, do not count any more, or recipients said them \
                 themselves",
            ),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            told.push_str(&format!("{count} {what}\n"));
        }
        if self.undone == 0 {
            return told;
        }
        let rows: Vec<Vec<String>> = self
            .largest()
            .into_iter()
            .take(GROUPS_SHOWN)
            .map(|((reason, provider, host), count)| {
                vec![
                    count.to_string(),
                    reason.clone(),
                    provider.clone(),
                    host.clone(),
                ]
            })
            .collect();
        told.push('\n');
        told.push_str(&columns(
            Some(&["how many", "reason", "provider", "told by"]),
            &rows,
        ));
        let more = self.groups.len().saturating_sub(GROUPS_SHOWN);
        if more > 0 {
            told.push_str(&format!("and {more} smaller groups\n"));
        }
        told.push_str(&format!(
            "\nsuch as {}\n",
            text::plain(&self.examples.join(", "))
        ));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suppression::Tenant;

    fn answer(host: &str, count: u64) -> Undone {
        Undone {
            tenant: Tenant::default(),
            dry_run: true,
            matched: count + 1,
            undone: count,
            said_again: 0,
            forgotten: 0,
            groups: vec![UndoneGroup {
                reason: "user_unknown".to_owned(),
                provider: "example.net".to_owned(),
                host: host.to_owned(),
                count,
            }],
            examples: vec!["a@example.net".to_owned(); 8],
            next: None,
        }
    }

    #[test]
    fn answers_are_added_up() {
        let mut sum = Sum::default();
        assert!(sum.told(true).starts_with("0 lessons found, 0 would be"));
        sum.add(answer("one.example", 2));
        sum.add(answer("two.example", 7));
        let last = Undone {
            matched: 7,
            said_again: 2,
            forgotten: 3,
            ..answer("one.example", 1)
        };
        sum.add(last);
        let told = sum.told(false);
        assert!(told.starts_with("18 lessons found, 10 undone"), "{told}");
        for part in ["2 stand", "3 left alone: older", "3 left alone: they never"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let (two, one) = (told.find("two.example"), told.find("one.example"));
        assert!(two < one, "the largest first: {told}");
        assert_eq!(sum.examples.len(), EXAMPLES_SHOWN);
        assert_eq!(sum.json(true)["groups"][1]["count"], 3);
    }
}

//! A *bulk* of commits goes to Redis in one write: some scripts, each with some of the commits.
//!
//! A script that commits many costs the server half as much for each as a script for each. No script
//! runs long, so that look-ups of others find their turn between two of them.

use std::collections::HashSet;
use std::sync::LazyLock;

use redis::{Cmd, Pipeline, Script, Value};

use super::super::codec;
use super::super::{Commit, CommitOutcome, HISTORY_LIMIT, StoreError, Versioned};
use super::{META, RedisStore, replies, to_remember};
use crate::suppression::{RecipientKey, Tenant};

/// Commits of one script: more would make its arguments slow to handle, and others wait.
const SCRIPT_COMMITS: usize = 40;

const TEXT: &str = include_str!("commit_many.lua");
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

type Outcome = Result<CommitOutcome, StoreError>;

/// A commit in the words of the script.
struct Words {
    /// What the names of its keys begin with.
    keys: String,
    seen: String,
    version: String,
    remember: String,
    entry: String,
    fields: Vec<codec::Field>,
}

impl RedisStore {
    pub(super) async fn ask_for_versions(
        &self,
        tenant: &Tenant,
        keys: &[RecipientKey],
    ) -> Result<Vec<Result<Versioned, StoreError>>, StoreError> {
        let limit = self.write_timeout();
        let found = self.ask_for_records(tenant, keys, limit).await?;
        Ok(found.iter().map(replies::record).collect())
    }

    pub(super) async fn write_many(
        &self,
        commits: &[Commit<'_>],
    ) -> Result<Vec<Outcome>, StoreError> {
        let generation = self.generation.expected()?;
        let mut outcomes = Vec::with_capacity(commits.len());
        let mut words = Vec::with_capacity(commits.len());
        for (place, commit) in commits.iter().enumerate() {
            match Words::of(commit) {
                Ok(ready) => {
                    words.push((place, ready));
                    // The server's answer replaces this.
                    outcomes.push(Err(replies::unexpected()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        let parts: Vec<_> = words.chunks(part_size(commits)).collect();
        // The library takes no empty request, and one would cost the connection.
        if parts.is_empty() {
            return Ok(outcomes);
        }
        let mut commands = Pipeline::with_capacity(parts.len());
        for part in &parts {
            commands.add_command(script("EVALSHA", SCRIPT.get_hash(), &generation, part));
        }
        let mut replies = self.ask(&commands, self.write_timeout()).await?;
        self.send_text_where_unknown(&parts, &mut replies, &generation)
            .await?;
        for (part, reply) in parts.iter().zip(&replies) {
            let answers = self.answers(reply)?;
            for ((place, _), answer) in part.iter().zip(answers) {
                outcomes[*place] = outcome(*answer);
            }
        }
        Ok(outcomes)
    }

    /// A server that does not know the script gets its text (S3).
    async fn send_text_where_unknown(
        &self,
        parts: &[&[(usize, Words)]],
        replies: &mut [Value],
        generation: &str,
    ) -> Result<(), StoreError> {
        let is_unknown = |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT");
        let unknown: Vec<usize> = replies
            .iter()
            .enumerate()
            .filter_map(|(place, reply)| is_unknown(reply).then_some(place))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(unknown.len());
        for place in &unknown {
            commands.add_command(script("EVAL", TEXT, generation, parts[*place]));
        }
        let again = self.ask(&commands, self.write_timeout()).await?;
        for (place, reply) in unknown.into_iter().zip(again) {
            replies[place] = reply;
        }
        Ok(())
    }

    /// The letters that the script answered.
    fn answers<'a>(&self, reply: &'a Value) -> Result<&'a [u8], StoreError> {
        let answers = replies::optional_text(reply)?.unwrap_or_default();
        if answers == b"another generation" {
            self.generation.check(None)?;
        }
        Ok(answers)
    }
}

fn outcome(answer: u8) -> Outcome {
    match answer {
        b'c' => Ok(CommitOutcome::Committed),
        b'd' => Ok(CommitOutcome::Duplicate),
        b'f' => Ok(CommitOutcome::Conflict),
        b'u' => Err(StoreError::Corrupt(
            "a record has no version, or something else stands in its place".to_owned(),
        )),
        _ => Err(replies::unexpected()),
    }
}

/// A script compares all of its commits before it writes, so none may be about the same record.
fn part_size(commits: &[Commit<'_>]) -> usize {
    let mut records = HashSet::with_capacity(commits.len());
    let differ = commits
        .iter()
        .all(|commit| records.insert((commit.tenant, commit.key)));
    if differ { SCRIPT_COMMITS } else { 1 }
}

fn script(command: &str, script: &str, generation: &str, part: &[(usize, Words)]) -> Cmd {
    let words = part.iter().map(|(_, words)| words.count()).sum::<usize>();
    let size = part.iter().map(|(_, words)| words.size()).sum::<usize>();
    let mut cmd = Cmd::with_capacity(words + 6, size + script.len() + 256);
    cmd.arg(command);
    cmd.arg(script).arg(3 * part.len() + 1).arg(META);
    for (_, words) in part {
        cmd.arg(format!("{}record", words.keys)).arg(&words.seen);
    }
    for (_, words) in part {
        cmd.arg(format!("{}history", words.keys));
    }
    cmd.arg(generation).arg(HISTORY_LIMIT);
    for (_, words) in part {
        cmd.arg(&words.version)
            .arg(&words.remember)
            .arg(&words.entry)
            .arg(2 * words.fields.len());
        for (name, value) in &words.fields {
            cmd.arg(name).arg(value);
        }
    }
    cmd
}

impl Words {
    /// How many words it is.
    const fn count(&self) -> usize {
        7 + 2 * self.fields.len()
    }

    /// How many octets it has, about.
    fn size(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
        2 * self.keys.len() + self.seen.len() + self.entry.len() + fields + 64
    }

    fn of(commit: &Commit<'_>) -> Result<Self, StoreError> {
        let keys = super::name(commit.tenant, commit.key, "");
        Ok(Self {
            seen: format!("{keys}seen:{}", commit.event_id()),
            keys,
            version: commit.expected_version.to_string(),
            remember: to_remember(commit).as_millis().to_string(),
            entry: codec::encode_entry(commit.entry)?,
            fields: codec::encode(commit.record, commit.expected_version.saturating_add(1))?,
        })
    }
}

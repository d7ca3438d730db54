//! The [`RedisStore`] keeps records in one Redis server, for any number of gateways.
//!
//! A record is a hash, its history a capped list, and each event id a key that expires. The three
//! share a hash tag; one script commits them together and knows no rule of ours.

mod bounded;
mod bulk;
mod connect;
mod gather;
mod guarded;
mod lessons;
mod link;
mod options;
mod replies;
mod returns;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Script, Value};
use tokio::runtime::Handle;
use tokio::time::timeout;

pub use self::options::{RedisConfigError, RedisOptions};

use self::gather::{Desk, Gatherer};
use self::link::{Link, Rumour};
use self::options::Target;
use super::generation::{Alarm, Generation};
use super::{
    BoxFuture, Commit, CommitOutcome, HISTORY_LIMIT, HistoryEntry, Meta, Store, StoreError,
    TransactionId, Versioned, WRITE_FACTOR, codec,
};
use crate::suppression::{Finding, RecipientKey, Tenant};

/// The hash that says what the store is.
const META: &str = "sendgate:meta";

/// Longest time an event is remembered: more would not fit into what Redis counts with.
const REMEMBER_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const COMMIT_TEXT: &str = include_str!("commit.lua");
static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(COMMIT_TEXT));
static CREATE_META: &str = include_str!("create_meta.lua");

/// A store in a Redis server. It connects in the background and for ever.
#[derive(Debug)]
pub struct RedisStore {
    link: Arc<Link>,
    gatherer: Gatherer,
    generation: Arc<Generation>,
    rumour: Rumour,
    timeout: Duration,
}

impl RedisStore {
    /// A store that begins to connect now. The server need not be there yet (S8).
    ///
    /// # Errors
    /// When the options cannot work, or when there is no runtime to connect in.
    pub fn new(options: &RedisOptions) -> Result<Self, RedisConfigError> {
        let runtime = Handle::try_current().map_err(|_| RedisConfigError::NoRuntime)?;
        Self::connect(options, &runtime, Generation::default(), Rumour::default())
    }

    /// Another way to the same server, with a connection of its own that `runtime` drives. Both know
    /// the same generation.
    ///
    /// # Errors
    /// When the options cannot work.
    pub fn beside(
        &self,
        options: &RedisOptions,
        runtime: &Handle,
    ) -> Result<Self, RedisConfigError> {
        let generation = self.generation.beside();
        Self::connect(options, runtime, generation, self.rumour.clone())
    }

    fn connect(
        options: &RedisOptions,
        runtime: &Handle,
        generation: Generation,
        rumour: Rumour,
    ) -> Result<Self, RedisConfigError> {
        let generation = Arc::new(generation);
        let target = Target::new(options)?;
        let link = Arc::new(Link::start(
            runtime,
            target,
            options.timeout,
            rumour.clone(),
        ));
        let desk = Desk {
            link: Arc::clone(&link),
            generation: Arc::clone(&generation),
            alarm: Alarm::default(),
            timeout: options.timeout,
        };
        Ok(Self {
            link,
            gatherer: Gatherer::start(runtime, desk),
            generation,
            rumour,
            timeout: options.timeout,
        })
    }

    /// One round trip for all keys. What is wrong with one key is found in its own reply.
    async fn ask_for_records(
        &self,
        tenant: &Tenant,
        keys: &[RecipientKey],
        limit: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let mut commands = commands(keys.len());
        for key in keys {
            commands.cmd("HGETALL").arg(record_name(tenant, key));
        }
        self.checked(&commands, limit).await
    }

    /// Asks commands of which the first is for the generation; answers the replies to the others.
    async fn checked(
        &self,
        commands: &redis::Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        checked(&self.generation, &self.link, commands, limit).await
    }

    async fn ask(
        &self,
        commands: &redis::Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        ask(&self.link, commands, limit).await
    }

    async fn ask_one(
        &self,
        command: &str,
        script: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Value, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd(command).arg(script).arg(arguments);
        let replies = self.ask(&commands, self.write_timeout()).await?;
        Ok(replies.into_iter().next().unwrap_or_default())
    }

    /// Runs a script by its hash, and sends its text when the server does not know it (S3).
    async fn run_script(
        &self,
        script: &Script,
        text: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Value, StoreError> {
        let reply = self
            .ask_one("EVALSHA", script.get_hash(), arguments)
            .await?;
        if matches!(&reply, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            return self.ask_one("EVAL", text, arguments).await;
        }
        Ok(reply)
    }

    async fn run_commit(&self, arguments: &[Vec<u8>]) -> Result<CommitOutcome, StoreError> {
        let reply = self.run_script(&COMMIT, COMMIT_TEXT, arguments).await?;
        match replies::optional_text(&reply)? {
            Some(b"committed") => Ok(CommitOutcome::Committed),
            Some(b"duplicate") => Ok(CommitOutcome::Duplicate),
            Some(b"conflict") => Ok(CommitOutcome::Conflict),
            Some(b"unreadable") => Err(StoreError::Corrupt("a record has no version".to_owned())),
            Some(b"another generation") => {
                self.generation.check(None)?;
                Err(replies::unexpected())
            }
            _ => Err(replies::unexpected()),
        }
    }

    fn write_timeout(&self) -> Duration {
        self.timeout.saturating_mul(WRITE_FACTOR)
    }

    fn commit_arguments(&self, commit: &Commit<'_>) -> Result<Vec<Vec<u8>>, StoreError> {
        let generation = self.generation.expected()?;
        let fields = codec::encode(commit.record, commit.expected_version.saturating_add(1))?;
        let entry = codec::encode_entry(commit.entry)?;
        let remember = to_remember(commit);
        let seen = format!("seen:{}", commit.event_id());
        let mut arguments = vec![
            "4".to_owned(),
            name(commit.tenant, commit.key, "record"),
            name(commit.tenant, commit.key, "history"),
            name(commit.tenant, commit.key, &seen),
            META.to_owned(),
            generation.as_str().to_owned(),
            commit.expected_version.to_string(),
            remember.as_millis().to_string(),
            HISTORY_LIMIT.to_string(),
            entry,
        ];
        for (name, value) in fields {
            arguments.extend([name, value]);
        }
        Ok(arguments.into_iter().map(String::into_bytes).collect())
    }
}

impl Store for RedisStore {
    fn look_up<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            match self.gatherer.records(tenant, keys).await {
                Some(found) if found.len() == keys.len() => keys
                    .iter()
                    .zip(found)
                    .map(|(key, reply)| replies::finding(tenant, key, &reply))
                    .collect(),
                Some(_) | None => vec![Finding::Unavailable; keys.len()],
            }
        })
    }

    fn read<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
    ) -> BoxFuture<'a, Result<Versioned, StoreError>> {
        Box::pin(async move {
            let mut commands = commands(1);
            commands.cmd("HGETALL").arg(name(tenant, key, "record"));
            let found = self.checked(&commands, self.write_timeout()).await?;
            replies::record(found.first().unwrap_or(&Value::Nil))
        })
    }

    fn commit<'a>(
        &'a self,
        commit: &'a Commit<'a>,
    ) -> BoxFuture<'a, Result<CommitOutcome, StoreError>> {
        Box::pin(async move { self.run_commit(&self.commit_arguments(commit)?).await })
    }

    fn read_many<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Result<Vec<Result<Versioned, StoreError>>, StoreError>> {
        Box::pin(self.ask_for_versions(tenant, keys))
    }

    fn commit_many<'a>(
        &'a self,
        commits: &'a [Commit<'a>],
    ) -> BoxFuture<'a, Result<Vec<Result<CommitOutcome, StoreError>>, StoreError>> {
        Box::pin(self.write_many(commits))
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HistoryEntry>, StoreError>> {
        Box::pin(async move {
            // From the end; Redis takes an index of 0 for the first.
            let from = -(limit.clamp(1, HISTORY_LIMIT) as i64);
            let mut commands = commands(1);
            commands
                .cmd("LRANGE")
                .arg(name(tenant, key, "history"))
                .arg(&[from, -1]);
            let found = self.checked(&commands, self.write_timeout()).await?;
            let mut entries = replies::history(found.first().unwrap_or(&Value::Nil))?;
            entries.truncate(limit);
            Ok(entries)
        })
    }

    fn meta(&self) -> BoxFuture<'_, Result<Option<Meta>, StoreError>> {
        Box::pin(async move {
            let mut commands = redis::pipe();
            commands.cmd("HGETALL").arg(META);
            let found = self.ask(&commands, self.write_timeout()).await?;
            replies::meta(found.first().unwrap_or(&Value::Nil))
        })
    }

    fn create_meta<'a>(&'a self, meta: &'a Meta) -> BoxFuture<'a, Result<Meta, StoreError>> {
        Box::pin(async move {
            let schema = meta.schema.to_string();
            let arguments = [
                "1",
                META,
                "schema",
                &schema,
                "key_check",
                &meta.key_check,
                "generation",
                &meta.generation,
            ]
            .map(|argument| argument.as_bytes().to_vec());
            let found = self.ask_one("EVAL", CREATE_META, &arguments).await?;
            replies::meta(&found)?.ok_or_else(replies::unexpected)
        })
    }

    fn put_sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
        recipients: &'a [RecipientKey],
        keep: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write_sent(tenant, id, recipients, keep))
    }

    fn sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<Vec<RecipientKey>>, StoreError>> {
        Box::pin(self.read_sent(tenant, id))
    }

    fn put_label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
        text: &'a str,
        keep: Option<Duration>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(self.write_label(tenant, tag, text, keep))
    }

    fn label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(self.read_label(tenant, tag))
    }

    fn expect_generation(&self, generation: &str) {
        self.generation.expect(generation);
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.checked(&commands(0), self.write_timeout())
                .await
                .map(|_| ())
        })
    }
}

/// How long the event's id is remembered; not 0, which Redis refuses after the record was written.
fn to_remember(commit: &Commit<'_>) -> Duration {
    commit
        .remember
        .clamp(Duration::from_millis(1), REMEMBER_LIMIT)
}

/// Asks commands of which the first is for the generation; answers the replies to the others.
async fn checked(
    generation: &Generation,
    link: &Link,
    commands: &redis::Pipeline,
    limit: Duration,
) -> Result<Vec<Value>, StoreError> {
    // Before we know whose store it is there is nothing to ask it.
    generation.expected()?;
    let mut replies = ask(link, commands, limit).await?.into_iter();
    let found = replies.next().unwrap_or_default();
    generation.check(replies::optional_text(&found)?)?;
    Ok(replies.collect())
}

async fn ask(
    link: &Link,
    commands: &redis::Pipeline,
    limit: Duration,
) -> Result<Vec<Value>, StoreError> {
    timeout(limit, link.ask(commands))
        .await
        .unwrap_or_else(|_late| {
            Err(StoreError::Unavailable(format!(
                "Redis did not answer within {limit:?}"
            )))
        })
}

/// Commands of which the first asks for the generation, as [`checked`] wants them, with room for
/// so many others.
fn commands(others: usize) -> redis::Pipeline {
    let mut commands = redis::Pipeline::with_capacity(others + 1);
    commands.cmd("HGET").arg(META).arg("generation");
    commands
}

/// The names of one recipient's keys share a hash tag, so that one script may write them all.
fn name(tenant: &Tenant, key: &RecipientKey, what: &str) -> String {
    format!("sendgate:{{{tenant}:{key}}}:{what}")
}

/// The name of a record, as [`name`] makes it, without the machinery of formatting: it is made for
/// every recipient of every message.
fn record_name(tenant: &Tenant, key: &RecipientKey) -> Vec<u8> {
    [
        b"sendgate:{",
        tenant.as_str().as_bytes(),
        b":",
        &key.digits(),
        b"}:record",
    ]
    .concat()
}

#[cfg(test)]
mod tests;

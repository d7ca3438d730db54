//! A [`Batch`] is a number of writes that only a store of the expected generation does, together.

use std::sync::LazyLock;

use redis::{Script, Value};

use super::{META, RedisStore, replies};
use crate::store::StoreError;

const TEXT: &str = include_str!("guarded.lua");
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

/// Commands that are run as one: nobody sees some of them done and others not.
///
/// One that fails keeps those after it from being run, but not those before it from being done: put
/// first what can fail.
#[derive(Debug, Default)]
pub(super) struct Batch {
    keys: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Batch {
    /// Adds a command on one key.
    pub(super) fn add<A: Into<Vec<u8>>>(
        &mut self,
        command: &str,
        key: &str,
        arguments: impl IntoIterator<Item = A>,
    ) {
        let place = self.words.len();
        self.words.push(Vec::new());
        self.words.push(command.into());
        self.words.push(key.into());
        self.words.extend(arguments.into_iter().map(Into::into));
        let count = self.words.len() - place - 1;
        self.words[place] = count.to_string().into_bytes();
        self.keys.push(key.into());
    }
}

impl RedisStore {
    /// Runs the commands; answers what each replied.
    pub(super) async fn run_batch(&self, batch: Batch) -> Result<Vec<Value>, StoreError> {
        let generation = self.generation.expected()?;
        let mut arguments = vec![
            (batch.keys.len() + 1).to_string().into_bytes(),
            META.as_bytes().to_vec(),
        ];
        arguments.extend(batch.keys);
        arguments.push(generation.as_bytes().to_vec());
        arguments.extend(batch.words);
        match self.run_script(&SCRIPT, TEXT, &arguments).await? {
            Value::Array(replies) => Ok(replies),
            other => {
                if replies::optional_text(&other)? == Some(b"another generation") {
                    self.generation.check(None)?;
                }
                Err(replies::unexpected())
            }
        }
    }
}

//! An [`Identity`] makes sure that the store is ours and is still the one we knew.
//!
//! A flushed or swapped store looks like "nobody is suppressed". So every store carries a
//! *generation*, a random value made when it was set up. We remember it in a local file, and a
//! store without it, or with another, is not answered from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::pepper::{random_hex, sync_folder};
use super::{Meta, SCHEMA, Store, StoreError};
use crate::suppression::KeyMaker;

/// Longest state file that is read, in octets.
const STATE_FILE_LIMIT: u64 = 256;

/// What we expect a store to be.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Made with the pepper; its check value must be the store's.
    pub keys: KeyMaker,
    /// Where the generation is remembered.
    pub state_file: PathBuf,
    /// Whether an empty store may be set up when we never knew one.
    pub create: bool,
}

impl Identity {
    /// Compares the store with what we expect, and lets it answer when it is ours.
    ///
    /// It may be called again and again until the store is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the store does not answer, was emptied or was swapped: it
    /// may come back. [`StoreError::Foreign`] when it was filled with another pepper or by
    /// another version of this program: it never will.
    pub async fn establish(&self, store: &dyn Store) -> Result<(), StoreError> {
        let remembered = self.remembered()?;
        let meta = match (store.meta().await?, &remembered) {
            (Some(meta), _) => meta,
            (None, None) if self.create => store.create_meta(&self.new_meta()?).await?,
            (None, Some(_)) => return Err(self.emptied()),
            (None, None) => return Err(never_set_up()),
        };
        self.check(&meta)?;
        match remembered {
            Some(generation) if generation != meta.generation => return Err(self.swapped()),
            Some(_) => {}
            None => self.remember(&meta.generation)?,
        }
        store.expect_generation(&meta.generation);
        Ok(())
    }

    fn check(&self, meta: &Meta) -> Result<(), StoreError> {
        if meta.schema != SCHEMA {
            return Err(StoreError::Foreign(format!(
                "the store has layout {}, this program reads layout {SCHEMA}; run the version that wrote it",
                meta.schema
            )));
        }
        // Not a secret: it tells peppers apart and is made from nothing else.
        if meta.key_check != self.keys.check_value() {
            return Err(StoreError::Foreign(
                "the store was filled with another pepper, so no recipient would be found in it; \
                 restore the pepper file that belongs to it"
                    .to_owned(),
            ));
        }
        if meta.generation.is_empty() {
            return Err(StoreError::Corrupt("the generation is empty".to_owned()));
        }
        Ok(())
    }

    fn new_meta(&self) -> Result<Meta, StoreError> {
        Ok(Meta {
            schema: SCHEMA,
            key_check: self.keys.check_value(),
            generation: random_hex::<16>()
                .map_err(|error| StoreError::Unavailable(format!("no random numbers: {error}")))?,
        })
    }

    fn emptied(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the store was emptied or swapped: it was set up and is no longer; restore it, or \
             remove {} to accept an empty store, in which nobody is suppressed",
            self.state_file.display()
        ))
    }

    fn swapped(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the store is not the one that was used before; connect the right one, or remove {} \
             to accept this one",
            self.state_file.display()
        ))
    }

    fn remembered(&self) -> Result<Option<String>, StoreError> {
        let mut text = String::new();
        match File::open(&self.state_file) {
            Ok(file) => file
                .take(STATE_FILE_LIMIT)
                .read_to_string(&mut text)
                .map_err(|error| self.unreadable(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(&error)),
        };
        match text.trim() {
            "" => Err(self.unreadable(&"it is empty")),
            generation => Ok(Some(generation.to_owned())),
        }
    }

    fn unreadable(&self, cause: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unavailable(format!(
            "{} remembers which store was used and cannot be read: {cause}; make it readable, or \
             remove it to accept the store that is connected",
            self.state_file.display()
        ))
    }

    fn remember(&self, generation: &str) -> Result<(), StoreError> {
        self.write(generation).map_err(|error| {
            StoreError::Unavailable(format!(
                "the generation of the store cannot be remembered in {}: {error}; make its folder writable",
                self.state_file.display()
            ))
        })
    }

    /// After a crash there is the whole file or none.
    fn write(&self, generation: &str) -> io::Result<()> {
        if let Some(folder) = self.state_file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut name = self.state_file.clone().into_os_string();
        name.push(format!(".{}", random_hex::<4>()?));
        let temporary = PathBuf::from(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = writeln!(file, "{generation}")
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &self.state_file));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        sync_folder(&self.state_file)
    }
}

fn never_set_up() -> StoreError {
    StoreError::Unavailable(
        "the store is empty and store.create is off; restore it, or set store.create to set it up"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;

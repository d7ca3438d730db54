//! A [`DatabaseFile`] is the one file, open, and opened again after the disk failed.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Builder, Database, DatabaseError, Durability, StorageError};

use super::super::StoreError;
use super::filling::Filling;
use super::memory::{Memory, Update};
use super::unit::{Reading, Writing};
use super::{OpenError, tables, unavailable};

/// The open file; none while it cannot be opened again.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Memory for pages, in octets.
    cache_limit: usize,
    database: RwLock<Option<Database>>,
    memory: RwLock<Memory>,
    /// Held while something is written, until the memory is as the file is, or is filled.
    turn: Mutex<Filling>,
}

impl DatabaseFile {
    pub(super) fn open(path: &Path, cache_limit: usize) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        create(path).map_err(io_error)?;
        let database = builder(cache_limit)
            .create(path)
            .map_err(|error| refusal(path, error))?;
        let damaged = |error: &dyn fmt::Display| OpenError::Damaged {
            path: path.to_owned(),
            cause: error.to_string(),
        };
        if tables::are_foreign(&database).map_err(|error| damaged(&error))? {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let this = Self {
            path: path.to_owned(),
            cache_limit,
            database: RwLock::new(Some(database)),
            memory: RwLock::default(),
            turn: Mutex::default(),
        };
        this.write(|writing| tables::create(writing))
            .map_err(|error| damaged(&error))?;
        this.load().map_err(|error| damaged(&error))?;
        Ok(this)
    }

    /// Reads in one transaction. It waits for nobody who waits for the disk: while the file is opened
    /// again it fails.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Reading<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let guard = self
            .database
            .try_read()
            .map_err(|_| unavailable("the file is being opened again"))?;
        let database = guard.as_ref().ok_or_else(|| self.closed())?;
        let reading = Reading::new(self.memory(), database);
        read(&reading).map_err(unavailable)
    }

    /// Writes in one transaction; what it made is on the disk when this returns.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&Writing<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let result = {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = guard.as_ref().ok_or_else(|| self.closed())?;
            self.transact(database, write)
        };
        let (value, update) = result.map_err(|error| self.explain(&error))?;
        self.memory_mut().apply(update);
        Ok(value)
    }

    fn transact<T>(
        &self,
        database: &Database,
        write: impl FnOnce(&Writing<'_>) -> Result<T, redb::Error>,
    ) -> Result<(T, Update), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let writing = Writing::new(self.memory(), transaction);
        let value = write(&writing)?;
        Ok((value, writing.commit()?))
    }

    /// Brings so many rows into memory if they are not all there; whether there may be more.
    pub(super) fn fill(&self, most: usize) -> bool {
        let mut filling = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else {
            return false;
        };
        let step = || filling.step(database, &self.memory, most);
        // All pages are read here, and some damage makes the database panic. That would end all
        // writing, while as long as the file is asked only whoever is on such a page is lost.
        let error = match panic::catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(is_more)) => return is_more,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its pages are damaged".to_owned(),
        };
        tracing::error!(
            error,
            "the store cannot be read to its end; see that its disk works, or restore the file from a backup"
        );
        false
    }

    /// Opens the file again after a failure, and says whether it could: a database stays closed to
    /// writes after one failed, but disks that were full get room.
    pub(super) fn reopen(&self) -> bool {
        let mut filling = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // It may hold on to the old one, and the new one may not be the same.
        filling.restart();
        // The lock on the file belongs to the old one.
        drop(database.take());
        // Never `create`: a file that is gone must not come back empty and look like ours.
        let opened = builder(self.cache_limit)
            .open(&self.path)
            .map_err(|error| refusal(&self.path, error).to_string());
        let loaded = opened.and_then(|open| {
            // What was written at last may be there or not, and with it newcomers.
            let memory = Memory::load(&open).map_err(|error| error.to_string())?;
            Ok((open, memory))
        });
        match loaded {
            Ok((open, memory)) => {
                *self.memory_mut() = memory;
                *database = Some(open);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot be opened again");
                false
            }
        }
    }

    fn load(&self) -> Result<(), redb::Error> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = guard.as_ref() {
            *self.memory_mut() = Memory::load(database)?;
        }
        Ok(())
    }

    fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> StoreError {
        unavailable(format_args!(
            "{} is closed after a failure; see that its disk has room and works",
            self.path.display()
        ))
    }

    fn explain(&self, error: &redb::Error) -> StoreError {
        unavailable(format_args!(
            "{} cannot be written: {error}; see that its disk has room and works",
            self.path.display()
        ))
    }
}

impl fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn builder(cache_limit: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_limit);
    builder
}

/// The database makes files that others can read, so we make it first.
fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    super::super::pepper::sync_folder(path)
}

fn refusal(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path),
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != io::ErrorKind::InvalidData
                && source.kind() != io::ErrorKind::UnexpectedEof =>
        {
            OpenError::Io { path, source }
        }
        other => OpenError::Damaged {
            path,
            cause: other.to_string(),
        },
    }
}

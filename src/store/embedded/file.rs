//! A [`DatabaseFile`] is the one file, open, and opened again after the disk failed.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError,
    WriteTransaction,
};

use super::super::StoreError;
use super::{OpenError, tables, unavailable};

/// Memory for pages of the file, in octets.
const CACHE_LIMIT: usize = 32 * 1024 * 1024;

/// The open file; none while it cannot be opened again.
pub(super) struct DatabaseFile {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

impl DatabaseFile {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        create(path).map_err(io_error)?;
        let database = builder()
            .create(path)
            .map_err(|error| refusal(path, error))?;
        let this = Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
        };
        this.write(tables::create)
            .map_err(|error| OpenError::Damaged {
                path: path.to_owned(),
                cause: error.to_string(),
            })?;
        Ok(this)
    }

    /// Reads in one transaction. It waits for nobody: while the file is opened again it fails.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let guard = self
            .database
            .try_read()
            .map_err(|_| unavailable("the file is being opened again"))?;
        let database = guard.as_ref().ok_or_else(|| self.closed())?;
        let transaction = database.begin_read().map_err(unavailable)?;
        read(&transaction).map_err(unavailable)
    }

    /// Writes in one transaction; what it made is on the disk when this returns.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let result = {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = guard.as_ref().ok_or_else(|| self.closed())?;
            transact(database, write)
        };
        result.map_err(|error| self.explain(&error))
    }

    /// Opens the file again after a failure, and says whether it could: a database stays closed to
    /// writes after one failed, but disks that were full get room.
    pub(super) fn reopen(&self) -> bool {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // The lock on the file belongs to the old one.
        drop(database.take());
        // Never `create`: a file that is gone must not come back empty and look like ours.
        match builder().open(&self.path) {
            Ok(open) => {
                *database = Some(open);
                true
            }
            Err(error) => {
                let error = refusal(&self.path, error);
                tracing::error!(%error, "the store cannot be opened again");
                false
            }
        }
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

fn transact<T>(
    database: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let value = write(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_LIMIT);
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

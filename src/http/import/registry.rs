//! The [`Imports`] that are under way: who imports what, and how far it got.
//!
//! When the last hand lets go of an import, its line goes to the audit trail, whether it was ended or
//! broke off (A3).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Guess;
use crate::http::answer::{Ended, Taken};
use crate::http::error::ApiError;
use crate::import::Provenance;

/// Most imports at once.
const IMPORT_LIMIT: usize = 64;

/// Most requests of rows that are worked on at once, for the memory they need; others wait.
const REQUEST_LIMIT: usize = 8;

/// An import of which nothing was heard for so long broke off.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The imports that are under way.
#[derive(Debug)]
pub struct Imports {
    open: Mutex<HashMap<String, Arc<Import>>>,
    requests: Arc<Semaphore>,
}

/// One import.
#[derive(Debug)]
pub(super) struct Import {
    id: String,
    pub(super) from: Provenance,
    /// The reason of rows that did not say.
    reason: Option<String>,
    pub(super) dry_run: bool,
    /// Whether most rows so far were about somebody of whom nothing was known.
    unknown: AtomicBool,
    counts: Counts,
    ended: AtomicBool,
    last_used: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    recorded: AtomicU64,
    known: AtomicU64,
    outdated: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

impl Default for Imports {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            requests: Arc::new(Semaphore::new(REQUEST_LIMIT)),
        }
    }
}

impl Imports {
    /// Begins an import.
    pub(super) fn begin(&self, import: Import) -> Result<(), ApiError> {
        let mut open = lock(&self.open);
        open.retain(|_, import| lock(&import.last_used).elapsed() < IDLE_TIMEOUT);
        if open.len() >= IMPORT_LIMIT {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{IMPORT_LIMIT} imports are under way"),
                "wait until one is ended",
            ));
        }
        tracing::info!(target: "sendgate::audit", import = import.id, tenant = %import.from.tenant,
            actor = import.from.actor, source = import.from.source, reason = import.reason,
            note = import.from.note, dry_run = import.dry_run, "an import began");
        open.insert(import.id.clone(), Arc::new(import));
        Ok(())
    }

    /// The import of this id.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Import>, ApiError> {
        let open = lock(&self.open);
        let import = open.get(id).ok_or_else(not_open)?;
        *lock(&import.last_used) = Instant::now();
        Ok(Arc::clone(import))
    }

    /// Ends an import.
    pub(super) fn end(&self, id: &str, failed: u64, skipped: u64) -> Result<Ended, ApiError> {
        let import = lock(&self.open).remove(id).ok_or_else(not_open)?;
        let counts = &import.counts;
        counts.failed.fetch_add(failed, Ordering::Relaxed);
        counts.skipped.fetch_add(skipped, Ordering::Relaxed);
        import.ended.store(true, Ordering::Relaxed);
        Ok(counts.told())
    }

    /// Waits until there is room for one more request of rows.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.requests).acquire_owned().await.ok()
    }
}

fn not_open() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no such import is under way",
        "begin again, as after a restart of the gateway; repeating it does no harm",
    )
}

impl Import {
    pub(super) fn new(id: String, from: Provenance, reason: Option<String>, dry_run: bool) -> Self {
        Self {
            id,
            from,
            reason,
            dry_run,
            unknown: AtomicBool::new(true),
            counts: Counts::default(),
            ended: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
        }
    }

    /// What the next rows are probably about.
    pub(super) fn guess(&self) -> Guess {
        if self.unknown.load(Ordering::Relaxed) {
            Guess::Unknown
        } else {
            Guess::Known
        }
    }

    /// Notes what rows were about.
    pub(super) fn learn(&self, unknown: bool) {
        self.unknown.store(unknown, Ordering::Relaxed);
    }

    /// Counts what became of rows.
    pub(super) fn add(&self, taken: &Taken) {
        let add = |counter: &AtomicU64, number: u64| counter.fetch_add(number, Ordering::Relaxed);
        add(&self.counts.recorded, taken.recorded);
        add(&self.counts.known, taken.known);
        add(&self.counts.outdated, taken.outdated);
        add(&self.counts.failed, taken.failed.len() as u64);
    }
}

impl Counts {
    fn told(&self) -> Ended {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ended {
            recorded: read(&self.recorded),
            known: read(&self.known),
            outdated: read(&self.outdated),
            failed: read(&self.failed),
            skipped: read(&self.skipped),
        }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let Ended {
            recorded,
            known,
            outdated,
            failed,
            skipped,
        } = self.counts.told();
        let ended = self.ended.load(Ordering::Relaxed);
        // A3: who imported which list, and what came of it.
        tracing::info!(target: "sendgate::audit", import = self.id, tenant = %self.from.tenant,
            actor = self.from.actor, source = self.from.source, reason = self.reason,
            note = self.from.note, dry_run = self.dry_run, recorded, known, outdated, failed,
            skipped, "an import {}", if ended { "ended" } else { "broke off" });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

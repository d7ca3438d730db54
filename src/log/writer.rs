//! The [`SuppressionLog`] takes entries from the relay and writes them as JSON lines.
//!
//! It never makes the relay wait and never drops a line in silence. Entries go through a bounded
//! queue to a thread of their own. While the file cannot be written they stay in the queue and the
//! thread tries again; what finds no room is counted, and a line `{"time":…,"lost":n}` stands where
//! the lines are missing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::entry::Entry;
use super::followers::Followers;
use super::line::Renderer;
use super::queue::{Batch, Item, Pushed, Queue};
use super::sink::Sink;

/// How many bytes of entries wait at most while the log cannot be written.
pub const QUEUE_LIMIT: usize = 64 << 20;

/// How much room for lines is kept between batches.
const LINES_KEPT: usize = 64 << 10;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Where the log goes and what it shows.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// The file; none when only standard output or followers are served.
    pub file: Option<PathBuf>,
    /// Whether lines also go to standard output.
    pub stdout: bool,
    /// Whether a recipient appears only as key and domain (A5).
    pub hashed: bool,
}

/// Counts lines. The numbers are those since the last call.
pub trait LogMetrics: Send + Sync {
    /// So many lines were written.
    fn log_written(&self, lines: u64);
    /// So many lines were lost.
    fn log_lost(&self, lines: u64);
}

/// The handle of the log: cheap to clone, safe to call from anywhere.
///
/// When the last handle is dropped, what is queued is written if that is possible at once.
#[derive(Clone)]
pub struct SuppressionLog {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
    metrics: Arc<dyn LogMetrics>,
    followers: Arc<Followers>,
    /// The number of lines left unwritten, once the thread has ended.
    ended: watch::Receiver<Option<u64>>,
}

impl SuppressionLog {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened for appending or the thread cannot be started.
    pub fn start(options: LogOptions, metrics: Arc<dyn LogMetrics>) -> io::Result<Self> {
        let mut sinks = Vec::new();
        if let Some(path) = options.file {
            sinks.push(Sink::file(path)?);
        }
        if options.stdout {
            sinks.push(Sink::stdout()?);
        }
        Self::start_with(sinks, options.hashed, QUEUE_LIMIT, metrics)
    }

    fn start_with(
        sinks: Vec<Sink>,
        hashed: bool,
        limit: usize,
        metrics: Arc<dyn LogMetrics>,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(limit));
        let followers = Arc::new(Followers::new());
        let (end, ended) = watch::channel(None);
        let writer = Writer {
            queue: Arc::clone(&queue),
            has_sinks: !sinks.is_empty(),
            sinks,
            hashed,
            metrics: Arc::clone(&metrics),
            followers: Arc::clone(&followers),
        };
        thread::Builder::new()
            .name("suppression-log".to_owned())
            .spawn(move || {
                let unwritten = writer.run();
                end.send_replace(Some(unwritten));
            })?;
        Ok(Self {
            handle: Arc::new(Handle {
                queue,
                metrics,
                followers,
                ended,
            }),
        })
    }

    /// Puts entries on their way, those of one transaction together. Returns at once, whatever the
    /// disk does.
    pub fn write(&self, entries: impl IntoIterator<Item = Entry>) {
        let Pushed::Lost { lines, tell } = self.handle.queue.push(entries) else {
            return;
        };
        self.handle.metrics.log_lost(lines);
        if tell {
            tracing::error!(
                "the suppression log cannot keep up or is closed: lines are lost; \
                 look for a full disk or a blocked standard output"
            );
        }
    }

    /// Opens the file anew, as logrotate wants it after a rename.
    ///
    /// A file that was renamed or removed is also noticed without this, at the next line.
    pub fn reopen(&self) {
        self.handle.queue.reopen();
    }

    /// The newest lines, and chunks of those that follow: whole lines always.
    #[must_use]
    pub fn follow(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        self.handle.followers.join()
    }

    /// Writes what is queued and syncs the file; answers how many lines could not be written in time.
    ///
    /// Entries that other handles write from now on are lost and counted.
    pub async fn flush_and_close(self, wait: Duration) -> u64 {
        self.handle.queue.close(Instant::now() + wait);
        let mut ended = self.handle.ended.clone();
        // A write that hangs (a stuck mount, a stopped reader) must not hold up the drain.
        let patience = wait + Duration::from_millis(100);
        match tokio::time::timeout(patience, ended.wait_for(Option::is_some)).await {
            Ok(Ok(unwritten)) => unwritten.unwrap_or_default(),
            Ok(Err(_)) | Err(_) => u64::try_from(self.handle.queue.len()).unwrap_or(u64::MAX),
        }
    }
}

impl std::fmt::Debug for SuppressionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SuppressionLog(..)")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close(Instant::now());
    }
}

/// The thread's side.
struct Writer {
    queue: Arc<Queue>,
    sinks: Vec<Sink>,
    /// Whether any sink was configured.
    has_sinks: bool,
    hashed: bool,
    metrics: Arc<dyn LogMetrics>,
    followers: Arc<Followers>,
}

impl Writer {
    /// Writes until the queue is closed; answers how many lines were left unwritten.
    fn run(mut self) -> u64 {
        let mut unwritten = 0;
        let mut lines = Vec::new();
        while let Some(batch) = self.queue.next_batch() {
            if batch.reopen {
                self.reopen();
            }
            let weight = batch.bytes;
            let count = u64::try_from(batch.items.len()).unwrap_or(u64::MAX);
            self.render(batch, &mut lines);
            self.followers.tell(&lines);
            if self.deliver(&lines) {
                self.metrics.log_written(count);
            } else {
                self.metrics.log_lost(count);
                unwritten += count;
            }
            self.queue.release(weight);
            lines.clear();
            lines.shrink_to(LINES_KEPT);
        }
        for sink in &self.sinks {
            if let Err(error) = sink.sync() {
                tracing::error!(log = sink.name(), %error, "the suppression log may not be on disk");
            }
        }
        unwritten
    }

    fn render(&self, batch: Batch, lines: &mut Vec<u8>) {
        let mut renderer = Renderer::new(self.hashed);
        for item in batch.items {
            match item {
                Item::Entry(entry) => renderer.entry(*entry, lines),
                Item::Gap(gap) => Renderer::gap(&gap, lines),
            }
        }
    }

    fn reopen(&mut self) {
        for sink in &mut self.sinks {
            if let Err(error) = sink.reopen_if_rotated() {
                tracing::error!(log = sink.name(), %error,
                    "the suppression log cannot be opened anew; the old file is written on");
            }
        }
    }

    /// Writes to every sink; false when the lines did not reach all of those that are still there.
    fn deliver(&mut self, lines: &[u8]) -> bool {
        let mut complete = true;
        let queue = &self.queue;
        self.sinks.retain_mut(|sink| {
            let written = write_patiently(sink, lines, queue);
            complete &= written != Written::GaveUp;
            written != Written::Gone
        });
        // With its last sink gone the log is lost, and every further line is counted as such.
        complete && (!self.sinks.is_empty() || !self.has_sinks)
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    /// The time to close was over before it worked.
    GaveUp,
    /// Nobody reads any more, and nobody will.
    Gone,
}

/// Tries until it works, the reader is gone or the time to close is over.
fn write_patiently(sink: &mut Sink, lines: &[u8], queue: &Queue) -> Written {
    let mut done = 0;
    let mut retry = FIRST_RETRY;
    let mut complained = false;
    loop {
        let Err(error) = sink.append(lines, &mut done) else {
            if complained {
                tracing::info!(log = sink.name(), "the suppression log is written again");
            }
            return Written::All;
        };
        if error.kind() == io::ErrorKind::BrokenPipe {
            tracing::error!(
                log = sink.name(),
                "nobody reads the suppression log here any more; it is not written here until a restart"
            );
            return Written::Gone;
        }
        if !std::mem::replace(&mut complained, true) {
            tracing::error!(log = sink.name(), %error,
                "the suppression log cannot be written; its lines wait in memory");
        }
        if !queue.pause(retry) {
            return Written::GaveUp;
        }
        retry = (retry * 2).min(LAST_RETRY);
    }
}

#[cfg(test)]
mod tests;

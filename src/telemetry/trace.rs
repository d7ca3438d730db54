//! The operational log, on standard error. One event is one line, whatever a client sends (A5).

use std::io::{self, Write};
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::config::{Trace, TraceFormat};

/// Changes what is logged while the program runs.
#[derive(Debug, Clone)]
pub struct TraceHandle(reload::Handle<EnvFilter, Registry>);

/// Why the operational log could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The level is none.
    #[error("trace.level cannot be read ({0}); write for example \"info\"")]
    Level(#[from] ParseError),
    /// The process logs already, or no longer.
    #[error("the operational log cannot be changed: {0}")]
    State(String),
}

/// The log of this process, for [`reload_level`].
static RUNNING: OnceLock<TraceHandle> = OnceLock::new();

/// Starts the operational log of this process, on standard error.
///
/// # Errors
/// When the level cannot be read, or the process logs already.
pub fn init_tracing(trace: &Trace) -> Result<TraceHandle, TraceError> {
    let (subscriber, handle) = subscriber(trace, io::stderr)?;
    subscriber
        .try_init()
        .map_err(|error| TraceError::State(error.to_string()))?;
    Ok(RUNNING.get_or_init(|| handle).clone())
}

/// Changes the level of the log that [`init_tracing`] started; without one, nothing.
///
/// The format stays what it was: a reader in the middle of JSON lines expects no other.
///
/// # Errors
/// When the level cannot be read; the old one stays.
pub fn reload_level(trace: &Trace) -> Result<(), TraceError> {
    RUNNING
        .get()
        .map_or(Ok(()), |handle| handle.set_level(&trace.level))
}

impl TraceHandle {
    /// Logs this from now on: a level, or directives such as `info,sendgate::gateway=debug`.
    ///
    /// # Errors
    /// When the level cannot be read; the old one stays.
    pub fn set_level(&self, level: &str) -> Result<(), TraceError> {
        let filter = EnvFilter::builder().parse(level)?;
        self.0
            .reload(filter)
            .map_err(|error| TraceError::State(error.to_string()))
    }
}

fn subscriber<W>(
    trace: &Trace,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, TraceHandle), TraceError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&trace.level)?;
    let (filter, handle) = reload::Layer::new(filter);
    // Colours are control characters, and standard error is a file or the journal.
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(OneLine(writer));
    let layer = match trace.format {
        TraceFormat::Human => layer.boxed(),
        TraceFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    Ok((subscriber, TraceHandle(handle)))
}

/// Makes writers that escape every control character but the one line feed at the end.
struct OneLine<W>(W);

/// A writer of whole events.
struct OneLineWriter<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLineWriter<W> {
    /// Takes one event, as the layer hands it over: whole, with its line feed.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = String::with_capacity(text.len());
        for c in line.chars() {
            match c {
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                // In this form it is also what a JSON string may hold.
                c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => escaped.push(c),
            }
        }
        escaped.push_str(&text[line.len()..]);
        self.0.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: TraceFormat, level: &str, act: impl FnOnce(&TraceHandle)) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let trace = Trace {
            format,
            level: level.into(),
        };
        let (subscriber, handle) = subscriber(&trace, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || act(&handle));
        memory.text()
    }

    const NASTY: &str = "a\r\nFAKE \x1b[31m line\u{9b}\x7f\0";

    #[test]
    fn a5_one_event_is_one_line() {
        let text = log(TraceFormat::Human, "info", |_| {
            tracing::info!(helo = NASTY, "said {NASTY}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(text.ends_with('\n'));
        assert!(
            !text.trim_end_matches('\n').contains(char::is_control),
            "{text:?}"
        );
        assert!(text.contains("FAKE"));
    }

    #[test]
    fn a5_json_stays_json() {
        let text = log(TraceFormat::Json, "info", |_| {
            tracing::info!(helo = NASTY, number = 5, "said");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(
            !text.trim_end_matches('\n').contains(char::is_control),
            "{text:?}"
        );
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["message"], "said");
        assert_eq!(event["helo"], NASTY);
        assert_eq!(event["number"], 5);
        assert_eq!(event["level"], "INFO");
    }

    #[test]
    fn the_level_can_change() {
        let text = log(TraceFormat::Human, "warn", |handle| {
            tracing::info!("first");
            handle.set_level("info").unwrap();
            tracing::info!("second");
            assert!(handle.set_level("sendgate=loud").is_err());
            tracing::info!("third");
        });
        assert!(!text.contains("first"));
        assert!(text.contains("second") && text.contains("third"));
    }
}

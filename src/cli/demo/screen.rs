//! The [`Screen`] is where the demo is told: a terminal with colours, or a plain stream of lines.

use std::io::{self, IsTerminal};

use crate::cli::text::{self, Printed};

/// Nobody reads any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct ReaderGone;

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It went through.
    Good,
    /// It was kept back.
    Bad,
    /// Neither.
    Odd,
    /// A heading.
    Heading,
}

/// Where the demo is told.
#[derive(Debug)]
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    /// Standard output; in colours when it is a terminal and nobody objects (no-color.org).
    pub(super) fn of_stdout() -> Self {
        let objection = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: io::stdout().is_terminal() && !objection,
        }
    }

    /// Writes a text as it is.
    ///
    /// # Errors
    /// [`ReaderGone`] when nobody reads, else why it could not be written.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        match text::print(text)? {
            Printed::Read => Ok(()),
            Printed::Closed => Err(ReaderGone.into()),
        }
    }

    /// Writes a heading with an empty line before it.
    pub(super) fn heading(&self, text: &str) -> anyhow::Result<()> {
        self.say(&format!("\n{}\n", self.paint(text, Tone::Heading)))
    }

    /// The text in the colour of its tone, where there are colours.
    pub(super) fn paint(&self, text: &str, tone: Tone) -> String {
        if !self.colours {
            return text.to_owned();
        }
        // ECMA-48 §8.3.117: the colours every terminal has, so that its own palette holds.
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Odd => 33,
            Tone::Heading => 1,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    #[cfg(test)]
    pub(super) const fn with_colours(colours: bool) -> Self {
        Self { colours }
    }
}

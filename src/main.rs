//! The program: reads the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use sendgate::cli::{self, Cli};

/// Many small buffers come and go on several threads; this allocator handles that best. It is built
/// without transparent huge pages: those doubled the resident memory and saved no time.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse()).into()
}

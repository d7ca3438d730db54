//! The command line: one file for each command.
//!
//! [`Cli`] is what was typed; [`run`] does it. How a command ended is an [`ExitCode`], and nobody
//! else decides on the number.

pub mod args;
pub mod bounce;
pub mod check_config;
pub mod client;
pub mod demo;
pub mod hash_password;
pub mod import;
pub mod ingest;
pub mod log;
pub mod pending;
pub mod recipient;
pub mod serve;
mod text;
pub mod undo;

use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Loaded};
use crate::telemetry;
use args::{
    BounceArgs, BounceCommand, DemoArgs, LogArgs, PendingArgs, RecipientArgs, RecipientRequest,
    UndoArgs,
};

/// An SMTP gateway that keeps mail away from people who must not get it.
#[derive(Debug, Parser)]
#[command(name = "sendgate", version, propagate_version = true)]
pub struct Cli {
    /// The configuration file [default: SENDGATE_CONFIG, else ./sendgate.toml, else
    /// /etc/sendgate/sendgate.toml, else the built-in defaults].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until SIGTERM; SIGHUP reads configuration and certificates again
    Serve,
    /// Show what the gateway does: a smarthost that bounces and a sample campaign, in one process
    Demo(DemoArgs),
    /// Check the configuration and the files it names, without starting anything
    CheckConfig,
    /// Read a password from standard input and print what belongs into users.NAME.password_hash
    HashPassword,
    /// Show what is known of a recipient, or change it
    Recipient(RecipientArgs),
    /// Decide on bounces that are held because one cause has too many of them
    Pending(PendingArgs),
    /// Take back a batch of what was learnt by mistake
    Undo(UndoArgs),
    /// Show the suppression log
    Log(LogArgs),
    /// Explain returned mail, or learn from it
    Bounce(BounceArgs),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// It did what was asked.
    Fine,
    /// What was asked could not be done.
    Failed,
    /// What was typed or configured makes no sense; nothing was done.
    Usage,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(match code {
            ExitCode::Fine => 0,
            ExitCode::Failed => 1,
            // As clap answers an argument it does not know.
            ExitCode::Usage => 2,
        })
    }
}

/// Does what was typed.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let Cli { config, command } = cli;
    match command {
        // These need no configuration that is fine.
        Command::CheckConfig => return check_config::run(config.as_deref()),
        Command::HashPassword => return finish(hash_password::run()),
        Command::Demo(args) => return finish(demonstrate(&args)),
        Command::Serve
        | Command::Recipient(_)
        | Command::Pending(_)
        | Command::Undo(_)
        | Command::Bounce(_)
        | Command::Log(_) => {}
    }
    let loaded = match Config::load(config.as_deref(), config::environment()) {
        Ok(loaded) => loaded,
        Err(error) => return misconfigured(&error),
    };
    if let Command::Bounce(BounceArgs {
        command: BounceCommand::Explain { json, text, files },
    }) = &command
    {
        return match loaded.bounce_rules() {
            Ok(rules) => {
                let mut out = io::stdout().lock();
                finish(bounce::explain(files, *json, *text, &rules, &mut out))
            }
            Err(error) => misconfigured(&error),
        };
    }
    finish(with_configuration(command, loaded, config))
}

fn with_configuration(
    command: Command,
    loaded: Loaded,
    explicit: Option<PathBuf>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match command {
        Command::Serve => {
            telemetry::init_tracing(&loaded.config.trace)?;
            runtime.block_on(serve::run(loaded, explicit))
        }
        Command::Recipient(args) => match args.request() {
            RecipientRequest::One(request) => {
                runtime.block_on(recipient::run(&request, &loaded.config.http.socket))
            }
            RecipientRequest::Import(request) => {
                runtime.block_on(import::run(request, &loaded.config))
            }
        },
        Command::Pending(args) => {
            runtime.block_on(pending::run(&args.command, &loaded.config.http.socket))
        }
        Command::Undo(args) => runtime.block_on(undo::run(&args, &loaded.config.http.socket)),
        Command::Log(args) => runtime.block_on(log::run(args.request(), &loaded.config)),
        Command::Bounce(BounceArgs {
            command:
                BounceCommand::Ingest {
                    json,
                    tenant,
                    trust_unsigned,
                    files: paths,
                },
        }) => {
            let request = ingest::Request {
                paths,
                tenant,
                trust_unsigned,
                json,
            };
            runtime.block_on(ingest::run(request, &loaded.config))
        }
        Command::CheckConfig | Command::HashPassword | Command::Bounce(_) | Command::Demo(_) => {
            Ok(())
        }
    }
}

/// The demo has its own configuration, and its table is not to be garbled by the log.
fn demonstrate(args: &DemoArgs) -> anyhow::Result<()> {
    telemetry::init_tracing(&config::Trace {
        level: "error".to_owned(),
        ..config::Trace::default()
    })?;
    tokio::runtime::Runtime::new()?.block_on(demo::run(args.once))
}

/// Tells every error of a configuration, one a line.
fn misconfigured(error: &dyn fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::Usage
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::Fine,
        // Whoever read our output has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::Fine,
        Err(error) => {
            complain(&format_args!("sendgate: {error:#}"));
            ExitCode::Failed
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes to standard error; where that is closed, nobody wants to know.
fn complain(message: &dyn fmt::Display) {
    use io::Write;
    let _ = writeln!(io::stderr(), "{message}");
}

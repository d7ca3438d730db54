//! The demo: a gateway, a smarthost and a campaign tool in one process, talking over real sockets.
//!
//! Nothing in it is a short cut. The gateway is the one that `serve` runs, the smarthost and the
//! campaign tool speak SMTP to it, and what it learns it learns from reports that came back.
//! `cli::demo` tells the story; what acts in it is here.

mod campaign;
mod courier;
mod learnt;
mod mailbox;
mod mailer;
mod message;
mod place;
mod report;
mod smarthost;
mod stage;
mod tool;

pub(crate) use campaign::{Outcome, Pass, Recipient, Role, SOFT_LIMIT, THIS_LIST, recipients};
pub(crate) use learnt::{Learnt, wait_for_reports};
pub(crate) use message::Message;
pub(crate) use stage::Stage;
pub(crate) use tool::Row;

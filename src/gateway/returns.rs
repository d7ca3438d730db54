//! The returns listener takes back what the world returns: bounces, complaints, wishes to be taken off.
//!
//! Who may be written to is decided by `admission`; what a report proves, and about whom, by
//! `proof`, which is pure. [`Intake`] reads a message and makes the record say what is proven; the
//! listener, LMTP and the admin API share it. `forwarding` sends on what the sender wants to see.
//! Nothing is ever answered by mail (B8).

mod admission;
mod forwarding;
mod intake;
mod lookups;
mod proof;
mod session;
mod teaching;

pub use admission::Seals;
pub use intake::{Bearer, Intake, Letter, Taken};
pub(super) use session::ReturnsSession;

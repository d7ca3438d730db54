//! Suppression: what we know of a recipient, what changes it, and what follows for a message.
//!
//! Everything here is a plain function of its arguments: no socket, no clock, no store.

pub mod event;
pub mod key;
pub mod policy;
pub mod record;
pub mod scope;
pub mod standing;

pub use event::{Applied, Change, Event, EventId, EventRules};
pub use key::{KeyMaker, RecipientKey, Tenant};
pub use policy::{Axis, Finding, Reason, Stream, StreamClass, Verdict, judge};
pub use record::Record;
pub use scope::Scope;
pub use standing::Standing;

//! Mail: the words of the envelope and of the message that everything else is written in.
//!
//! Depends on nothing else in Sendgate.

pub mod address;
pub mod header;
pub mod path;
pub mod status;

pub use address::{Address, AddressError};
pub use path::{ForwardPath, PathError, ReversePath};
pub use status::EnhancedStatus;

//! SMTP without sockets: bytes in, events out, and the replies or commands that answer them.
//!
//! [`server::Server`] faces our clients, [`client::Client`] faces the upstream. Neither knows a
//! socket, a clock or a store; the same bytes give the same events however they are cut.

pub mod body;
pub mod client;
pub mod command;
pub mod extensions;
pub mod line;
pub mod parameters;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod xtext;

pub use client::{Client, ClientFault, Expect, UpstreamReply};
pub use extensions::Extensions;
pub use parameters::{MailParameters, RcptParameters};
pub use reply::Reply;
pub use server::{Event, Server, ServerOptions};

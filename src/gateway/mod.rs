//! The gateway: sockets around the pure core. Listeners accept, sessions speak, the relay hands on.

mod alarm;
pub mod auth;
pub mod drain;
pub mod label_book;
pub mod listener;
pub mod mint;
mod proxy;
mod relay;
pub mod returns;
pub mod session;
pub mod settings;
pub mod tls;
mod transport;
pub mod upstream;
mod wire;
pub mod worker;

pub use drain::Drain;
pub use settings::{Context, Settings};
pub use worker::Workers;

//! The attack inputs of the contract (X1 to X43), as they are seen from outside.

mod commands;
mod end_of_data;
mod headers;
mod recipients;
mod upstream;

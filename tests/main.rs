//! x

mod bounces;

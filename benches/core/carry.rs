//! Carries messages of one kind through the pure core, and nothing else: `carry LOAD NUMBER`.
//!
//! `benches/instructions/run` runs it under callgrind with N messages and with 2N. Without arguments
//! it lists the kinds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement without its input is none, and its kinds are its output"
)]

mod message;
mod samples;

use message::{Hop, LOADS};

/// What the program has, so that its share counts as it does there.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Cargo adds an option of its own to a bench that it runs.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let [name, number] = words.as_slice() else {
        for load in &LOADS {
            println!("{}", load.name);
        }
        return;
    };
    let load = LOADS.iter().find(|load| load.name == name).unwrap();
    let number: u64 = number.parse().unwrap();
    let mut hop = Hop::new(load);
    for _ in 0..number {
        hop.carry();
    }
    assert_eq!(hop.delivered(), number, "messages were lost");
}

//! Fuzz targets: functions that take any bytes, and panic where a promise of the library does not hold for them.
//!
//! Each target asserts more than the absence of a panic: a round trip, the same result however the input is cut, or a bound.
//! [`TARGETS`] lists them. The test of this package replays the corpora and a few thousand mutations of them; the program
//! `fuzz` does so for as long as it is told; `libfuzzer/` has the same functions as entry points for cargo-fuzz.

mod extended_connect;
mod frames;
mod heads;
mod mutate;
mod nginx_words;
mod paths;
mod proxy_protocol;
mod templates;
mod tls;
mod tunnel;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use mutate::Random;

/// A function that holds for any input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is the name of its corpus too.
pub const TARGETS: &[(&str, Target)] = &[
    ("request_head", heads::request),
    ("response_head", heads::response),
    ("chunked", heads::chunked),
    ("frames", frames::scanner),
    ("tunnel", tunnel::framed),
    ("tls_handshake", tls::handshake),
    ("proxy_protocol", proxy_protocol::header),
    ("paths", paths::paths),
    ("templates", templates::templates),
    ("extended_connect", extended_connect::both_ways),
    ("nginx_words", nginx_words::words),
];

/// The inputs of a target that are kept, in the order of their names.
///
/// # Panics
///
/// Where the folder is missing or has no file: a target without a corpus tests little.
#[must_use]
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries = folder
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no file", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// What a run has done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How many inputs the target has seen.
    pub inputs: u64,
}

/// Prints the input of a target that panics, so that it can become a file of the corpus.
struct Shown<'a>(&'static str, u64, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{} failed with seed {}: b\"{}\"",
                self.0,
                self.1,
                self.2.escape_ascii()
            );
        }
    }
}

/// Gives a target its corpus, and then mutations of it until the time or the number of inputs is used up.
///
/// The inputs depend on the seed alone, so a failure is repeated by the same seed.
#[must_use]
pub fn run(name: &'static str, target: Target, seed: u64, time: Duration, most: u64) -> Report {
    let corpus = corpus(name);
    let mut inputs = 0;
    let mut give = |input: &[u8]| {
        let _shown = Shown(name, seed, input);
        target(input);
        inputs += 1;
    };
    for input in &corpus {
        give(input);
    }
    let mut random = Random::new(seed);
    let begun = Instant::now();
    for _ in 0..most {
        if begun.elapsed() >= time {
            break;
        }
        give(&mutate::mutated(&corpus, &mut random));
    }
    Report { inputs }
}

/// The input in pieces whose lengths it decides itself: a small step that changes with each piece.
fn pieces(data: &[u8]) -> Vec<&[u8]> {
    let mut random = Random::new(data.len() as u64 ^ data.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    let (mut rest, mut pieces) = (data, Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + random.below(17)).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

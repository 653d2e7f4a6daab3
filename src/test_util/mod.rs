//! Peers for tests: what a proxy stands between, acting by a script and remembering what it saw.
//!
//! For this crate's own tests, and for crates that test what they build on it. Every wait is bounded, and says what it
//! waited for when it panics.

mod client;
mod origin;
mod patience;
mod record;
mod script;

pub use client::{SAMPLE_KEY, ScriptedClient, UPGRADE_REQUEST};
pub use origin::ScriptedOrigin;
pub use patience::PATIENCE;
pub use record::{Connection, Ended};
pub use script::{Script, switching_protocols};

//! Streams and peers for tests of one's own, so that a program that embeds this crate can rehearse what networks do.
//!
//! Nothing in here is used by the rest of the crate. Name the feature among the `[dev-dependencies]`, and only tests are
//! built with it:
//!
//! ```toml
//! [dependencies]
//! switchover = "0.1"
//!
//! [dev-dependencies]
//! switchover = { version = "0.1", features = ["test-util"] }
//! ```
//!
//! - [`fault`]: streams that read and write in pieces, hesitate, stall, end and reset, as scripted or by a seed.
//! - [`ScriptedOrigin`] and [`ScriptedClient`]: what a proxy stands between, acting by a script and remembering what
//!   they saw. Every wait is bounded, and says what it waited for when it panics.
//!
//! Their futures are for tests: what one has read or written is lost where it is dropped before it is ready.
//!
//! The two go together: peers speak over loopback sockets, and the program under test wraps what it has accepted, or
//! what its [`Connect`](crate::connect::Connect) has connected, in a [`FaultyStream`](fault::FaultyStream).
//!
//! ```
//! use switchover::test_util::fault::{self, Faults};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (mut client, stream) = fault::pair(1024);
//! let mut stream = stream.faults(Faults::none().reset_after_reading(5));
//! client.write_all(b"hello, world").await.unwrap();
//!
//! let mut received = Vec::new();
//! let error = stream.read_to_end(&mut received).await.unwrap_err();
//! assert_eq!((received.as_slice(), error.kind()), (&b"hello"[..], std::io::ErrorKind::ConnectionReset));
//! # }
//! ```

mod client;
pub mod fault;
mod origin;
mod record;
mod script;
mod wait;

pub use client::{SAMPLE_KEY, ScriptedClient, UPGRADE_REQUEST};
pub use origin::ScriptedOrigin;
pub use record::{Connection, Ended};
pub use script::{Script, switching_protocols};
pub use wait::TIMEOUT;

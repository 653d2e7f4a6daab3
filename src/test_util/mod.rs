//! Streams and peers for tests of one's own, so that a program that embeds this crate can rehearse what networks do.
//!
//! Nothing in here is used by the rest of the crate.
//!
//! - [`fault`]: streams that read and write in pieces, hesitate, stall, end and reset, as scripted or by a seed.
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

pub mod fault;

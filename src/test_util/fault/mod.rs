//! Streams that behave as badly as a network may, and the same way every time.
//!
//! A [`FaultyStream`] wraps any stream and obeys a script, [`Faults`]. A [`pair`] is an in-memory connection with a
//! bounded capacity. A [`Watch`] reports afterwards what was done with a stream, even when a proxy has swallowed it.
//!
//! Nothing here is random but by a seed. Delays follow tokio's clock, so they take no time while it is paused.
//!
//! ```
//! use switchover::test_util::fault::{self, Faults};
//! use switchover::tunnel::Tunnel;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for seed in 0..20 {
//!     let (mut client, downstream) = fault::pair(64);
//!     let (upstream, mut origin) = fault::pair(64);
//!     let downstream = downstream.faults(Faults::seeded(seed));
//!     let upstream = upstream.faults(Faults::seeded(!seed));
//!     let watch = upstream.watch();
//!     let tunnel = tokio::spawn(Tunnel::new(downstream, upstream).run());
//!
//!     client.write_all(b"every byte, in order").await?;
//!     client.shutdown().await?;
//!     let mut received = String::new();
//!     origin.read_to_string(&mut received).await?;
//!     drop(origin);
//!
//!     assert_eq!(received, "every byte, in order");
//!     assert_eq!(tunnel.await??.from_downstream(), 20);
//!     assert!(watch.is_dropped());
//! }
//! # Ok(())
//! # }
//! ```

mod random;
mod script;
mod stream;
mod watch;

use tokio::io::DuplexStream;

pub use script::Faults;
pub use stream::FaultyStream;
pub use watch::Watch;

/// Two ends of an in-memory connection that holds at most `capacity` bytes each way, at first without faults.
///
/// A write beyond the capacity is pending until the other end reads. Dropping one end is the end of the stream for the
/// other, and makes its writes fail with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
///
/// # Panics
///
/// If `capacity` is 0: such a connection could never carry anything.
#[must_use]
pub fn pair(capacity: usize) -> (FaultyStream<DuplexStream>, FaultyStream<DuplexStream>) {
    assert!(capacity > 0, "a pair needs a capacity of at least one byte");
    let (one, other) = tokio::io::duplex(capacity);
    (FaultyStream::new(one), FaultyStream::new(other))
}

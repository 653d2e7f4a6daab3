//! Streams of a tunnel: wrappers that stay what they wrap, and which streams are plain sockets.

mod any;
mod counted;
mod rewind;
pub(in crate::tunnel) mod socket;

pub use any::AnyStream;
pub use counted::Counted;
pub use rewind::Rewind;
#[cfg(feature = "gateway")]
pub(crate) use socket::{read_closed, reset_on_drop};

//! Streams of a tunnel: wrappers that stay what they wrap, and which streams are plain sockets.

/// Writes of a wrapper are writes of its stream.
macro_rules! write_through {
    ($wrapper:ident) => {
        impl<S: tokio::io::AsyncWrite> tokio::io::AsyncWrite for $wrapper<S> {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.project().stream.poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.project().stream.poll_write_vectored(cx, bytes)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.project().stream.poll_flush(cx)
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.project().stream.poll_shutdown(cx)
            }
        }
    };
}

mod any;
mod counted;
mod rewind;
pub(in crate::tunnel) mod socket;

pub use any::AnyStream;
pub use counted::Counted;
pub use rewind::Rewind;
#[cfg(feature = "hyper")]
pub(crate) use socket::has_unread;
#[cfg(feature = "gateway")]
pub(crate) use socket::{read_closed, reset_on_drop};

//! How a stream is left when the tunnel has ended: what was delivered arrives, and what was not is not hidden.
//!
//! Knows one stream at a time. It must not know why the tunnel ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use crate::tunnel::engine::half::{self, Half};
use crate::tunnel::engine::scratch::Scratch;
use crate::tunnel::stream::socket::{self, Carried};

/// Reads and forgets. True once the stream has no more to give.
pub(in crate::tunnel) fn discard<S: Carried>(
    cx: &mut Context<'_>,
    scratch: &mut Scratch,
    stream: &mut S,
) -> bool {
    for _ in 0..half::TURNS {
        let mut buffer = ReadBuf::new(scratch.bytes());
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            Poll::Ready(_) => return true,
        }
    }
    half::yield_to_the_thread(cx);
    false
}

/// The tunnel has ended, perhaps before the direction that ends at `writer` had.
pub(in crate::tunnel) fn finish<W: Carried>(cx: &mut Context<'_>, half: &Half, writer: &mut W) {
    if half.outlet().has_lost() {
        // Bytes are lost, and an orderly end would hide it.
        socket::reset_on_drop(writer);
    } else if !half.has_ended() && !socket::is_plain(writer) {
        // One try, for streams with closing words of their own, such as TLS. There is no time left to wait for it.
        let _ = Pin::new(writer).poll_shutdown(cx);
    }
}

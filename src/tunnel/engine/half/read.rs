//! One read of a direction: what it has given.
//!
//! Knows a reader. It must not know where the bytes go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::tunnel::end::Operation;
use crate::tunnel::engine::outlet::{Failure, interrupted_or};

/// What one read has given.
pub(super) enum Given {
    Bytes(usize),
    /// A waker is registered.
    Nothing,
    /// A signal came first.
    Interrupted,
    End,
}

pub(super) fn poll_reader<R>(cx: &mut Context<'_>, reader: &mut R, space: &mut [u8]) -> Result<Given, Failure>
where
    R: AsyncRead + Unpin,
{
    let mut buffer = ReadBuf::new(space);
    match Pin::new(reader).poll_read(cx, &mut buffer) {
        Poll::Pending => Ok(Given::Nothing),
        Poll::Ready(Ok(())) => Ok(match buffer.filled().len() {
            0 => Given::End,
            count => Given::Bytes(count),
        }),
        // An encrypted stream that was closed without its closing words. A socket never says this.
        Poll::Ready(Err(source)) if source.kind() == io::ErrorKind::UnexpectedEof => Ok(Given::End),
        Poll::Ready(Err(source)) => interrupted_or(Operation::Read, source).map(|_| Given::Interrupted),
    }
}

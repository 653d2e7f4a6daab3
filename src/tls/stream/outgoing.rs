//! Sealed bytes that wait to be written. Memory is held only while there are some.
//!
//! Knows nothing of what is in a record.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::unbuffered::{EncodeError, EncryptError};

use crate::wire;

/// In the order in which they were sealed.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, sealed: &[u8]) {
        self.bytes.extend_from_slice(sealed);
    }

    /// Adds what `put` makes.
    pub(super) fn push_with(
        &mut self,
        put: impl FnMut(&mut [u8]) -> Result<usize, Short>,
    ) -> Result<(), Error> {
        let before = self.bytes.len();
        let added = fill(&mut self.bytes, before, put);
        self.bytes
            .truncate(before + added.as_ref().map_or(0, |added| *added));
        added.map(drop)
    }

    /// What is still to be written.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Writes everything. What is written is written once, whatever an earlier call has come to.
    pub(super) fn poll_write<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            self.written += ready!(poll_some(cx, writer, self.waiting()))?;
            if self.written == self.bytes.len() {
                *self = Outgoing::default();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Why rustls has put nothing into the room that it was given.
pub(super) enum Short {
    Needs(usize),
    Never(Error),
}

impl From<EncodeError> for Short {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Short::Needs(size.required_size),
            error => Short::Never(Error::General(error.to_string())),
        }
    }
}

impl From<EncryptError> for Short {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Short::Needs(size.required_size),
            error => Short::Never(Error::General(error.to_string())),
        }
    }
}

/// Lets `put` write behind the first bytes of a buffer, which grows as it is asked for. Says how much was written.
pub(super) fn fill(
    buffer: &mut Vec<u8>,
    behind: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Short>,
) -> Result<usize, Error> {
    loop {
        match put(&mut buffer[behind..]) {
            Ok(count) => return Ok(count.min(buffer.len() - behind)),
            Err(Short::Needs(size)) if size > buffer.len() - behind => buffer.resize(behind + size, 0),
            Err(Short::Needs(_)) => return Err(Error::General("there is room".into())),
            Err(Short::Never(error)) => return Err(error),
        }
    }
}

/// Writes at least a byte of them. An interruption is no end: what was not written is written later.
pub(super) fn poll_some<W>(cx: &mut Context<'_>, writer: &mut W, bytes: &[u8]) -> Poll<io::Result<usize>>
where
    W: AsyncWrite + Unpin,
{
    let outcome = Pin::new(writer).poll_write(cx, bytes);
    Poll::Ready(match ready!(wire::again(cx, outcome)) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        // A writer that says it has written more than it was given is not believed.
        Ok(count) => Ok(count.min(bytes.len())),
        Err(error) => Err(error),
    })
}

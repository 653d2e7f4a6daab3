//! Reads a request head off a connection, within its limits.
//!
//! Knows the bytes of one connection. It must not know what the request asks for.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::Client;
use crate::error::Cause;
use crate::handshake::Rejection;
use crate::http1::{BodyLength, HeadLimits, HeadScan, RequestHead, request_from_head};
use crate::wire;

/// A request head, and the bytes that it was read from.
pub(super) struct ReadHead {
    pub(super) head: Box<RequestHead>,
    pub(super) body: BodyLength,
    /// All that has been read: the head, and what came with it.
    pub(super) read: Bytes,
    /// How many of these bytes are the head.
    pub(super) length: usize,
}

/// The head, if what has been read holds it whole. It is taken from the client then, with what came behind it.
pub(super) fn take_head<S>(
    client: &mut Client<S>,
    scan: &mut HeadScan,
    limits: &HeadLimits,
) -> Result<Option<ReadHead>, Rejection> {
    let Some(length) = scan.advance(&client.early, limits)? else {
        return Ok(None);
    };
    let read = std::mem::take(&mut client.early).freeze();
    let parsed = request_from_head(read.slice(..length), scan)?;
    Ok(Some(ReadHead {
        body: parsed.body,
        head: Box::new(parsed.into()),
        read,
        length,
    }))
}

/// Reads until the head is whole.
pub(super) async fn read_head<S>(
    client: &mut Client<S>,
    mut scan: HeadScan,
    limits: &HeadLimits,
) -> Result<ReadHead, HeadFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match wire::read_some(&mut client.stream, &mut client.early, usize::MAX).await {
            Ok(0) => return Err(HeadFailure::Stream(Cause::Closed)),
            Ok(_) => {}
            Err(error) => return Err(HeadFailure::Stream(Cause::Io(error))),
        }
        if let Some(head) = take_head(client, &mut scan, limits)? {
            return Ok(head);
        }
    }
}

/// Why there is no request head.
pub(super) enum HeadFailure {
    Stream(Cause),
    Rejected(Rejection),
}

impl From<Rejection> for HeadFailure {
    fn from(rejection: Rejection) -> Self {
        HeadFailure::Rejected(rejection)
    }
}

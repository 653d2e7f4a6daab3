//! Reads a request head off a connection, within its limits.
//!
//! Knows the bytes of one connection. It must not know what the request asks for.

use bytes::Bytes;
use http::request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::Client;
use crate::error::Cause;
use crate::handshake::Rejection;
use crate::http1::{BodyLength, HeadLimits, HeadScan, Marks, request_from_head};
use crate::wire;

/// A request head, and the bytes that it was read from.
pub(super) struct RequestHead {
    pub(super) parts: Box<request::Parts>,
    pub(super) body: BodyLength,
    /// Those of its fields.
    pub(super) marks: Marks,
    /// All that has been read: the head, and what came with it.
    pub(super) read: Bytes,
    /// How many of these bytes are the head.
    pub(super) length: usize,
}

/// Reads until the head is whole. What has been read is taken from the client.
pub(super) async fn read_head<S>(
    client: &mut Client<S>,
    limits: &HeadLimits,
) -> Result<RequestHead, HeadFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scan = HeadScan::request();
    loop {
        let end = scan.advance(&client.early, limits).map_err(Rejection::from)?;
        if let Some(length) = end {
            let read = std::mem::take(&mut client.early).freeze();
            let (parts, body, marks) =
                request_from_head(read.slice(..length), &scan).map_err(Rejection::from)?;
            return Ok(RequestHead {
                parts: Box::new(parts),
                body,
                marks,
                read,
                length,
            });
        }
        match wire::read_some(&mut client.stream, &mut client.early, usize::MAX).await {
            Ok(0) => return Err(HeadFailure::Stream(Cause::Closed)),
            Ok(_) => {}
            Err(error) => return Err(HeadFailure::Stream(Cause::Io(error))),
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

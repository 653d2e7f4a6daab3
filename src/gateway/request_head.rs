//! Reads a request head off a connection, within its limits.
//!
//! Knows the bytes of one connection. It must not know what the request asks for.

use http::request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::Client;
use crate::error::Cause;
use crate::handshake::Rejection;
use crate::http1::{BodyLength, HeadLimits, HeadScan, request_from_head};
use crate::wire;

/// Reads until the head is whole, and says how long the body is. The bytes that came with it stay with the client.
pub(super) async fn read_head<S>(
    client: &mut Client<S>,
    limits: &HeadLimits,
) -> Result<(Box<request::Parts>, BodyLength), HeadFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scan = HeadScan::request();
    loop {
        let end = scan.advance(&client.early, limits).map_err(Rejection::from)?;
        if let Some(end) = end {
            client.head_length = end;
            let head = bytes::Bytes::copy_from_slice(&client.early[..end]);
            let (head, body) = request_from_head(head, &scan).map_err(Rejection::from)?;
            return Ok((Box::new(head), body));
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

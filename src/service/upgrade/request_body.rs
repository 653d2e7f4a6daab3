//! The body of an upgrade request, where the policy allows one, goes upstream framed as it came, and before the tunnel.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::error::{Cause, Error, Phase};
use crate::exchange::Exchange;
use crate::http1::BodyLength;
use crate::service::BoxError;
use crate::service::failure::Failure;
use crate::side::Side;
use crate::wire::{self, First};

/// Sends the body, unless the upstream declines before it is whole. Trailer fields end here.
pub(super) async fn send<B, U>(
    body: B,
    length: BodyLength,
    exchange: &mut Exchange<'_, U>,
    limit: Duration,
) -> Result<(), Error>
where
    B: Body,
    B::Error: Into<BoxError>,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |cause| Error::new(Phase::Request, Side::Downstream, cause);
    let mut body = pin!(body);
    let chunked = length == BodyLength::Chunked;
    loop {
        let read = timeout(limit, next(body.as_mut()));
        // The upstream first: a client may always have more.
        let read = match wire::first(pin!(exchange.declines_early()), pin!(read)).await {
            First::Left(declined) => return declined,
            First::Right(read) => read.map_err(|_| failed(Cause::TimedOut(limit)))?,
        };
        let Some(data) = read.map_err(|error| failed(Failure::cause_of_client(&*error, limit)))? else {
            break;
        };
        let is_sent = match chunked {
            true if data.is_empty() => true,
            true => {
                let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
                chunk.extend_from_slice(&data);
                chunk.extend_from_slice(b"\r\n");
                exchange.send(&chunk).await?
            }
            false => exchange.send(&data).await?,
        };
        if !is_sent {
            return Ok(());
        }
    }
    if !chunked || exchange.send(b"0\r\n\r\n").await? {
        exchange.is_asked();
    }
    Ok(())
}

/// The next bytes of the content; none at its end.
async fn next<B>(mut body: Pin<&mut B>) -> Result<Option<bytes::Bytes>, BoxError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(frame)) => {
                if let Ok(mut data) = frame.into_data() {
                    return Ok(Some(data.copy_to_bytes(data.remaining())));
                }
            }
        }
    }
}

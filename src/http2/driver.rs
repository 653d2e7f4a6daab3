//! How a connection begins, is kept and ends: no tunnel before the upstream's settings, none beyond its last sign of
//! life, and no task that outlives its use.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::config::{FRAME_BUDGET, Http2Config, RESET_STREAMS, RESETS_REMEMBERED};
use super::driven::Driven;
use super::failure::{closed, connection_failed};
use super::link::Link;
use super::liveness::silent;
use super::payload::Payload;
use super::turn::{self, TurnStream, Turns};
use crate::connect::ConnectError;

/// How long a connection may take for its last words.
const LINGER: Duration = Duration::from_secs(2);

/// A connection whose upstream has said what it can do.
pub(super) struct Settled<T> {
    pub(super) sender: SendRequest<Payload>,
    pub(super) driver: Driver<T>,
}

/// Opens a connection on a stream, by prior knowledge (RFC 9113, section 3.3), and waits for the upstream's settings.
///
/// RFC 8441, section 3: no extended CONNECT before the upstream has enabled it. Its settings are its first frame (RFC
/// 9113, section 3.4), so they are here when a PING is answered.
pub(super) async fn settle<T>(stream: T, config: &Http2Config) -> Result<Settled<T>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error| ConnectError::Http2(connection_failed(error));
    let (turns, stream) = turn::share(stream);
    let (sender, mut connection) = builder(config).handshake(stream).await.map_err(failed)?;
    // It may be taken once, and this is the first time.
    let Some(mut pings) = connection.ping_pong() else {
        return Err(ConnectError::Http2(closed()));
    };
    {
        let mut answered = pin!(pings.ping(Ping::opaque()));
        poll_fn(|cx| {
            turns.begin();
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                let closed = |()| ConnectError::Http2(closed());
                return Poll::Ready(Err(ended.map_or_else(failed, closed)));
            }
            if let Poll::Ready(Err(error)) = turns.poll_end(cx) {
                return Poll::Ready(Err(ConnectError::Http2(error)));
            }
            answered.as_mut().poll(cx).map_ok(drop).map_err(failed)
        })
        .await?;
    }
    if !sender.is_extended_connect_protocol_enabled() {
        return Err(ConnectError::NoExtendedConnect);
    }
    let driver = Driver {
        connection,
        turns,
        pings,
    };
    Ok(Settled { sender, driver })
}

fn builder(config: &Http2Config) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(config.window)
        .initial_connection_window_size(config.connection_window())
        .data_frame_budget(FRAME_BUDGET)
        .max_header_list_size(config.max_head_bytes)
        .max_send_buffer_size(config.send_buffer)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESETS_REMEMBERED)
        .max_local_error_reset_streams(None);
    builder
}

/// What moves the bytes of all tunnels of a connection.
pub(super) struct Driver<T> {
    connection: client::Connection<TurnStream<T>, Payload>,
    turns: Turns<T>,
    pings: PingPong,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// What the task is to do for the streams.
    pub(super) fn driven(&self, config: &Http2Config) -> Arc<Driven> {
        Driven::new(self.turns.moved(), config.window)
    }

    /// Runs until the connection has failed, or nothing has used it for long enough.
    pub(super) async fn run(self, link: Arc<Link>, config: Http2Config) {
        // First, to be dropped after the connection, whatever becomes of this task.
        let link = Closing(link);
        let Driver {
            mut connection,
            turns,
            pings,
        } = self;
        let end = {
            let mut unused = pin!(link.0.unused(config.idle_timeout));
            let silent = silent(pings, turns.moved(), config.ping_interval, config.ping_timeout);
            let mut silent = pin!(silent);
            poll_fn(|cx| {
                turns.begin();
                if Pin::new(&mut connection).poll(cx).is_ready() {
                    return Poll::Ready(End::Closed);
                }
                link.0.driven().end_turn(cx);
                if matches!(turns.poll_end(cx), Poll::Ready(Err(_))) {
                    return Poll::Ready(End::Closed);
                }
                if silent.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Silent);
                }
                unused.as_mut().poll(cx).map(|()| End::Unused)
            })
            .await
        };
        match end {
            // The streams know why.
            End::Closed => {}
            End::Silent => link.0.close(Some("the upstream does not answer a PING")),
            // Without streams and without anyone who could open one, h2 says GOAWAY and closes.
            End::Unused => {
                let closed = poll_fn(|cx| {
                    turns.begin();
                    let closed = Pin::new(&mut connection).poll(cx);
                    link.0.driven().end_turn(cx);
                    match turns.poll_end(cx) {
                        Poll::Ready(Err(_)) => Poll::Ready(()),
                        _ => closed.map(drop),
                    }
                });
                // They come behind what the upstream has not read yet.
                let limit = LINGER.saturating_add(turns.moved().reading_time());
                let _ = timeout(limit, closed).await;
            }
        }
    }
}

/// A link whose connection ends with this value.
struct Closing(Arc<Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

enum End {
    Closed,
    Silent,
    Unused,
}

//! One connection from its preface to its end: takes requests in, keeps its deadlines, and shuts down when it is asked to.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tower_service::Service;

use super::answer::{Shared, answer};
use super::body::RequestBody;
use super::clock::{Clock, Stage};
use super::config::Http2ServerConfig;
use super::open::Streams;
use super::{BoxError, Http2End, Http2Server};
use crate::http2::config::{RESET_STREAMS, RESETS_REMEMBERED};
use crate::http2::driven::Driven;
use crate::http2::failure::connection_failed;
use crate::http2::liveness;
use crate::http2::payload::Payload;
use crate::http2::turn::{self, TurnStream, Turns};

/// The fewest requests that a client may cancel before the server has seen them, as when many come in one read. Where it may have more
/// streams open, it may cancel that many. Their heads are in memory until then, which bounds the number.
const LEAST_UNSEEN_RESETS: usize = 32;

/// How many frames of a client may come to streams that are closed and forgotten. h2 counts them over the life of a connection, and
/// each is answered by a reset that waits in memory until the client reads it.
const STRAY_FRAMES: usize = 8192;

/// The least that small frames may cost h2 besides their bytes, before it gives up the connection. Its own bound is half the window
/// of the connection, which few streams make smaller than what may come in one read.
const LEAST_FRAME_BUDGET: usize = 2 * 1024 * 1024;

type Asked = (Request<RecvStream>, SendResponse<Payload>);

pub(super) async fn serve<T, S, B>(
    server: &Http2Server,
    stream: T,
    service: S,
    drain: impl Future<Output = ()>,
) -> io::Result<Http2End>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let config = &server.config;
    let (turns, stream) = turn::share(stream);
    let shared = Arc::new(Shared {
        config: config.clone(),
        driven: Driven::new(turns.moved(), config.window),
    });
    // Whatever becomes of this future: nothing comes any more, and a reader finds what there is.
    let _closing = Closing(shared.driven.clone());
    let streams = Arc::<Streams>::default();
    let mut connection = Served {
        state: State::Opening(builder(config).handshake(stream)),
        turns,
        clock: Clock::default(),
        stage: Stage::Opening,
        last_call: None,
        streams: streams.clone(),
        driven: shared.driven.clone(),
        config,
    };
    let mut drain = pin!(drain);
    let mut drained = false;
    let mut silent = None;
    poll_fn(|cx| {
        if !drained && drain.as_mut().poll(cx).is_ready() {
            drained = true;
            if connection.shut_down(Http2End::Closed) {
                return Poll::Ready(Ok(Http2End::Closed));
            }
        }
        let ended = connection.poll_turn(cx, |(request, respond)| {
            let asked = answer(request, respond, service.clone(), shared.clone(), streams.open());
            server.executor.execute(Box::pin(asked));
        });
        if ended.is_ready() {
            return ended;
        }
        if let (None, State::Serving(connection)) = (&silent, &mut connection.state) {
            // They may be taken once, and this is the first time.
            let pings = connection.ping_pong();
            let moved = shared.driven.moved().clone();
            let (interval, limit) = (config.ping_interval, config.ping_timeout);
            silent = pings.map(|pings| Box::pin(liveness::silent(pings, moved, interval, limit)));
        }
        if let Some(silent) = &mut silent {
            if silent.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Http2End::PingTimeout));
            }
        }
        Poll::Pending
    })
    .await
}

fn builder(config: &Http2ServerConfig) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(config.window)
        .initial_connection_window_size(config.connection_window())
        .data_frame_budget((config.connection_window() as usize / 2).max(LEAST_FRAME_BUDGET))
        .max_concurrent_streams(config.max_streams)
        .max_pending_accept_reset_streams(LEAST_UNSEEN_RESETS.max(config.max_streams as usize))
        .max_header_list_size(config.max_head_bytes)
        .max_send_buffer_size(config.send_buffer)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESETS_REMEMBERED)
        .max_local_error_reset_streams(Some(STRAY_FRAMES));
    if config.extended_connect {
        builder.enable_connect_protocol();
    }
    builder
}

struct Closing(Arc<Driven>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A connection, and what it is judged by.
struct Served<'a, T> {
    state: State<T>,
    turns: Turns<T>,
    clock: Clock,
    stage: Stage,
    /// Until when the requests of a client are taken that has been sent GOAWAY: it may have asked before it could read that.
    last_call: Option<Instant>,
    streams: Arc<Streams>,
    driven: Arc<Driven>,
    config: &'a Http2ServerConfig,
}

// The large one is short-lived: what a connection has for as long as it lives is boxed.
#[expect(clippy::large_enum_variant)]
enum State<T> {
    /// The client's preface has not come.
    Opening(Handshake<TurnStream<T>, Payload>),
    Serving(Box<Connection<TurnStream<T>, Payload>>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Served<'_, T> {
    /// Moves what can be moved, and looks at the clock.
    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        mut start: impl FnMut(Asked),
    ) -> Poll<io::Result<Http2End>> {
        self.turns.begin();
        loop {
            match self.poll_next(cx) {
                Poll::Ready(Some(Ok((_, mut respond)))) if self.is_over() => {
                    // RFC 9113, section 8.7: it has not been processed, and may be asked again elsewhere.
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok(asked))) => {
                    if self.stage == Stage::Opening {
                        self.stage = Stage::Serving;
                    }
                    start(asked);
                }
                Poll::Ready(Some(Err(error))) => {
                    let _ = self.turns.poll_end(cx);
                    return Poll::Ready(Err(connection_failed(error)));
                }
                Poll::Ready(None) => {
                    let _ = self.turns.poll_end(cx);
                    return Poll::Ready(Ok(match self.stage {
                        Stage::Closing(why) => why,
                        _ => Http2End::Closed,
                    }));
                }
                Poll::Pending => break,
            }
        }
        self.driven.end_turn(cx);
        if let Poll::Ready(Err(error)) = self.turns.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        if self.streams.is_abused() {
            if let State::Serving(connection) = &mut self.state {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = connection.poll_closed(cx);
                let _ = self.turns.poll_end(cx);
            }
            let abused = "it cancels the streams that it opens";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, abused)));
        }
        self.poll_clock(cx)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Asked, h2::Error>>> {
        loop {
            match &mut self.state {
                State::Opening(handshake) => match Pin::new(handshake).poll(cx) {
                    Poll::Ready(Ok(connection)) => self.state = State::Serving(Box::new(connection)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => return Poll::Pending,
                },
                State::Serving(connection) => return connection.poll_accept(cx),
            }
        }
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Http2End>> {
        loop {
            let watched = self.streams.watch(cx);
            // An answer to GOAWAY comes behind what has not been read yet.
            let ahead = || self.driven.moved().reading_time();
            if self
                .clock
                .poll(cx, self.stage, watched, self.config, ahead)
                .is_pending()
            {
                return Poll::Pending;
            }
            let why = match self.stage {
                Stage::Opening => Http2End::HeaderTimeout,
                Stage::Serving => Http2End::IdleTimeout,
                Stage::Closing(Http2End::Closed) => return Poll::Ready(Ok(Http2End::CloseTimeout)),
                Stage::Closing(why) => return Poll::Ready(Ok(why)),
            };
            if self.shut_down(why) {
                return Poll::Ready(Ok(why));
            }
            // GOAWAY is sent by the next turn.
            cx.waker().wake_by_ref();
        }
    }

    /// Asks the client to end. True if it has not begun, and there is nobody to ask.
    fn shut_down(&mut self, why: Http2End) -> bool {
        let State::Serving(connection) = &mut self.state else {
            return true;
        };
        if !matches!(self.stage, Stage::Closing(_)) {
            connection.graceful_shutdown();
            self.stage = Stage::Closing(why);
            let reading = self.driven.moved().reading_time();
            self.last_call = Instant::now().checked_add(self.config.close_timeout.saturating_add(reading));
        }
        false
    }

    /// Whether a client has had the time to read that it is to ask for nothing more. h2 takes its requests until it answers a PING.
    fn is_over(&self) -> bool {
        self.last_call.is_some_and(|until| Instant::now() > until)
    }
}

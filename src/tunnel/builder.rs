//! What a tunnel is made of before it runs: its streams, its limits, and who may look at it or end it.
//!
//! Knows values. It must not know how bytes move.

use std::fmt;
use std::future::{Future, Pending};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::engine::Engine;
#[cfg(feature = "gateway")]
use super::engine::Timer;
use super::websocket::{Inboxes, MessageInjector, Tap, WebSocketConfig};
use super::{Listing, Run, TunnelConfig, TunnelWatch, Tunnels, Watched};
use crate::telemetry::{ObservedTunnel, Parent};

/// A tunnel between two streams, about to run.
///
/// `F` is the type of the [drain](Tunnel::drain) future, if there is one.
///
/// ```
/// use switchover::tunnel::{Rewind, Tunnel, TunnelConfig};
/// # async fn doc(client: tokio::net::TcpStream, backend: tokio::net::TcpStream, early: bytes::Bytes)
/// # -> Result<(), switchover::tunnel::TunnelError> {
/// let traffic = Tunnel::new(Rewind::new(client, early), backend).config(TunnelConfig::default()).run().await?;
/// println!("{traffic}");
/// # Ok(())
/// # }
/// ```
#[must_use = "a tunnel does nothing until it is run"]
pub struct Tunnel<D, U, F = Pending<()>> {
    downstream: D,
    upstream: U,
    // None until one is set: a default one would be made for every tunnel.
    config: Option<Arc<TunnelConfig>>,
    from_downstream: Bytes,
    from_upstream: Bytes,
    websocket: Option<WebSocketConfig>,
    own: Option<Box<Own>>,
    drain: Option<F>,
    watched: Option<Watched>,
    parent: Parent,
    #[cfg(feature = "gateway")]
    timer: Timer,
}

/// What the caller decides and sends in a tunnel that knows its frames.
#[derive(Default)]
struct Own {
    tap: Option<Tap>,
    injected: Option<(MessageInjector, Inboxes)>,
}

impl<D, U> Tunnel<D, U>
where
    D: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// A tunnel with the default [limits](TunnelConfig).
    #[inline]
    pub fn new(downstream: D, upstream: U) -> Self {
        Tunnel {
            downstream,
            upstream,
            config: None,
            from_downstream: Bytes::new(),
            from_upstream: Bytes::new(),
            websocket: None,
            own: None,
            drain: None,
            watched: None,
            parent: Parent::current(),
            #[cfg(feature = "gateway")]
            timer: Timer::default(),
        }
    }
}

impl<D, U, F> Tunnel<D, U, F>
where
    D: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = ()>,
{
    /// Sets how long the tunnel waits for what. Tunnels may share one configuration, in an `Arc`.
    #[inline]
    pub fn config(mut self, config: impl Into<Arc<TunnelConfig>>) -> Self {
        self.config = Some(config.into());
        self
    }

    /// Bytes that were already read from each side. They are delivered to the opposite side before any other, and
    /// counted as the others are.
    #[inline]
    pub fn leftovers(mut self, from_downstream: Bytes, from_upstream: Bytes) -> Self {
        self.from_downstream = from_downstream;
        self.from_upstream = from_upstream;
        self
    }

    /// The tunnel carries WebSocket and knows where its frames begin and end: it passes them on unchanged, and can do in
    /// WebSocket's own words what a tunnel of bytes can only do by cutting the connection. Default: `None`, bytes.
    ///
    /// 1. A silent side is sent pings, if [`ping_interval`](WebSocketConfig::ping_interval) says so, and what answers them goes no
    ///    further.
    /// 2. The ends that the tunnel makes ([drain](Tunnel::drain), [`TunnelWatch::end`], the idle limit and the lifetime) begin
    ///    with a Close 1001, Going Away, to both sides: each at the next boundary between two frames of what that side is sent.
    ///    Until then its frame goes on. After that nothing does; the tunnel waits for the Close that each side answers with and
    ///    ends its stream, all within the [half-close timeout](TunnelConfig::half_close_timeout), 30 seconds where there is none.
    /// 3. A frame that its sender may not send is not passed on, and the tunnel ends with [`End::Violation`](super::End::Violation). The other side gets
    ///    a Close at once: 1002 if it is the server, 1014 (Bad Gateway) if it is the client, with a reason that names the side
    ///    that broke the protocol. What it sends until its own Close is still passed on, so that no answer is lost; in the place of that
    ///    Close the violator gets a 1002. It gets it earlier if the other side's stream ends, and at the
    ///    [close timeout](WebSocketConfig::close_timeout). So a stream that is no WebSocket must not be in here.
    /// 4. A frame beyond a [limit](WebSocketConfig::limits) is not passed on either, and the tunnel ends with
    ///    [`End::LimitExceeded`](super::End::LimitExceeded) in the same way: with a 1009 or 1008 for its sender, and a 1001 or
    ///    [another](WebSocketConfig::limit_close) for the other side. A rate may delay the frame instead.
    /// 5. After an end's own Close nothing more of that end's is passed on. [`Traffic::close_from`](super::Traffic::close_from) and
    ///    [`Traffic::close_sent_to`](super::Traffic::close_sent_to) say who closed, and with which code. A stream that fails after both ends have sent a Close has
    ///    ended in order: the tunnel ends at once with [`End::Closed`](super::End::Closed).
    /// 6. A stream that ends or fails without a Close ends that of the other side with one, 1011 for the client and 1001 for the server,
    ///    or [another](WebSocketConfig::abnormal_close), if what that side was sent ends between two frames. Where a stream has failed,
    ///    the tunnel then waits for that side's Close, within the limits of 2. A side that takes no bytes for [too
    ///    long](TunnelConfig::write_timeout), or does not end after the other has, counts as one that has gone.
    ///
    /// Downstream is the client, whose frames are masked; both streams begin with their first byte after the switch. A header or a
    /// control frame is held back until it is whole, at most 130 bytes. The tunnel's own frames are not counted in [`Traffic`](super::Traffic).
    /// In bulk, frames of 48 KiB or more are spliced, several of them at once, after a look at each header where it lies; smaller ones are
    /// copied.
    #[inline]
    pub fn websocket(mut self, config: impl Into<Option<WebSocketConfig>>) -> Self {
        self.websocket = config.into();
        self
    }

    /// Has this decide about messages: [`MessageTap`](super::MessageTap). Default: none. The tunnel then [knows its frames](Tunnel::websocket), by default
    /// settings where there are no others.
    ///
    /// A message that a tap does not read goes on as if there were none. Bytes in [`Traffic`](super::Traffic) are those that went out.
    ///
    /// ```
    /// use switchover::Side;
    /// use switchover::tunnel::{Decision, EndRequest, MessageHead, MessageTap, Tap, Tunnel};
    /// use switchover::websocket::CloseCode;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// /// Clients may only send text.
    /// struct OnlyText;
    ///
    /// impl MessageTap for OnlyText {
    ///     fn decide(&mut self, head: &MessageHead) -> Decision {
    ///         match head.sender() {
    ///             Side::Downstream if !head.is_text() => match EndRequest::close(CloseCode::UNSUPPORTED_DATA, "text only") {
    ///                 Ok(close) => Decision::Close(close),
    ///                 Err(_) => Decision::Drop,
    ///             },
    ///             _ => Decision::Pass,
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut client, downstream) = tokio::io::duplex(1024);
    /// let (upstream, mut origin) = tokio::io::duplex(1024);
    /// let tunnel = tokio::spawn(Tunnel::new(downstream, upstream).tap(Tap::new(OnlyText)).run());
    ///
    /// // "Hi" as text, which arrives as it is; then a binary message.
    /// client.write_all(b"\x81\x82\0\0\0\0Hi\x82\x81\0\0\0\0!").await?;
    /// let mut said = [0; 8];
    /// origin.read_exact(&mut said).await?;
    /// assert_eq!(&said, b"\x81\x82\0\0\0\0Hi");
    /// let mut close = [0; 13];
    /// client.read_exact(&mut close).await?;
    /// assert_eq!(&close, b"\x88\x0b\x03\xebtext only");
    /// # drop((client, origin));
    /// # let _ = tunnel.await?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn tap(mut self, tap: impl Into<Option<Tap>>) -> Self {
        let tap = tap.into();
        if tap.is_some() || self.own.is_some() {
            self.own.get_or_insert_default().tap = tap;
        }
        self
    }

    /// A handle that sends messages and pings of the caller's own to either side. Every call returns the same one. The tunnel then
    /// [knows its frames](Tunnel::websocket), by default settings where there are no others.
    pub fn injector(&mut self) -> MessageInjector {
        let own = self.own.get_or_insert_default();
        own.injected.get_or_insert_with(MessageInjector::new).0.clone()
    }

    /// Ends the tunnel in order when `drain` completes, with [`End::Drained`](super::End::Drained). Made for [`Drain::signal`](super::Drain::signal), but any
    /// future will do.
    ///
    /// From then on nothing more is read. What was read is delivered and both sides' streams are shut down, all within
    /// the [half-close timeout](TunnelConfig::half_close_timeout). Then the streams are dropped when both peers have closed, at
    /// the latest a quarter of a second later; what the peers send in that time is discarded.
    ///
    /// A message may be cut in two, unless the tunnel [knows its frames](Tunnel::websocket).
    pub fn drain<G: Future<Output = ()>>(self, drain: G) -> Tunnel<D, U, G> {
        self.drain_if(Some(drain))
    }

    /// A look at this tunnel while it runs. Every call returns the same one.
    ///
    /// It shows frames only if the tunnel [knows them](Tunnel::websocket) when it is called first: by `websocket`, `tap` or `injector`.
    pub fn watch(&mut self) -> TunnelWatch {
        let is_framed = self.websocket.is_some() || self.own.is_some();
        self.watched
            .get_or_insert_with(|| Watched::unlisted(is_framed))
            .watch()
    }

    /// Lists the tunnel in a registry from now on until it has ended, and returns the look at it that is found there.
    /// [`watch`](Tunnel::watch) returns the same from then on. A tunnel that was listed before leaves the other registry.
    ///
    /// A tunnel that is to [know its frames](Tunnel::websocket) has to be set so before this, by `websocket`, `tap` or `injector`.
    pub fn list_in(&mut self, tunnels: &Tunnels, listing: Listing) -> TunnelWatch {
        let watched = tunnels.list(listing, self.websocket.is_some() || self.own.is_some());
        let watch = watched.watch();
        self.watched = Some(watched);
        watch
    }

    /// What [`list_in`](Tunnel::list_in) does, where it has been listed already.
    #[cfg(feature = "gateway")]
    pub(crate) fn watched(&mut self, watched: Option<Watched>) {
        self.watched = watched;
    }

    /// Its deadlines are waited for by this timer: the one by which those of its handshake were.
    #[cfg(feature = "gateway")]
    pub(crate) fn timer(&mut self, timer: Timer) {
        self.timer = timer;
    }

    /// The span that it comes from, and what is known of it, where that is not only the span that it is made in.
    #[cfg(feature = "gateway")]
    pub(crate) fn parent(&mut self, parent: Parent) {
        self.parent = parent;
    }

    /// The same, without a drain where there is none.
    pub(crate) fn drain_if<G: Future<Output = ()>>(self, drain: Option<G>) -> Tunnel<D, U, G> {
        Tunnel {
            downstream: self.downstream,
            upstream: self.upstream,
            config: self.config,
            from_downstream: self.from_downstream,
            from_upstream: self.from_upstream,
            websocket: self.websocket,
            own: self.own,
            drain,
            watched: self.watched,
            parent: self.parent,
            #[cfg(feature = "gateway")]
            timer: self.timer,
        }
    }

    /// Runs the tunnel to its end. The clock of its limits starts now, not at the first poll.
    ///
    /// One future that polls both directions: no task is spawned. The streams are dropped before it completes.
    ///
    /// # Errors
    ///
    /// The first failure of a stream, with the byte counts up to the end. An orderly end and a deadline are not errors.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the tunnel and closes both streams. Bytes read from one side that the other has not
    /// accepted, at most 64 KiB each way, are lost.
    ///
    /// # Panics
    ///
    /// If any limit is set, also a [rate](super::MessageLimits::throttle) that delays frames, when polled outside a tokio runtime with time enabled.
    pub fn run(self) -> Run<D, U, F> {
        let mut engine = Engine::new(self.config.unwrap_or_default());
        #[cfg(feature = "gateway")]
        engine.wait_by(self.timer);
        let of_own = self.own.as_ref().map(|_| WebSocketConfig::default());
        if let Some(mut config) = self.websocket.or(of_own) {
            let inflates = self
                .own
                .as_ref()
                .and_then(|own| own.tap.as_ref())
                .is_some_and(Tap::inflates);
            if inflates && config.allowed_reserved_bits().is_none() {
                config = config
                    .reserved_bits([true, false, false])
                    .permessage_deflate(true);
            }
            engine.frame(&config);
            if let Some(own) = self.own {
                engine.tap(own.tap, own.injected);
            }
        }
        engine.put_in_front(self.from_downstream, self.from_upstream);
        let id = self.watched.as_ref().and_then(Watched::id);
        let id = id.as_ref().map(|id| id as &dyn fmt::Display);
        let observed = ObservedTunnel::start(&self.parent, id);
        Run::new(
            self.downstream,
            self.upstream,
            engine,
            self.drain,
            self.watched,
            observed,
        )
    }
}

impl<D, U, F> fmt::Debug for Tunnel<D, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("config", &self.config)
            .field("from_downstream", &self.from_downstream.len())
            .field("from_upstream", &self.from_upstream.len())
            .finish_non_exhaustive()
    }
}

//! An upstream that speaks HTTP/2 by the crate `h2`, and does what a test tells it, stream by stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Response, request};
use switchover::TcpConnect;
use switchover::connect::{Connect, ConnectError, ConnectRequest, Pooling};
use switchover::http2::{Http2Config, Http2Connect};
use switchover::test_util::fault::{Faults, FaultyStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use support::bounded::within;

/// Connects, and has the connection behave badly from then on.
pub(crate) struct FaultyConnect(pub(crate) TcpConnect, pub(crate) Faults);

impl Connect for FaultyConnect {
    type Stream = FaultyStream<TcpStream>;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<Self::Stream, ConnectError> {
        Ok(FaultyStream::new(self.0.stream().await?).faults(self.1.clone()))
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

/// What a test may tell a connection.
pub(crate) enum Order {
    /// GOAWAY, and go on with the streams that there are.
    GoAway,
    /// Close the socket.
    Close,
}

pub(crate) struct Upstream {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    connections: Arc<Mutex<Vec<mpsc::UnboundedSender<Order>>>>,
    /// How many connections there have been, and how many have ended.
    counts: watch::Receiver<(usize, usize)>,
    _accepting: JoinSet<()>,
}

impl Upstream {
    /// One that enables the extended CONNECT protocol.
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder.enable_connect_protocol()).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Builder) -> &mut Builder) -> Self {
        let mut builder = Builder::new();
        configure(&mut builder);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let (count, counts) = watch::channel((0, 0));
        let count = Arc::new(count);
        let connections: Arc<Mutex<Vec<_>>> = Arc::default();
        let mut accepting = JoinSet::new();
        let all = connections.clone();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            for index in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (order, reported) = mpsc::unbounded_channel();
                all.lock().unwrap().push(order);
                count.send_modify(|count| count.0 += 1);
                let (ask, builder, count) = (ask.clone(), builder.clone(), count.clone());
                serving.spawn(async move {
                    serve(stream, builder, index, ask, reported).await;
                    count.send_modify(|count| count.1 += 1);
                });
            }
        });
        Upstream {
            address,
            asked,
            connections,
            counts,
            _accepting: accepting,
        }
    }

    pub(crate) fn connect(&self) -> Http2Connect<TcpConnect> {
        Http2Connect::new(self.tcp())
    }

    pub(crate) fn connect_with(&self, config: Http2Config) -> Http2Connect<TcpConnect> {
        self.connect().config(config)
    }

    pub(crate) fn tcp(&self) -> TcpConnect {
        TcpConnect::to(self.address.to_string())
    }

    /// The next extended CONNECT.
    pub(crate) async fn asked(&mut self) -> Asked {
        within("an extended CONNECT", self.asked.recv()).await.unwrap()
    }

    /// Agrees to the next extended CONNECT.
    pub(crate) async fn tunnel(&mut self) -> Tunnel {
        self.asked().await.agree()
    }

    /// Echoes on all streams, from now on.
    pub(crate) fn echo(self) -> Echoing {
        let Upstream {
            mut asked,
            connections,
            counts,
            _accepting,
            ..
        } = self;
        let mut echoing = JoinSet::new();
        echoing.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some(asked) = asked.recv().await {
                streams.spawn(asked.agree().echo());
            }
        });
        Echoing {
            counts,
            _connections: connections,
            _accepting,
            _echoing: echoing,
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.counts.borrow().0
    }

    pub(crate) async fn ended_connections(&mut self, ended: usize) {
        within(
            "connections to end",
            self.counts.wait_for(|count| count.1 >= ended),
        )
        .await
        .unwrap();
    }

    pub(crate) fn order(&self, connection: usize, order: Order) {
        let _ = self.connections.lock().unwrap()[connection].send(order);
    }
}

pub(crate) struct Echoing {
    counts: watch::Receiver<(usize, usize)>,
    _connections: Arc<Mutex<Vec<mpsc::UnboundedSender<Order>>>>,
    _accepting: JoinSet<()>,
    _echoing: JoinSet<()>,
}

impl Echoing {
    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.counts.borrow().0
    }
}

async fn serve(
    stream: TcpStream,
    builder: Builder,
    index: usize,
    ask: mpsc::UnboundedSender<Asked>,
    mut reported: mpsc::UnboundedReceiver<Order>,
) {
    let handshake = builder.handshake(stream).await;
    let Ok(mut connection): Result<Connection<TcpStream, Bytes>, _> = handshake else {
        return;
    };
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (request, body) = request.into_parts();
                    let _ = ask.send(Asked { request, body, respond, connection: index });
                }
                _ => return,
            },
            Some(order) = reported.recv() => match order {
                Order::GoAway => connection.graceful_shutdown(),
                Order::Close => return,
            },
        }
    }
}

/// An extended CONNECT that waits for its answer.
pub(crate) struct Asked {
    pub(crate) request: request::Parts,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// The index of its connection.
    pub(crate) connection: usize,
}

impl Asked {
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.request
            .extensions
            .get::<h2::ext::Protocol>()
            .map(|protocol| protocol.as_str())
    }

    pub(crate) fn agree(self) -> Tunnel {
        self.answer(Response::new(()))
    }

    pub(crate) fn answer(mut self, response: Response<()>) -> Tunnel {
        let send = self.respond.send_response(response, false).unwrap();
        Tunnel::new(send, self.body)
    }
}

/// An end of a stream, the upstream's unless a test says otherwise.
pub(crate) struct Tunnel {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) receive: RecvStream,
    unread: Bytes,
}

impl Tunnel {
    pub(crate) fn new(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Tunnel {
            send,
            receive,
            unread: Bytes::new(),
        }
    }

    /// Sends bytes as there is room for them.
    pub(crate) async fn send(&mut self, bytes: impl Into<Bytes>) {
        within("a stream to take bytes", self.try_send(bytes.into()))
            .await
            .unwrap();
    }

    pub(crate) async fn try_send(&mut self, mut bytes: Bytes) -> Result<(), h2::Error> {
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            match std::future::poll_fn(|cx| self.send.poll_capacity(cx)).await {
                Some(capacity) => {
                    let count = capacity?.min(bytes.len());
                    self.send.send_data(bytes.split_to(count), false)?;
                }
                None => return Err(Reason::STREAM_CLOSED.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// What comes next, as much as comes at once; none at END_STREAM.
    pub(crate) async fn read(&mut self) -> Result<Option<Bytes>, h2::Error> {
        if !self.unread.is_empty() {
            return Ok(Some(std::mem::take(&mut self.unread)));
        }
        loop {
            let Some(bytes) = self.receive.data().await else {
                return Ok(None);
            };
            let bytes = bytes?;
            self.receive.flow_control().release_capacity(bytes.len())?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    pub(crate) async fn receives(&mut self, expected: &[u8]) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let awaited = format!("an upstream to receive {}", expected.escape_ascii());
            match within(&awaited, self.read()).await {
                Ok(Some(mut bytes)) => {
                    let most = expected.len() - received.len();
                    received.extend_from_slice(&bytes.split_to(bytes.len().min(most)));
                    self.unread = bytes;
                }
                ended => panic!("{ended:?} after {}", received.escape_ascii()),
            }
        }
        assert!(received == expected, "{}", received.escape_ascii());
    }

    /// Waits for END_STREAM, with nothing before it.
    pub(crate) async fn ends(&mut self) {
        let ended = within("END_STREAM", self.read()).await;
        assert!(matches!(ended, Ok(None)), "{ended:?}");
    }

    /// Waits for RST_STREAM, whatever comes before it.
    pub(crate) async fn is_reset(&mut self) -> Reason {
        loop {
            match within("RST_STREAM", self.read()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("END_STREAM, no RST_STREAM"),
                Err(error) => return error.reason().expect("a reset has a reason"),
            }
        }
    }

    pub(crate) async fn echo(mut self) {
        while let Ok(Some(bytes)) = self.read().await {
            if self.try_send(bytes).await.is_err() {
                return;
            }
        }
        let _ = self.send.send_data(Bytes::new(), true);
    }
}

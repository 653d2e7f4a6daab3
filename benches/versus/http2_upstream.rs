//! The other side of [`http2`](super::http2): an upstream that speaks HTTP/2 takes WebSockets as streams (RFC 8441), many of them on a
//! connection of the proxy's. Its clients speak HTTP/1.1.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use switchover::http2::Http2Connect;
use switchover::{Gateway, TcpConnect};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{client, frames};

/// An upstream of one measurement. As [`Upstream`](super::upstream::Upstream), it sends messages back, for `/echo?N`.
pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Http2Upstream {
    pub(crate) async fn start() -> io::Result<Http2Upstream> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Http2Upstream {
            address: listener.local_addr()?,
            accepting: tokio::spawn(accept(listener)),
        })
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut builder = server::Builder::new();
    builder.enable_connect_protocol();
    let mut connection = builder.handshake(stream).await.map_err(io::Error::other)?;
    while let Some(asked) = connection.accept().await {
        let (request, respond) = asked.map_err(io::Error::other)?;
        tokio::spawn(async move { open(request, respond)?.echo().await });
    }
    Ok(())
}

/// A tunnel of the upstream's, and how large its messages are.
struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    payload: usize,
}

fn open(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> io::Result<Tunnel> {
    let payload = request.uri().query().and_then(|query| query.parse().ok());
    let send = respond.send_response(Response::new(()), false);
    Ok(Tunnel {
        send: send.map_err(io::Error::other)?,
        receive: request.into_body(),
        payload: payload.unwrap_or(64),
    })
}

impl Tunnel {
    async fn echo(mut self) -> io::Result<()> {
        let message = frames::from_client(self.payload).len();
        let answer = Bytes::from(frames::from_server(self.payload));
        let mut unanswered = 0;
        while let Some(data) = self.receive.data().await {
            let count = data.map_err(io::Error::other)?.len();
            let released = self.receive.flow_control().release_capacity(count);
            released.map_err(io::Error::other)?;
            unanswered += count;
            while unanswered >= message {
                let sent = self.send.send_data(answer.clone(), false);
                sent.map_err(io::Error::other)?;
                unanswered -= message;
            }
        }
        Ok(())
    }
}

/// Opens tunnels until one opens. HAProxy does not wait for the settings of an upstream before it asks for the first one.
pub(crate) async fn settle(proxy: SocketAddr) -> io::Result<()> {
    const TRIES: usize = 10;
    let mut opened = client::open(proxy, "/echo?64").await;
    for _ in 1..TRIES {
        if opened.is_ok() {
            break;
        }
        opened = client::open(proxy, "/echo?64").await;
    }
    opened.map(drop)
}

/// The crate's gateway in front of such an upstream, with the connector's own settings. The program `gateway` has no flag for it.
pub(crate) async fn relay(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let connect = Http2Connect::new(TcpConnect::to(upstream.to_string()));
    let gateway = Gateway::builder(connect).build();
    loop {
        let (client, peer) = listener.accept().await?;
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.serve(client, peer).await.map(drop) });
    }
}

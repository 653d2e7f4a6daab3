//! The ways of an ordinary request through the crate, and a client for each.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use switchover::TcpConnect;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::Hop;
use switchover::http2::{Http2Server, Http2ServerConfig};
use switchover::service::{Destination, Relay, RelayConfig, ReverseProxy, ServiceConfig};
use switchover::test_util::{ScriptedClient, TIMEOUT};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `Relay::serve` behind the crate's own acceptor.
    Relay,
    /// `Relay::respond` in hyper's server for HTTP/2.
    Relay2,
    /// `ReverseProxy` in axum, to a client of HTTP/1.1.
    Mounted,
    /// The same, to a client of HTTP/2.
    Mounted2,
    /// `ReverseProxy` in the crate's own server for HTTP/2.
    Own2,
}

pub(crate) const DOORS: [Door; 5] = [
    Door::Relay,
    Door::Relay2,
    Door::Mounted,
    Door::Mounted2,
    Door::Own2,
];

impl Door {
    pub(crate) fn is_http_2(self) -> bool {
        matches!(self, Door::Relay2 | Door::Mounted2 | Door::Own2)
    }
}

pub(crate) struct Proxy {
    door: Door,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: Method,
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// The message ends with its head.
    None,
    /// Announced by a Content-Length.
    Length(&'static str),
    /// Chunked; in HTTP/2 without a length. With these trailer fields.
    Open(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

/// What a client has received.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Behind the head, as it came; the content of an answer over HTTP/2.
    pub(crate) body: String,
    /// Of HTTP/2.
    pub(crate) trailers: Option<HeaderMap>,
    /// How many interim responses have come before it.
    pub(crate) interim: usize,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The content and the trailer fields.
    pub(crate) fn content(&self) -> (String, String) {
        match (self.field("transfer-encoding"), &self.trailers) {
            (Some(_), _) => crate::origin::unchunked(&self.body),
            (None, Some(trailers)) => {
                let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                    format!("{name}: {}\r\n", value.to_str().unwrap())
                };
                (self.body.clone(), trailers.iter().map(line).collect())
            }
            (None, None) => (self.body.clone(), String::new()),
        }
    }
}

impl Proxy {
    pub(crate) async fn to(door: Door, origin: SocketAddr) -> Self {
        Proxy::with(RelayConfig::default(), door, origin).await
    }

    pub(crate) async fn with(config: RelayConfig, door: Door, origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        match door {
            Door::Relay | Door::Relay2 | Door::Own2 => {
                let relay = Relay::new(config.clone());
                serving.spawn(async move {
                    let mut connections = JoinSet::new();
                    loop {
                        let (stream, peer) = listener.accept().await.unwrap();
                        stream.set_nodelay(true).unwrap();
                        let relay = relay.clone();
                        match door {
                            Door::Relay => connections.spawn(serve(stream, peer, relay, origin)),
                            Door::Own2 => connections.spawn(serve_own(stream, peer, config.clone(), origin)),
                            _ => connections.spawn(serve_http_2(stream, peer, relay, origin)),
                        };
                    }
                });
            }
            Door::Mounted | Door::Mounted2 => {
                let proxy = ReverseProxy::new(TcpConnect::to(origin.to_string())).relay(config);
                return Proxy::mounted(door, Router::new().fallback_service(proxy)).await;
            }
        }
        Proxy {
            door,
            address,
            _serving: serving,
        }
    }

    /// An axum application, with a client of the door's version.
    pub(crate) async fn mounted(door: Door, router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(
                listener,
                router.into_make_service_with_connect_info::<SocketAddr>(),
            )
            .await
            .unwrap()
        });
        Proxy {
            door,
            address,
            _serving: serving,
        }
    }

    /// A client of HTTP/2, and what drives its connection.
    pub(crate) async fn client_of_http_2(&self) -> (h2::client::SendRequest<Bytes>, JoinSet<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        (send, driving)
    }

    /// A client of HTTP/1.1 that has sent these bytes.
    pub(crate) async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = ScriptedClient::connect(self.address).await;
        client.send(bytes).await;
        client
    }

    /// Sends a message on a connection of its own and reads the answer to its end.
    pub(crate) async fn ask(&self, message: Message) -> Answer {
        let asked = async {
            match self.door.is_http_2() {
                true => self.ask_http_2(message).await,
                false => self.ask_http_1(message).await,
            }
        };
        timeout(TIMEOUT, asked).await.expect("an answer in time")
    }

    async fn ask_http_1(&self, message: Message) -> Answer {
        let mut bytes = format!("{} /a HTTP/1.1\r\nHost: a.example\r\n", message.method);
        for (name, value) in &message.fields {
            bytes += &format!("{name}: {value}\r\n");
        }
        match message.body {
            Body::None => bytes += "\r\n",
            Body::Length(body) => bytes += &format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            Body::Open(pieces, trailers) => {
                bytes += "Transfer-Encoding: chunked\r\n\r\n";
                for piece in pieces {
                    bytes += &format!("{:x}\r\n{piece}\r\n", piece.len());
                }
                bytes += "0\r\n";
                for (name, value) in trailers {
                    bytes += &format!("{name}: {value}\r\n");
                }
                bytes += "\r\n";
            }
        }
        let mut client = self.client_sending(bytes).await;
        let mut interim = 0;
        let (head, body) = loop {
            let (head, body) = match message.method {
                Method::HEAD => (client.head().await, Vec::new()),
                _ => client.response().await,
            };
            if !head.status.is_informational() {
                break (head, body);
            }
            interim += 1;
        };
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body).unwrap(),
            trailers: None,
            interim,
        }
    }

    async fn ask_http_2(&self, message: Message) -> Answer {
        let (mut send, _driving) = self.client_of_http_2().await;
        let mut request = Request::builder()
            .method(message.method)
            .uri("http://a.example/a");
        for (name, value) in &message.fields {
            request = request.header(*name, *value);
        }
        if let Body::Length(body) = message.body {
            request = request.header("content-length", body.len());
        }
        let ends = matches!(message.body, Body::None);
        let (response, mut body) = send.send_request(request.body(()).unwrap(), ends).unwrap();
        match message.body {
            Body::None => {}
            Body::Length(bytes) => body
                .send_data(Bytes::from_static(bytes.as_bytes()), true)
                .unwrap(),
            Body::Open(pieces, trailers) => {
                for piece in pieces {
                    body.send_data(Bytes::from_static(piece.as_bytes()), false)
                        .unwrap();
                }
                if trailers.is_empty() {
                    body.send_data(Bytes::new(), true).unwrap();
                } else {
                    let mut map = HeaderMap::new();
                    for (name, value) in trailers {
                        map.append(*name, value.parse().unwrap());
                    }
                    body.send_trailers(map).unwrap();
                }
            }
        }
        let (parts, mut incoming) = response.await.unwrap().into_parts();
        let mut content = Vec::new();
        while let Some(data) = incoming.data().await {
            let data = data.unwrap();
            incoming.flow_control().release_capacity(data.len()).unwrap();
            content.extend_from_slice(&data);
        }
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(content).unwrap(),
            trailers: incoming.trailers().await.unwrap(),
            interim: 0,
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, relay: Relay, origin: SocketAddr) {
    let acceptor = Acceptor::new(GatewayConfig::default());
    let mut accepted = acceptor.accept(stream, peer).await;
    loop {
        let (head, stream) = match accepted {
            Ok(Accepted::Ordinary(head, stream)) => (head, stream),
            Ok(Accepted::Upgrade(incoming)) => {
                let _ = incoming.proxy(&TcpConnect::to(origin.to_string())).await;
                return;
            }
            _ => return,
        };
        let destination = Destination::new(origin.to_string().parse().unwrap());
        let relayed = relay.serve(stream, &head, destination, peer.into()).await;
        let Some(stream) = relayed.ok().and_then(|relayed| relayed.stream) else {
            return;
        };
        accepted = acceptor.resume(stream, peer).await;
    }
}

async fn serve_own(stream: TcpStream, peer: SocketAddr, config: RelayConfig, origin: SocketAddr) {
    let proxy = ReverseProxy::new(TcpConnect::to(origin.to_string()))
        .config(ServiceConfig::default().hop(move |_| Hop::from(peer)))
        .relay(config);
    let server = Http2Server::new(Http2ServerConfig::default());
    let _ = server.serve(stream, proxy, std::future::pending()).await;
}

async fn serve_http_2(stream: TcpStream, peer: SocketAddr, relay: Relay, origin: SocketAddr) {
    let service = service_fn(move |request: Request<Incoming>| {
        let relay = relay.clone();
        async move {
            let destination = Destination::new(origin.to_string().parse().unwrap());
            Ok::<_, Infallible>(relay.respond(request, destination, peer.into()).await)
        }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

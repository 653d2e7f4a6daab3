//! WebSocket over HTTP/2 from a browser: an axum application over TLS, a page that opens a WebSocket to `/live`, and the
//! upstream that it is tunnelled to. The page says which version of HTTP it came over.
//!
//! ```text
//! cargo run --release --example http2_websocket
//! cargo run --release --example http2_websocket -- 127.0.0.1:8443 127.0.0.1:9000 chain.pem key.pem
//! ```
//!
//! Without an upstream it has an echo of its own, which `echo` stands for; `h2:127.0.0.1:9000` is an upstream that speaks
//! HTTP/2 itself. Without files it makes a certificate, which a browser warns of. `--http1` offers HTTP/1.1 alone.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Response, StatusCode, header, request::Parts};
use axum::middleware::{self, Next};
use axum::response::Html;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use switchover::TcpConnect;
use switchover::header::Hop;
use switchover::http2::Http2Connect;
use switchover::service::{ServiceConfig, Shutdown, UpgradeService};
use switchover::tls::{ServerStream, TlsAcceptor, TlsServerConfig};
use switchover::tunnel::Tunnels;
use switchover::websocket::SecWebSocketKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>WebSocket over HTTP/2</title>
<p>This page came over <b id="version"></b>, its WebSocket is <b id="state">connecting</b>.</p>
<form><input id="text" value="hello"> <button>send</button></form>
<pre id="log"></pre>
<script>
  const show = (id, text) => document.getElementById(id).append(text);
  show("version", performance.getEntriesByType("navigation")[0].nextHopProtocol);
  const socket = new WebSocket(`wss://${location.host}/live`);
  const become = (text) => document.getElementById("state").replaceChildren(text);
  socket.onopen = () => become("open");
  socket.onclose = (event) => become(`closed with ${event.code}`);
  socket.onmessage = (event) => show("log", `received ${event.data}\n`);
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    socket.send(document.getElementById("text").value);
  };
</script>
"#;

#[tokio::main]
async fn main() -> io::Result<()> {
    let (flags, arguments): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let mut tls = match (arguments.get(2), arguments.get(3)) {
        (Some(chain), Some(key)) => TlsServerConfig::from_pem(std::fs::read(chain)?, std::fs::read(key)?),
        _ => {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
            TlsServerConfig::from_pem(made.cert.pem(), made.signing_key.serialize_pem())
        }
    }
    .map_err(io::Error::other)?;
    if !flags.contains(&"--http1".to_owned()) {
        tls = tls.http2();
    }

    let tunnels = Tunnels::new();
    let config = ServiceConfig::default()
        .tunnels(tunnels.clone())
        // Every client comes by TLS here, which the upstream learns.
        .hop(|parts: &Parts| {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            peer.map_or(Hop::unknown(), |ConnectInfo(address)| Hop::from(*address))
                .tls(true)
        })
        .on_end(|ended| match ended.result {
            Ok(traffic) => println!("{}: {traffic}", ended.protocol),
            Err(error) => println!("{}: {} {}: {error}", ended.protocol, error.side(), error.phase()),
        });
    let upstream = match argument(1, "echo") {
        built_in if built_in == "echo" => start_echo().await?,
        address => address,
    };
    let app = Router::new().route("/", get(|| async { Html(PAGE) }));
    let app = match upstream.strip_prefix("h2:") {
        Some(address) => {
            let connect = Http2Connect::new(TcpConnect::to(address));
            app.route_service("/live", UpgradeService::new(connect).config(config))
        }
        None => app.route_service(
            "/live",
            UpgradeService::new(TcpConnect::to(upstream)).config(config),
        ),
    };
    // A WebSocket over HTTP/2 is a CONNECT of that version.
    let app = app.layer(middleware::from_fn(|request: Request, next: Next| {
        println!(
            "{} {} {:?}",
            request.method(),
            request.uri().path(),
            request.version()
        );
        next.run(request)
    }));

    let listener = TlsListener {
        tcp: TcpListener::bind(argument(0, "127.0.0.1:8443")).await?,
        acceptor: TlsAcceptor::new(tls),
        handshakes: JoinSet::new(),
    };
    println!("listening on {}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or(b"nothing by ALPN");
        println!("connection: {}", agreed.escape_ascii());
    });
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    // Over HTTP/2 a server does not end before its tunnels do.
    let served = Shutdown::new(tunnels).serve(ctrl_c, |stop| {
        axum::serve(listener, service).with_graceful_shutdown(stop)
    });
    served.await.unwrap_or(Ok(()))
}

/// A listener whose clients have done their TLS handshake. One that dawdles over it holds up no other.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(ServerStream<TcpStream>, SocketAddr)>>,
}

/// How many handshakes may be under way; then no connection is accepted until one is done.
const HANDSHAKES: usize = 1024;

impl Listener for TlsListener {
    type Io = ServerStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            tokio::select! {
                // axum's own, which waits a little where accepting fails.
                (stream, peer) = Listener::accept(&mut self.tcp), if self.handshakes.len() < HANDSHAKES => {
                    // A message must not wait for the next one to fill a segment.
                    let _ = stream.set_nodelay(true);
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(async move {
                        let accepted = acceptor.accept(stream).await;
                        let reported = accepted.inspect_err(|error| println!("{peer}: {error}"));
                        reported.ok().map(|stream| (stream, peer))
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// An upstream for when there is none: it sends every message back. Returns where it is.
async fn start_echo() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let address = listener.local_addr()?.to_string();
    tokio::spawn(axum::serve(listener, Router::new().fallback(echo)).into_future());
    Ok(address)
}

/// An ordinary WebSocket server of HTTP/1.1, which knows nothing of the browser's HTTP/2.
async fn echo(request: Request) -> Result<Response<String>, StatusCode> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.and_then(|key| SecWebSocketKey::parse(key.as_bytes()).ok());
    let accept = key.ok_or(StatusCode::BAD_REQUEST)?.accept();
    tokio::spawn(async move {
        let upgraded = TokioIo::new(hyper::upgrade::on(request).await?);
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok::<_, hyper::Error>(())
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept.as_str());
    response.body(String::new()).map_err(|_| StatusCode::BAD_REQUEST)
}

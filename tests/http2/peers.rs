//! Upstreams that are others' work: hyper's server, also over TLS, Node's and HAProxy's HTTP/2.
//!
//! What a machine lacks is skipped with a printed line. With `SWITCHOVER_PEERS=required` a skip is a failure.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use support::peers::Server;
use switchover::TcpConnect;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::GatewayConfig;
use switchover::http2::{Http2Config, Http2Connect};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::running_gateway::RunningGateway;
use crate::upstream::within;

/// An echo of WebSocket messages on hyper's server, which takes extended CONNECT.
async fn serve_by_hyper<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().enable_connect_protocol();
    let service = service_fn(|mut request: Request<Incoming>| async move {
        assert_eq!(
            (request.version(), request.method().as_str()),
            (Version::HTTP_2, "CONNECT")
        );
        let protocol = request
            .extensions()
            .get::<hyper::ext::Protocol>()
            .map(|protocol| protocol.as_str().to_owned());
        assert_eq!(protocol.as_deref(), Some("websocket"));
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgrade.await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let _ = server
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// Messages of all sizes and an orderly close, by a WebSocket library that knows nothing of the gateway.
async fn messages_are_echoed(gateway: &RunningGateway) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let message = Message::binary(vec![size as u8; size]);
        let (mut sender, mut receiver) = socket.split();
        let echo = async { tokio::join!(sender.send(message.clone()), receiver.next()).1 };
        assert!(
            within("an echo", echo).await.unwrap().unwrap() == message,
            "{size}"
        );
        socket = sender.reunite(receiver).unwrap();
    }
    socket.close(None).await.unwrap();
    let closing = within("a close", socket.next()).await;
    assert!(matches!(closing, Some(Ok(Message::Close(_)))), "{closing:?}");
}

#[tokio::test]
async fn hyper_and_a_websocket_library() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_by_hyper(stream));
        }
    });
    let connect = Http2Connect::new(TcpConnect::to(address.to_string()));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    for _ in 0..3 {
        messages_are_echoed(&gateway).await;
    }
}

/// TLS that offers `h2` alone, as the inner connector of an upstream over TLS has to.
struct TlsConnect {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Connect for TlsConnect {
    type Stream = TlsStream<TcpStream>;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<Self::Stream, ConnectError> {
        let tcp = TcpConnect::to(self.address.to_string()).stream().await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.tls.connect(name, tcp).await;
        stream.map_err(|source| ConnectError::Failed {
            name: self.address.to_string(),
            error: source,
        })
    }
}

#[tokio::test]
async fn hyper_over_tls() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    // Named: with every feature there are two to choose from.
    let provider = Arc::new(ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { serve_by_hyper(acceptor.accept(stream).await.unwrap()).await });
        }
    });
    let connect = TlsConnect {
        address,
        tls: TlsConnector::from(Arc::new(client)),
    };
    let config = Http2Config::default().scheme("https".parse().unwrap());
    let connect = Http2Connect::new(connect).config(config);
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    messages_are_echoed(&gateway).await;
}

/// A program that ends with this value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program can be had here. If not, the test is skipped, or fails where peers are required.
fn has(program: &str) -> bool {
    let version = if program == "haproxy" { "-v" } else { "--version" };
    let mut command = Command::new(program);
    let found = command
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
        let required = std::env::var_os("SWITCHOVER_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{program} is required here");
    }
    found
}

#[tokio::test]
async fn node() {
    if !has("node") {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/http2_server.mjs");
    let node = Server::start(Command::new("node").arg(script));
    let connect = Http2Connect::new(TcpConnect::to(node.address.to_string()));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let request = UPGRADE_REQUEST.replacen("Host:", "Sec-WebSocket-Protocol: a, b\r\nHost:", 1);
    let mut client = gateway.client_sending(request).await;
    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["sec-websocket-protocol"]),
        (101, &"a".parse().unwrap())
    );
    for size in [1, 1_000, 100_000] {
        let bytes = vec![size as u8; size];
        client.send(&bytes).await;
        client.receives(&bytes).await;
    }
    client.end_writes().await;
    client.ends().await;

    let mut client = gateway
        .client_sending(UPGRADE_REQUEST.replacen("/chat", "/refused", 1))
        .await;
    let (head, body) = client.response().await;
    let chunked: &[u8] = b"7\r\nnot you\r\n0\r\n\r\n";
    assert_eq!((head.status.as_u16(), body.as_slice()), (403, chunked));
}

#[tokio::test]
async fn haproxy_in_front_of_an_http_1_origin() {
    if !has("haproxy") {
        return;
    }
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    // A port that is free now may be anybody's by the time that HAProxy wants it. Nobody else has this address.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, high | 0x80, middle, low], 8443));
    let config = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         listen websocket\n bind {address} proto h2\n server origin {}\n",
        origin.address()
    );
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http2_haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("haproxy");
    let child = command
        .arg("-db")
        .arg("-f")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _haproxy = Program(child.unwrap());
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within("HAProxy to listen", listening).await;

    let connect = Http2Connect::new(TcpConnect::to(address.to_string()));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    for _ in 0..3 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        for size in [1, 1_000, 100_000] {
            let bytes = vec![size as u8; size];
            client.send(&bytes).await;
            client.receives(&bytes).await;
        }
        client.end_writes().await;
        client.ends().await;
    }
    // The origin is asked by HTTP/1.1 again, with a key of HAProxy's.
    let head = origin.connection(0).await.head().await;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("dGhlIHNhbXBsZSBub25jZQ=="), "{head}");
}

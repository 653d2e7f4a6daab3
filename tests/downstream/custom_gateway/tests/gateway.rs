//! The gateway on a socket, between clients and origins of these tests' own.

use std::net::SocketAddr;
use std::time::Duration;

use custom_gateway::{Server, Upstreams};
use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::tunnel::{Cap, Drain, Schedule};
use switchover::websocket::SecWebSocketKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(20);

/// An origin that switches, says its name, and sends back what it gets.
async fn origin(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, name));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    let head = loop {
        stream.read_buf(&mut buffer).await?;
        match parse_request(&buffer, &HeadLimits::default()).expect("a good head") {
            Parsed::Complete { parts, .. } => break parts,
            Parsed::Partial => {}
        }
    };
    let key = SecWebSocketKey::parse(head.headers["sec-websocket-key"].as_bytes()).expect("a key");
    let accept = key.accept();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n{name}",
        accept.as_str()
    );
    stream.write_all(answer.as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    Ok(())
}

/// An address at which nobody listens, for as long as the socket is there.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

struct Running {
    address: SocketAddr,
    server: Server,
    drain: Drain,
    lines: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(config: GatewayConfig, upstreams: Upstreams) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let drain = Drain::new();
        let server = Server::new(config, upstreams, drain.clone(), sender);
        let task = tokio::spawn({
            let server = server.clone();
            async move { server.run(listener).await }
        });
        Running {
            address,
            server,
            drain,
            lines,
            task,
        }
    }

    async fn line(&mut self) -> String {
        timeout(TIMEOUT, self.lines.recv())
            .await
            .expect("a line in time")
            .expect("a server")
    }

    async fn client(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// A client that asks for a WebSocket, and the status line that it gets.
    async fn upgrade(&self, path: &str, lines: &str) -> (TcpStream, String) {
        let mut client = self.client(&handshake(path, lines)).await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = timeout(TIMEOUT, client.read_u8()).await.expect("a head in time");
            head.push(byte.expect("a head").into());
        }
        let status = head.lines().next().unwrap_or_default().to_owned();
        (client, status)
    }
}

fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

async fn receives(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    let read = timeout(TIMEOUT, client.read_exact(&mut bytes)).await;
    read.expect("bytes in time").expect("bytes");
    assert_eq!(bytes.escape_ascii().to_string(), expected);
}

async fn rest(client: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(TIMEOUT, client.read_to_string(&mut text)).await;
    read.expect("an end in time").expect("an end in order");
    text
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols";

#[tokio::test]
async fn the_path_chooses_the_upstream() {
    let upstreams = Upstreams::default()
        .path("/chat", &[&origin("chat").await])
        .unwrap();
    let upstreams = upstreams.path("/chat/old", &[&origin("old").await]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default(), upstreams).await;
    for (path, name) in [("/chat", "chat"), ("/chat/7?x=1", "chat"), ("/chat/old", "old")] {
        let (mut client, status) = gateway.upgrade(path, "").await;
        assert_eq!(status, SWITCHED, "{path}");
        receives(&mut client, name).await;
        client.write_all(b"hello").await.unwrap();
        receives(&mut client, "hello").await;
        drop(client);
        let line = gateway.line().await;
        assert!(line.contains("websocket: 5 B from downstream"), "{line}");
    }
    let (mut client, status) = gateway.upgrade("/nowhere", "").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(rest(&mut client).await.contains("no route"));
    drop(client);
    assert!(gateway.line().await.contains("404 Not Found there is no route"));
}

#[tokio::test]
async fn the_next_upstream_steps_in() {
    let ((_socket, nobody), somebody) = (nobody(), origin("b").await);
    let upstreams = Upstreams::default().path("/", &[&nobody, &somebody]).unwrap();
    let upstreams = upstreams.path("/down", &[&nobody]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default(), upstreams).await;
    let (mut client, status) = gateway.upgrade("/", "").await;
    assert_eq!(status, SWITCHED);
    receives(&mut client, "b").await;
    drop(client);
    gateway.line().await;

    let (mut client, status) = gateway.upgrade("/down", "").await;
    assert_eq!(status, "HTTP/1.1 502 Bad Gateway");
    assert!(
        !rest(&mut client).await.contains("127.0.0.1"),
        "no addresses for clients"
    );
    drop(client);
    let line = gateway.line().await;
    assert!(
        line.contains("upstream failed, connect: no connection to 127.0.0.1:"),
        "{line}"
    );
}

#[tokio::test]
async fn other_origins_are_refused() {
    let policy = HandshakePolicy::default().allow_origin("https://example.com".parse().unwrap());
    let upstreams = Upstreams::default().path("/", &[&origin("a").await]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default().policy(policy), upstreams).await;
    for (origin, expected) in [
        ("https://example.com", "101"),
        ("https://EXAMPLE.com:443", "101"),
        ("http://example.com", "403"),
        ("https://example.com.evil.example", "403"),
        ("null", "403"),
    ] {
        let (client, status) = gateway.upgrade("/", &format!("Origin: {origin}\r\n")).await;
        assert!(status.contains(expected), "{origin}: {status}");
        drop(client);
        gateway.line().await;
    }
}

#[tokio::test]
async fn tunnels_beyond_the_cap_wait_for_one_that_ends() {
    let upstreams = Upstreams::default().path("/", &[&origin("a").await]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default().cap(Cap::new(1)), upstreams).await;
    let (mut first, status) = gateway.upgrade("/", "").await;
    assert_eq!(status, SWITCHED);
    receives(&mut first, "a").await;
    assert_eq!(
        gateway.upgrade("/", "").await.1,
        "HTTP/1.1 503 Service Unavailable"
    );
    assert!(gateway.line().await.contains("as many tunnels as allowed"));
    drop(first);
    assert!(gateway.line().await.contains("websocket"));
    assert_eq!(gateway.upgrade("/", "").await.1, SWITCHED);
}

#[tokio::test]
async fn the_status_page_shows_tunnels_and_they_can_be_ended() {
    let upstreams = Upstreams::default().path("/", &[&origin("name").await]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default(), upstreams).await;
    let (mut client, _) = gateway.upgrade("/", "").await;
    receives(&mut client, "name").await;
    client.write_all(b"12345").await.unwrap();
    receives(&mut client, "12345").await;

    let peer = client.local_addr().unwrap();
    let mut reader = gateway.client("GET /status HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let page = rest(&mut reader).await;
    drop(reader);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(
        page.ends_with(&format!("\r\n\r\n{peer} 5 B up, 9 B down\n")),
        "{page}"
    );
    assert!(gateway.line().await.ends_with("GET /status: 200 OK"));

    assert!(gateway.server.end(peer));
    assert_eq!(rest(&mut client).await, "");
    let line = gateway.line().await;
    assert!(line.contains("ended on request"), "{line}");
    assert!(!gateway.server.end(peer));
}

#[tokio::test]
async fn other_pages_are_not_there() {
    let gateway = Running::start(GatewayConfig::default(), Upstreams::default()).await;
    for (method, text) in [("GET", "only WebSocket is spoken here\n"), ("HEAD", "")] {
        let mut client = gateway
            .client(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{text}")), "{answer}");
    }
}

#[tokio::test]
async fn a_drain_lets_nobody_in_and_ends_every_tunnel() {
    let upstreams = Upstreams::default().path("/", &[&origin("").await]).unwrap();
    let mut gateway = Running::start(GatewayConfig::default(), upstreams).await;
    // Says nothing, and has nothing to lose. It is accepted before those that come after it.
    let mut silent = gateway.client("").await;
    let mut tunnels = Vec::new();
    for _ in 0..5 {
        tunnels.push(gateway.upgrade("/", "").await.0);
    }
    gateway
        .drain
        .start(Schedule::default().spread(Duration::from_millis(100)));
    assert_eq!(rest(&mut silent).await, "");
    for tunnel in &mut tunnels {
        assert_eq!(rest(tunnel).await, "");
    }
    drop(tunnels);
    let ended = timeout(TIMEOUT, &mut gateway.task)
        .await
        .expect("the server ends");
    ended.unwrap().unwrap();
    assert!(TcpStream::connect(gateway.address).await.is_err());
    let mut drained = 0;
    while let Ok(line) = gateway.lines.try_recv() {
        drained += usize::from(line.ends_with("drained"));
    }
    assert_eq!(drained, 5);
}

//! Real peers with compression on, with a tap between them that reads, replaces or limits what both say.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::Command;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use support::bounded;
use switchover::http2::Http2Connect;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tunnel::{Compression, Decision, MessageHead, MessageTap, Tap, Verdict};
use switchover::{Side, TcpConnect, UpgradeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::app::App;
use crate::over_tls::Files;
use crate::programs::{Server, has_chromium, has_node, has_python, node, passes, python};

/// What a tap does. Whatever it is, an echo is an echo: what is replaced is replaced by the same, in one frame and not compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Reads,
    Observes,
    Replaces,
    /// Reads what this side sends, up to 300,000 bytes.
    Limits(Side),
}

impl MessageTap for Kind {
    fn decide(&mut self, head: &MessageHead) -> Decision {
        match *self {
            Kind::Observes => Decision::Observe,
            Kind::Limits(side) if head.sender() == side => Decision::Read(300_000),
            Kind::Limits(_) => Decision::Pass,
            _ => Decision::Read(4 << 20),
        }
    }

    fn read(&mut self, head: &MessageHead, payload: &Bytes) -> Verdict {
        assert!(
            !head.is_text() || std::str::from_utf8(payload).is_ok(),
            "it is shown what was said"
        );
        match self {
            Kind::Replaces => Verdict::Replace(payload.clone()),
            _ => Verdict::Pass,
        }
    }
}

/// An application with a page, and an echo behind `/live` under a tap.
fn app(kind: Kind, compression: Compression, tls: Option<&Files>, upstream: SocketAddr) -> App {
    let upgrade = UpgradeConfig::default().tap(move |_, _| Some(Tap::new(kind).compression(compression)));
    let service = UpgradeService::new(TcpConnect::to(upstream.to_string()));
    let service = service.config(ServiceConfig::default().upgrade(upgrade));
    let page = get(|| async { Html("<!doctype html><title>live</title>") });
    App::serving(
        tls,
        Router::new().route("/", page).route_service("/live", service),
    )
}

const TRANSPARENT: [Kind; 3] = [Kind::Reads, Kind::Observes, Kind::Replaces];

#[test]
fn nothing_changes_for_the_ends_whatever_a_tap_reads_or_replaces() {
    if !has_node() || !has_python() {
        return;
    }
    for server in [
        &mut node("ws_server.mjs") as &mut Command,
        &mut python("websockets_server.py"),
    ] {
        let server = Server::start(server);
        for kind in TRANSPARENT {
            // The clients insist on the extension.
            let app = app(kind, Compression::Inflate, None, server.address);
            for mut client in [node("ws_client.mjs"), python("websockets_client.py")] {
                passes(client.arg(format!("ws://{}/live", app.address)));
            }
        }
        let app = app(Kind::Replaces, Compression::Strip, None, server.address);
        for mut client in [node("ws_client.mjs"), python("websockets_client.py")] {
            passes(client.args([&format!("ws://{}/live", app.address), "--without-deflate"]));
        }
    }
}

/// The clients speak HTTP/1.1 alone: a proxy in front of the application speaks HTTP/2 with it.
#[test]
fn nor_over_http_2() {
    if !has_node() || !has_python() {
        return;
    }
    for server in [
        &mut node("ws_server.mjs") as &mut Command,
        &mut python("websockets_server.py"),
    ] {
        let server = Server::start(server);
        for kind in TRANSPARENT {
            let app = app(kind, Compression::Inflate, None, server.address);
            let front = App::start(None, Http2Connect::new(TcpConnect::to(app.address.to_string())));
            for mut client in [node("ws_client.mjs"), python("websockets_client.py")] {
                passes(client.arg(format!("ws://{}/live", front.address)));
            }
            let asked = app.asked();
            let is_it = |line: &String| line == "CONNECT /live HTTP/2.0";
            assert!(!asked.is_empty() && asked.iter().all(is_it), "{asked:?}");
        }
    }
}

/// What an application answers to an offer of the extension.
fn agreed(address: SocketAddr) -> String {
    let mut stream = bounded::connect(address);
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let asking = UPGRADE_REQUEST
        .replacen("/chat", "/live", 1)
        .replacen("\r\n\r\n", offer, 1);
    stream.write_all(asking.as_bytes()).expect("it is taken");
    let mut lines = BufReader::new(stream).lines();
    lines
        .find_map(|line| {
            let line = line.expect("a head").to_ascii_lowercase();
            line.strip_prefix("sec-websocket-extensions: ").map(str::to_owned)
        })
        .expect("it is agreed on")
}

/// Those of Python agree on 12 bits by themselves, in the tests above.
#[test]
fn windows_of_any_size_are_inflated() {
    if !has_node() || !has_python() {
        return;
    }
    for bits in ["9", "11", "14"] {
        let server = Server::start(node("ws_server.mjs").env("WINDOW_BITS", bits));
        for kind in TRANSPARENT {
            let app = app(kind, Compression::Inflate, None, server.address);
            let agreed = agreed(app.address);
            for side in ["server", "client"] {
                assert!(
                    agreed.contains(&format!("{side}_max_window_bits={bits}")),
                    "{agreed}"
                );
            }
            for mut client in [node("ws_client.mjs"), python("websockets_client.py")] {
                passes(client.arg(format!("ws://{}/live", app.address)));
            }
        }
    }
}

#[test]
fn one_message_that_is_too_big_ends_its_connection_and_no_other() {
    if !has_node() || !has_python() {
        return;
    }
    for side in [Side::Downstream, Side::Upstream] {
        for server in [
            &mut node("ws_server.mjs") as &mut Command,
            &mut python("websockets_server.py"),
        ] {
            let server = Server::start(server);
            let app = app(Kind::Limits(side), Compression::Inflate, None, server.address);
            for (mut client, name) in [
                (node("ws_client.mjs"), "1 MiB both ways"),
                (python("websockets_client.py"), "one mebibyte both ways"),
            ] {
                let output = bounded::output(client.arg(format!("ws://{}/live", app.address)));
                let text = String::from_utf8_lossy(&output.stdout);
                let failed: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
                assert_eq!(failed.len(), 1, "{side}: {text}");
                let (code, told) = match side {
                    Side::Downstream => ("1009", "1001 a message of the other side was refused"),
                    Side::Upstream => ("1001", "1009 the message is too big"),
                };
                assert!(failed[0].starts_with(&format!("not ok {name}: ")), "{failed:?}");
                assert!(failed[0].contains(code) || name.starts_with('1'), "{failed:?}");
                server.prints(&format!("closed {told}"), 1);
            }
        }
    }
}

#[test]
fn chromium_over_both_versions() {
    if !has_chromium() {
        return;
    }
    let files = Files::new("chromium-taps");
    let server = Server::start(&mut node("ws_server.mjs"));
    for (kind, option) in [
        (Kind::Reads, "--echo-only"),
        (Kind::Observes, "--echo-only"),
        (Kind::Replaces, "--echo-only"),
        (Kind::Limits(Side::Downstream), "--limited"),
    ] {
        let encrypted = app(kind, Compression::Inflate, Some(&files), server.address);
        let plain = app(kind, Compression::Inflate, None, server.address);
        for (page, protocol) in [
            (format!("https://localhost:{}/", encrypted.address.port()), "h2"),
            (format!("http://localhost:{}/", plain.address.port()), "http/1.1"),
        ] {
            let mut chromium = node("browser_live.mjs");
            passes(
                chromium
                    .env("TLS_CERT", &files.chain)
                    .args([&page, protocol, option]),
            );
        }
        let asked = encrypted.asked();
        let opened = asked
            .iter()
            .filter(|line| *line == "CONNECT /live HTTP/2.0")
            .count();
        assert_eq!(opened, 15, "{asked:?}");
    }
}

/// The answer to the sample key.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Sends one head and reads the other's, either first: the handshake is not what is tried here.
async fn shake_hands(mut stream: TcpStream, role: Role) -> WebSocketStream<TcpStream> {
    let asking = UPGRADE_REQUEST.replacen("/chat", "/live", 1);
    let mut read = Vec::new();
    if role == Role::Client {
        stream.write_all(asking.as_bytes()).await.expect("it is taken");
    }
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.expect("a whole head"));
    }
    if role == Role::Server {
        stream.write_all(SWITCHING.as_bytes()).await.expect("it is taken");
    }
    WebSocketStream::from_raw_socket(stream, role, None).await
}

/// An echo.
async fn rust_server(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut socket = shake_hands(stream, Role::Server).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.expect("it is taken");
                }
            }
        });
    }
}

#[tokio::test]
async fn tungstenite_on_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("an address");
    let server = tokio::spawn(rust_server(listener));
    for kind in TRANSPARENT {
        let app = app(kind, Compression::Inflate, None, upstream);
        let stream = TcpStream::connect(app.address).await.expect("it listens");
        let mut socket = shake_hands(stream, Role::Client).await;
        for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            for message in [
                Message::text("x".repeat(length)),
                Message::binary(vec![length as u8; length]),
            ] {
                socket.send(message.clone()).await.expect("it is taken");
                let echoed = socket.next().await.expect("an echo").expect("a message");
                assert!(echoed == message, "{length} under a tap that {kind:?}");
            }
        }
        socket
            .send(Message::Ping(Bytes::from_static(b"there?")))
            .await
            .expect("it is taken");
        let pong = socket.next().await.expect("a pong").expect("a message");
        assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));
        socket.close(None).await.expect("a Close");
        while let Some(message) = socket.next().await {
            assert!(message.expect("an end in order").is_close());
        }
    }
    server.abort();
}

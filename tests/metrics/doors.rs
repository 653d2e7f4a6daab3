//! The same is recorded at both doors, and over both versions of HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use support::bounded::{until, within};
use switchover::gateway::{Gateway, GatewayConfig};
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{Tunnels, WebSocketConfig};
use switchover::upstream::{Group, Server};
use switchover::websocket::SecWebSocketKey;
use switchover::{Side, UpgradeConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::net::{TcpListener, TcpStream};

use crate::{Recorded, recorded};

/// The answer of an origin that agrees to this head.
fn agreement(head: &str) -> String {
    let start = head
        .to_ascii_lowercase()
        .find("sec-websocket-key:")
        .expect("a key");
    let (_, rest) = head[start..].split_once(':').unwrap();
    let key = rest.lines().next().unwrap().trim();
    let accept = SecWebSocketKey::parse(key.as_bytes()).unwrap().accept();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Gateway,
    Service,
    ServiceOverHttp2,
}

const WAYS: [Way; 3] = [Way::Gateway, Way::Service, Way::ServiceOverHttp2];

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Way {
    /// A proxy in front of a server, on this thread.
    async fn mounted(self, server: SocketAddr, upgrade: UpgradeConfig) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let group = Group::of([Server::to(server.to_string())]);
        match self {
            Way::Gateway => {
                let config = GatewayConfig::default().upgrade(upgrade);
                let gateway = Gateway::builder(group).config(config).build();
                tokio::spawn(async move {
                    while let Ok((stream, peer)) = listener.accept().await {
                        let gateway = gateway.clone();
                        tokio::spawn(async move { drop(gateway.serve(stream, peer).await) });
                    }
                });
            }
            Way::Service | Way::ServiceOverHttp2 => {
                let proxy = ReverseProxy::new(group).config(ServiceConfig::default().upgrade(upgrade));
                let app = Router::new().fallback_service(proxy);
                let service = app.into_make_service_with_connect_info::<SocketAddr>();
                tokio::spawn(async move { axum::serve(listener, service).await });
            }
        }
        address
    }

    /// Asks for a WebSocket. The status of the answer, and what carries its bytes.
    async fn open(self, proxy: SocketAddr) -> (u16, Box<dyn Stream>) {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        if self == Way::ServiceOverHttp2 {
            return open_over_http2(stream).await;
        }
        stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), Box::new(stream))
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn open_over_http2(stream: TcpStream) -> (u16, Box<dyn Stream>) {
    let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(async move { drop(connection.await) });
    // The server's settings are before its first pong.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let request = http::Request::connect("http://example.com/chat")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    let (response, mut to_proxy) = send.send_request(request.body(()).unwrap(), false).unwrap();
    let answer = within("an answer", response).await.unwrap();
    let (status, mut from_proxy) = (answer.status().as_u16(), answer.into_body());
    let (near, far) = duplex(4096);
    let (mut read, mut write) = split(far);
    tokio::spawn(async move {
        let mut bytes = vec![0; 4096];
        while let Ok(count @ 1..) = read.read(&mut bytes).await {
            if to_proxy.send_data(bytes[..count].to_vec().into(), false).is_err() {
                return;
            }
        }
        let _ = to_proxy.send_data(bytes::Bytes::new(), true);
        drop(send);
    });
    tokio::spawn(async move {
        while let Some(Ok(data)) = from_proxy.data().await {
            let _ = from_proxy.flow_control().release_capacity(data.len());
            if write.write_all(&data).await.is_err() {
                return;
            }
        }
    });
    (status, Box::new(near))
}

/// The next frame of at most 125 bytes: its first byte, and its payload without a mask.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let mut start = [0; 2];
    within("a frame", stream.read_exact(&mut start)).await.unwrap();
    let mut mask = [0; 4];
    if start[1] & 0x80 != 0 {
        within("a mask", stream.read_exact(&mut mask)).await.unwrap();
    }
    let mut payload = vec![0; usize::from(start[1] & 0x7f)];
    within("its payload", stream.read_exact(&mut payload))
        .await
        .unwrap();
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    (start[0], payload)
}

fn bytes(first: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u8;
    match is_masked {
        true => [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat(),
        false => [&[first, length], payload].concat(),
    }
}

/// Answers pings until a Close comes, and answers that with a code.
async fn answers(stream: &mut impl Stream, is_client: bool, code: &[u8]) {
    loop {
        let answer = match frame(&mut *stream).await {
            (0x89, payload) => bytes(0x8a, is_client, &payload),
            (0x88, _) => bytes(0x88, is_client, code),
            _ => continue,
        };
        let is_over = answer[0] == 0x88;
        stream.write_all(&answer).await.unwrap();
        if is_over {
            return;
        }
    }
}

/// A tunnel with pings on both sides, which the client closes with 4001 and the origin with 1000.
async fn talked(way: Way) -> Recorded {
    recorded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = agreement(&head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
            answers(&mut stream, false, &[3, 232]).await;
        });
        let tunnels = Tunnels::new();
        let pings = WebSocketConfig::default().ping_interval(Duration::from_millis(20));
        let upgrade = UpgradeConfig::default().tunnels(tunnels.clone()).websocket(pings);
        let (status, mut client) = way.open(way.mounted(server, upgrade).await).await;
        assert_eq!(status, if way == Way::ServiceOverHttp2 { 200 } else { 101 });
        // Three times each side has been asked whether it is there.
        for _ in 0..3 {
            let (first, payload) = frame(&mut client).await;
            assert_eq!(first, 0x89);
            client.write_all(&bytes(0x8a, true, &payload)).await.unwrap();
        }
        let trips = |side| {
            let tunnel = tunnels.iter().next();
            tunnel.and_then(|tunnel| Some(tunnel.round_trips(side)?.count()))
        };
        until("an answer of the origin", || trips(Side::Upstream) >= Some(1)).await;
        client.write_all(&bytes(0x88, true, &[15, 161])).await.unwrap();
        while frame(&mut client).await.0 != 0x88 {}
        drop(client);
        until("the end", || tunnels.is_empty()).await;
    })
    .await
}

#[tokio::test]
async fn closes_pings_and_the_tunnel() {
    for way in WAYS {
        let recorded = talked(way).await;
        for (name, expected) in [
            ("switchover_tunnels_opened_total{}", 1),
            ("switchover_tunnels_open{}", 0),
            ("switchover_tunnel_duration_seconds{}", 1),
            ("switchover_websocket_closes_total{from=downstream,code=4xxx}", 1),
            ("switchover_websocket_closes_total{from=upstream,code=1000}", 1),
            ("switchover_connect_seconds{kind=upgrade}", 1),
            ("switchover_response_head_seconds{kind=upgrade}", 1),
        ] {
            assert_eq!(recorded.of(name), expected, "{way:?}: {name}");
        }
        for name in ["tunnels_ended_total", "attempts_total"] {
            assert_eq!(recorded.sum(&format!("switchover_{name}")), 1, "{way:?}: {name}");
        }
        assert_eq!(recorded.sum("switchover_websocket_closes_total"), 2, "{way:?}");
        for (side, least) in [("downstream", 3), ("upstream", 1)] {
            let pings = recorded.of(&format!("switchover_websocket_ping_seconds{{side={side}}}"));
            assert!(pings >= least, "{way:?}: {pings} answers of {side}");
            let pongs = format!("switchover_websocket_frames_total{{from={side},opcode=pong}}");
            assert!(recorded.of(&pongs) >= least, "{way:?}: {side}");
        }
    }
}

#[tokio::test]
async fn what_is_declined_by_the_class_of_its_status() {
    for way in WAYS {
        for (line, class) in [
            ("204 No Content", "2xx"),
            ("302 Found", "3xx"),
            ("403 Forbidden", "4xx"),
            ("503 Service Unavailable", "5xx"),
        ] {
            // A client of HTTP/2 would take any of 2xx for a tunnel (RFC 8441, section 5).
            if (way, class) == (Way::ServiceOverHttp2, "2xx") {
                continue;
            }
            let recorded = recorded(async {
                let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
                let answer = match class {
                    "2xx" => answer.replacen("Content-Length: 0\r\n", "", 1),
                    _ => answer,
                };
                let origin = ScriptedOrigin::start(Script::answering(answer)).await;
                let proxy = way.mounted(origin.address(), UpgradeConfig::default()).await;
                let (status, _client) = way.open(proxy).await;
                assert_eq!(status.to_string(), line.split(' ').next().unwrap());
            })
            .await;
            let declined = format!("switchover_declined_total{{status={class}}}");
            assert_eq!(recorded.of(&declined), 1, "{way:?}: {line}");
            assert_eq!(recorded.sum("switchover_declined_total"), 1, "{way:?}: {line}");
            assert_eq!(
                recorded.sum("switchover_tunnels_opened_total"),
                0,
                "{way:?}: {line}"
            );
            assert_eq!(recorded.sum("switchover_failed_total"), 0, "{way:?}: {line}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone() {
    for way in WAYS {
        let recorded = recorded(async {
            let gone = TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap()
                .local_addr()
                .unwrap();
            let (status, _client) = way.open(way.mounted(gone, UpgradeConfig::default()).await).await;
            assert_eq!(status, 502);
        })
        .await;
        let failed = "switchover_failed_total{phase=connect,side=upstream,reason=refused}";
        assert_eq!(recorded.of(failed), 1, "{way:?}");
        assert_eq!(recorded.sum("switchover_failed_total"), 1, "{way:?}");
    }
}

//! A tap in front of an HTTP/2 upstream (RFC 8441), by both doors and under both versions of clients: it reads and replaces what both
//! sides say, compressed or not.

use axum::Router;
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Request, Response};
use switchover::UpgradeConfig;
use switchover::gateway::GatewayConfig;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::tunnel::{Compression, Decision, MessageHead, MessageTap, Tap, Verdict};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::running_gateway::RunningGateway;
use crate::upstream::{Asked, Tunnel, Upstream, within};

/// Puts all that is said into capitals.
struct Capitals;

impl MessageTap for Capitals {
    fn decide(&mut self, _: &MessageHead) -> Decision {
        Decision::Read(1024)
    }

    fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
        Verdict::Replace(payload.to_ascii_uppercase().into())
    }
}

fn config(compression: Compression) -> UpgradeConfig {
    UpgradeConfig::default().tap(move |_, _| Some(Tap::new(Capitals).compression(compression)))
}

const EXTENSIONS: &str = "sec-websocket-extensions";
const OFFER: &str = "permessage-deflate; client_max_window_bits";

fn asking() -> String {
    UPGRADE_REQUEST.replacen("\r\n\r\n", &format!("\r\n{EXTENSIONS}: {OFFER}\r\n\r\n"), 1)
}

/// "Hello" by RFC 7692, section 7.2.3.1, and as it is.
const COMPRESSED: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const PLAIN: &[u8] = b"Hello";

/// A text as a client or a server sends it.
fn text(payload: &[u8], is_compressed: bool, is_masked: bool) -> Vec<u8> {
    let (first, second) = (0x81 | u8::from(is_compressed) << 6, u8::from(is_masked) << 7);
    let key: &[u8] = if is_masked { &[0; 4] } else { &[] };
    [&[first, second | payload.len() as u8], key, payload].concat()
}

/// How the extension is agreed on where the tap does this about it.
fn agree(asked: Asked, compression: Compression) -> Tunnel {
    let offered = asked
        .request
        .headers
        .get(EXTENSIONS)
        .map(|value| value.as_bytes());
    let answer = Response::builder();
    let answer = match compression {
        Compression::Strip => {
            assert_eq!(offered, None);
            answer
        }
        _ => {
            assert_eq!(offered, Some(OFFER.as_bytes()));
            answer.header(EXTENSIONS, "permessage-deflate; client_max_window_bits=9")
        }
    };
    asked.answer(answer.body(()).unwrap())
}

/// The upstream has got this text, masked.
async fn gets(tunnel: &mut Tunnel, expected: &[u8]) {
    let mut received = Vec::new();
    while received.len() < 6 + expected.len() {
        let bytes = within("a message", tunnel.read()).await.unwrap();
        received.extend_from_slice(&bytes.expect("the stream goes on"));
    }
    assert_eq!(received[..2], [0x81, 0x80 | expected.len() as u8]);
    let (key, payload) = received[2..].split_at(4);
    let plain: Vec<u8> = payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    assert_eq!(plain, expected);
}

const CASES: [(Compression, bool); 3] = [
    (Compression::Strip, false),
    (Compression::Inflate, false),
    (Compression::Inflate, true),
];

fn payload(is_compressed: bool) -> &'static [u8] {
    if is_compressed { COMPRESSED } else { PLAIN }
}

#[tokio::test]
async fn by_a_gateway() {
    for (compression, is_compressed) in CASES {
        let mut upstream = Upstream::start().await;
        let gateway = GatewayConfig::default().upgrade(config(compression));
        let gateway = RunningGateway::connecting(gateway, upstream.connect()).await;
        let client = gateway.client_sending(asking()).await;
        over_http_1(client, &mut upstream, compression, is_compressed).await;
    }
}

/// A service in axum with such a tap, and its address. It ends with the set.
async fn mounted(upstream: &Upstream, compression: Compression) -> (std::net::SocketAddr, JoinSet<()>) {
    let service =
        UpgradeService::new(upstream.connect()).config(ServiceConfig::default().upgrade(config(compression)));
    let router: Router = Router::new().fallback_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
    (address, serving)
}

#[tokio::test]
async fn by_a_service_for_an_http_1_client() {
    for (compression, is_compressed) in CASES {
        let mut upstream = Upstream::start().await;
        let (address, _serving) = mounted(&upstream, compression).await;
        let mut client = ScriptedClient::connect(address).await;
        client.send(asking()).await;
        over_http_1(client, &mut upstream, compression, is_compressed).await;
    }
}

async fn over_http_1(
    mut client: ScriptedClient,
    upstream: &mut Upstream,
    compression: Compression,
    is_compressed: bool,
) {
    let mut tunnel = agree(upstream.asked().await, compression);
    let head = client.head().await;
    assert_eq!(head.status, 101);
    assert_eq!(
        head.headers.contains_key(EXTENSIONS),
        compression != Compression::Strip
    );
    client
        .send(text(payload(is_compressed), is_compressed, true))
        .await;
    gets(&mut tunnel, b"HELLO").await;
    tunnel
        .send(text(payload(is_compressed), is_compressed, false))
        .await;
    client.receives(&text(b"HELLO", false, false)).await;
}

#[tokio::test]
async fn by_a_service_for_an_http_2_client() {
    for (compression, is_compressed) in CASES {
        let mut upstream = Upstream::start().await;
        let (address, _serving) = mounted(&upstream, compression).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        within("settings", pings.ping(h2::Ping::opaque())).await.unwrap();
        let request = Request::connect("http://example.com/chat")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header(EXTENSIONS, OFFER);
        let (response, stream) = send.send_request(request.body(()).unwrap(), false).unwrap();
        let mut tunnel = agree(upstream.asked().await, compression);
        let response = within("an answer", response).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers().contains_key(EXTENSIONS),
            compression != Compression::Strip
        );
        let mut client = Tunnel::new(stream, response.into_body());
        client
            .send(text(payload(is_compressed), is_compressed, true))
            .await;
        gets(&mut tunnel, b"HELLO").await;
        tunnel
            .send(text(payload(is_compressed), is_compressed, false))
            .await;
        client.receives(&text(b"HELLO", false, false)).await;
    }
}

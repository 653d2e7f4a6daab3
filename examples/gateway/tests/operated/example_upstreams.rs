//! The program gateway as a process, in front of several servers, and among proxies that speak the PROXY protocol.
#![cfg(unix)]

use support::bounded::within;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpListener;

use crate::program::{Program, refusal};
use crate::running_gateway::refused;

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";
const POST_NOTHING: &str = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

fn always(answer: &'static str) -> Script {
    (0..100).fold(Script::new(), |script, _| script.read_head().send(answer))
}

async fn start(arguments: &[String]) -> Program {
    let mut all = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
    all.extend_from_slice(arguments);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Program::start("gateway", &all).await
}

async fn status(program: &Program, request: &str) -> u16 {
    let mut client = program.client().await;
    client.send(request).await;
    client.head().await.status.as_u16()
}

#[tokio::test]
async fn the_next_url_steps_in_for_upgrades_and_for_ordinary_requests() {
    let refusing = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let closing = ScriptedOrigin::start(Script::new().read_head().close()).await;
    let good = ScriptedOrigin::start(Script::websocket_echo()).await;
    let ordinary = ScriptedOrigin::start(always("HTTP/1.1 204 x\r\n\r\n")).await;
    let (closing, good, ordinary) = (closing.address(), good.address(), ordinary.address());
    for workers in ["1", "2"] {
        let program = start(&[
            format!("--route=/chat=http://{refusing},http://{closing},http://{good}"),
            format!("--route=/app=http://{refusing},http://{closing},http://{ordinary}"),
            format!("--route=/gone=http://{refusing},http://{refusing}"),
            format!("--workers={workers}"),
        ])
        .await;
        for _ in 0..4 {
            assert_eq!(status(&program, UPGRADE_REQUEST).await, 101);
            assert_eq!(status(&program, GET).await, 204);
        }
        let gone = GET.replacen("/app", "/gone", 1);
        assert_eq!(status(&program, &gone).await, 502);
    }
    // What was not sent goes on with its body.
    let origin =
        ScriptedOrigin::start(Script::new().read_head().read(5).send("HTTP/1.1 201 x\r\n\r\n")).await;
    let program = start(&[format!(
        "--route=/app=http://{refusing},http://{}",
        origin.address()
    )])
    .await;
    assert_eq!(status(&program, POST).await, 201);
}

#[tokio::test]
async fn weights_backups_and_limits() {
    let origins = [
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
    ];
    let [one, two, spare] = origins.each_ref().map(ScriptedOrigin::address);
    let program = start(&[format!(
        "--route=/=http://{one};weight=2;max-tunnels=4,ws://{two};max-tunnels=2,http://{spare};backup;max-tunnels=1"
    )])
    .await;
    let mut clients = Vec::new();
    for expected in [
        [1, 0, 0],
        [1, 1, 0],
        [2, 1, 0],
        [3, 1, 0],
        [3, 2, 0],
        [4, 2, 0],
        [4, 2, 1],
    ] {
        let mut client = program.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        clients.push(client);
        assert_eq!(origins.each_ref().map(ScriptedOrigin::connections), expected);
    }
    let mut client = program.client().await;
    client.send(UPGRADE_REQUEST).await;
    let text = refused(&mut client, 503).await;
    assert!(text.contains("as many tunnels as it may"), "{text}");
}

#[tokio::test]
async fn the_same_server_for_the_same_key() {
    let answers = [
        "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 x\r\n\r\n",
    ];
    let origins = [
        ScriptedOrigin::start(always(answers[0])).await,
        ScriptedOrigin::start(always(answers[1])).await,
    ];
    let [one, two] = origins.each_ref().map(ScriptedOrigin::address);
    let program = start(&[
        format!("--route=/app=http://{one},http://{two}"),
        "--balance=hash:cookie:session".to_owned(),
    ])
    .await;
    let mut seen = std::collections::HashSet::new();
    for session in 0..20 {
        let request = GET.replacen("Host", &format!("Cookie: session={session}\r\nHost"), 1);
        let first = status(&program, &request).await;
        assert_eq!(status(&program, &request).await, first);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn from_a_balancer_and_to_an_upstream_by_the_proxy_protocol() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let behind = start(&[
        format!("--route=/=http://{}", origin.address()),
        "--accept-proxy-protocol=127.0.0.0/8".to_owned(),
    ])
    .await;
    for version in ["v1", "v2"] {
        let front = start(&[
            format!("--route=/=http://{}", behind.address),
            format!("--send-proxy-protocol={version}"),
            "--accept-proxy-protocol=127.0.0.1".to_owned(),
        ])
        .await;
        let before = origin.connections();
        let mut client = front.client().await;
        client
            .send(["PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n", UPGRADE_REQUEST].concat())
            .await;
        assert_eq!(client.head().await.status, 101, "{version}");
        client.send("hi").await;
        client.receives(b"hi").await;
        let head = origin.connection(before).await.head().await;
        assert!(head.contains("\r\nX-Real-IP: 192.0.2.1\r\n"), "{version} {head}");
    }
    // A client that does not say whose connection it is gets none.
    let mut client = ScriptedClient::connect(behind.address).await;
    client.send(UPGRADE_REQUEST).await;
    let mut reported = Vec::new();
    let _ = within(
        "the end",
        tokio::io::AsyncReadExt::read_to_end(client.stream(), &mut reported),
    )
    .await;
    assert!(reported.is_empty());
}

#[tokio::test]
async fn flags_that_cannot_be_say_why() {
    for (flag, value, expected) in [
        (
            "--balance",
            "by-chance",
            "a balance is round-robin, least-tunnels",
        ),
        ("--balance", "hash:", "hash:client"),
        ("--route", "/=unix:run/a.sock", "unix:/PATH"),
        ("--route", "/=unix:/run/a.sock:socket", "unix:/PATH"),
        ("--route", "/=unix:/run/a.sock:/a?b", "no query"),
        ("--route", "/=unix:/run/a.sock;resolve=1s", "resolve is for names"),
        ("--route", "/a", "a route is"),
        ("--route", "/=http://a;weight=0", "above zero"),
        ("--route", "/=http://a;weight", "above zero"),
        ("--route", "/=http://a;backup=1", "none of weight=N"),
        ("--route", "/=http://a;down", "none of weight=N"),
        ("--route", "/=http://a;", "none of weight=N"),
        ("--accept-proxy-protocol", "10.0.0.0/33", "a network is"),
        ("--send-proxy-protocol", "3", "v1 or v2"),
    ] {
        let output = refusal("gateway", &[flag, value]).await;
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{reported}");
        assert!(
            reported.contains(expected) && reported.contains(value),
            "{reported}"
        );
    }
}

/// A Unix socket in front of an origin.
fn on_socket(name: &str, origin: &ScriptedOrigin) -> String {
    let path = support::scratch("unix_routes").join(name);
    // Of a run before.
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = origin.address();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut origin = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut origin).await });
        }
    });
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_route_leads_to_a_unix_socket() {
    let chat = ScriptedOrigin::start(Script::websocket_echo()).await;
    let app = ScriptedOrigin::start(always("HTTP/1.1 204 x\r\n\r\n")).await;
    let (to_chat, to_app) = (on_socket("chat.sock", &chat), on_socket("app.sock", &app));
    let program = start(&[
        format!("--route=/chat=unix:{to_chat}"),
        format!("--route=/app=unix:{to_app}.gone,unix:{to_app}"),
        format!("--route=/old/=unix:{to_app}:/new/"),
        format!("--route=/gone=unix:{to_app}.gone"),
    ])
    .await;
    let mut client = program.client().await;
    client.send(format!("{UPGRADE_REQUEST}hello")).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
    let head = chat.connection(0).await.head().await;
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");

    // The second socket steps in, and its connection is kept for the next request.
    assert_eq!(status(&program, GET).await, 204);
    assert_eq!(status(&program, POST_NOTHING).await, 204);
    assert_eq!(app.connections(), 1);
    assert_eq!(
        status(&program, &GET.replacen("/app", "/old/page?x=1", 1)).await,
        204
    );
    assert!(app.requests() == 3);
    let received = String::from_utf8(app.connection(1).await.received()).unwrap();
    assert!(
        received.starts_with("GET /new/page?x=1 HTTP/1.1\r\n"),
        "{received}"
    );
    assert_eq!(status(&program, &GET.replacen("/app", "/gone", 1)).await, 502);
}

#[tokio::test]
async fn a_unix_socket_gets_the_client_by_the_proxy_protocol() {
    let origin = ScriptedOrigin::start(Script::new().read(60).send("HTTP/1.1 204 x\r\n\r\n")).await;
    let socket = on_socket("proxied.sock", &origin);
    let program = start(&[
        format!("--route=/=unix:{socket}"),
        "--send-proxy-protocol=v1".to_owned(),
    ])
    .await;
    assert_eq!(status(&program, GET).await, 204);
    let received = String::from_utf8(origin.connection(0).await.received()).unwrap();
    assert!(received.starts_with("PROXY TCP4 127.0.0.1 "), "{received}");
}

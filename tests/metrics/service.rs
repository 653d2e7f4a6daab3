//! A service in axum reports what the raw door does, over HTTP/1.1 and over HTTP/2, and its ordinary requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use switchover::UpgradeConfig;
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::Tunnels;
use switchover::upstream::{Group, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::{Recorded, recorded};

/// A service in front of a server, on this thread.
async fn mounted(server: SocketAddr, tunnels: &Tunnels) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServiceConfig::default().upgrade(UpgradeConfig::default().tunnels(tunnels.clone()));
    let proxy = ReverseProxy::new(Group::of([Server::to(server.to_string())])).config(config);
    let app = Router::new().fallback_service(proxy);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waiting)
        .await
        .expect("it becomes so");
}

/// What is recorded of an exchange with a client of HTTP/1.1. `status` is that of the answer.
pub(crate) async fn asked(origin: Option<Script>, request: &str, status: u16) -> Recorded {
    recorded(async {
        let tunnels = Tunnels::new();
        let _origin;
        let server = match origin {
            Some(script) => {
                let started = ScriptedOrigin::start(script).await;
                let address = started.address();
                _origin = started;
                address
            }
            None => TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap()
                .local_addr()
                .unwrap(),
        };
        let mut client = ScriptedClient::connect(mounted(server, &tunnels).await).await;
        client.send(request).await;
        assert_eq!(client.head().await.status, status);
        if status == 101 {
            client.send("hello").await;
            client.receives(b"hello").await;
            tunnels.record_metrics();
            drop(client);
            until(|| tunnels.is_empty()).await;
        }
    })
    .await
}

fn holds(recorded: &Recorded, expected: &[(&str, u64)]) {
    for (name, count) in expected {
        assert_eq!(recorded.of(name), *count, "{name}");
    }
}

#[tokio::test]
async fn a_tunnel() {
    let recorded = asked(Some(Script::websocket_echo()), UPGRADE_REQUEST, 101).await;
    holds(
        &recorded,
        &[
            ("switchover_tunnels_opened_total{}", 1),
            ("switchover_tunnels_open{}", 0),
            ("switchover_tunnel_duration_seconds{}", 1),
            ("switchover_tunnel_bytes_total{from=downstream,mode=copied}", 5),
            ("switchover_tunnel_bytes_total{from=upstream,mode=copied}", 5),
            ("switchover_connect_seconds{kind=upgrade}", 1),
            ("switchover_response_head_seconds{kind=upgrade}", 1),
        ],
    );
    assert_eq!(recorded.sum("switchover_tunnels_ended_total"), 1);
    assert_eq!(recorded.sum("switchover_attempts_total"), 1);
}

#[tokio::test]
async fn a_refusal() {
    let request = UPGRADE_REQUEST.replacen("Version: 13", "Version: 12", 1);
    let recorded = asked(Some(Script::websocket_echo()), &request, 426).await;
    holds(
        &recorded,
        &[("switchover_refused_total{reason=version-unsupported}", 1)],
    );
    assert_eq!(recorded.sum("switchover_attempts_total"), 0);
}

#[tokio::test]
async fn an_upgrade_that_is_declined() {
    for (answer, status, class) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "4xx"),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            503,
            "5xx",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /in\r\nContent-Length: 0\r\n\r\n",
            302,
            "3xx",
        ),
    ] {
        let recorded = asked(Some(Script::answering(answer)), UPGRADE_REQUEST, status).await;
        let declined = format!("switchover_declined_total{{status={class}}}");
        holds(
            &recorded,
            &[
                (&declined, 1),
                ("switchover_response_head_seconds{kind=upgrade}", 1),
            ],
        );
        assert_eq!(recorded.sum("switchover_tunnels_opened_total"), 0);
    }
}

#[tokio::test]
async fn a_server_that_is_gone() {
    let recorded = asked(None, UPGRADE_REQUEST, 502).await;
    holds(
        &recorded,
        &[(
            "switchover_failed_total{phase=connect,side=upstream,reason=refused}",
            1,
        )],
    );
    assert_eq!(recorded.sum("switchover_failed_total"), 1);
}

#[tokio::test]
async fn an_ordinary_request() {
    let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let request = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let recorded = asked(Some(Script::answering(answer)), request, 204).await;
    holds(
        &recorded,
        &[
            ("switchover_requests_total{status=2xx}", 1),
            ("switchover_connect_seconds{kind=request}", 1),
            ("switchover_response_head_seconds{kind=request}", 1),
        ],
    );
    assert_eq!(recorded.sum("switchover_tunnels_opened_total"), 0);
}

#[tokio::test]
async fn a_websocket_over_http_2() {
    let recorded = recorded(async {
        let tunnels = Tunnels::new();
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let stream = TcpStream::connect(mounted(origin.address(), &tunnels).await)
            .await
            .unwrap();
        let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let driving = tokio::spawn(async move { drop(connection.await) });
        // The server's settings are before its first pong.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        let request = http::Request::connect("http://example.com/chat")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        let (response, mut stream) = send.send_request(request.body(()).unwrap(), false).unwrap();
        let mut answer = response.await.unwrap();
        assert_eq!(answer.status(), 200);
        stream.send_data("hello".into(), false).unwrap();
        assert_eq!(&*answer.body_mut().data().await.unwrap().unwrap(), b"hello");
        tunnels.record_metrics();
        drop((answer, stream, send));
        driving.abort();
        until(|| tunnels.is_empty()).await;
    })
    .await;
    holds(
        &recorded,
        &[
            ("switchover_tunnels_opened_total{}", 1),
            ("switchover_tunnels_open{}", 0),
            ("switchover_tunnel_bytes_total{from=downstream,mode=copied}", 5),
            ("switchover_tunnel_bytes_total{from=upstream,mode=copied}", 5),
            ("switchover_connect_seconds{kind=upgrade}", 1),
        ],
    );
    assert_eq!(recorded.sum("switchover_tunnels_ended_total"), 1);
}

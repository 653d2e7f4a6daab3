//! Counting, draining and waiting for the tunnels of a service: what a server's own graceful shutdown cannot do.

use std::time::Duration;

use axum::Router;
use switchover::TcpConnect;
use switchover::service::{ReverseProxy, UpgradeService};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{End, EndRequest, Label, Schedule, Tunnels};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::servers::{Mounted, Server};
use crate::{end_of, hasty, reporting};

#[tokio::test]
async fn a_graceful_shutdown_waits_for_them_and_ends_them() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tunnels = Tunnels::new();
    let (config, ends) = reporting();
    let service = UpgradeService::new(TcpConnect::to(origin.address().to_string()))
        .config(config.tunnels(tunnels.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Router::new()
        .fallback_service(service)
        .into_make_service_with_connect_info::<std::net::SocketAddr>();
    let serving = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap() };
        axum::serve(listener, app).with_graceful_shutdown(shutdown).await
    });

    let mut client = ScriptedClient::connect(address).await;
    client.send(format!("{UPGRADE_REQUEST}hello")).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
    assert_eq!(tunnels.len(), 1);

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    // The server has ended; the tunnel has not.
    client.send("still here").await;
    client.receives(b"still here").await;
    assert_eq!(tunnels.len(), 1);
    assert!(
        timeout(Duration::from_millis(50), tunnels.finished())
            .await
            .is_err()
    );

    let started = Instant::now();
    tunnels.drain(Schedule::default().grace(Duration::from_millis(200)));
    tunnels.finished().await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(client.rest().await, b"");
    assert_eq!(end_of(ends).await.result.unwrap().end(), End::Drained);
}

#[tokio::test]
async fn they_are_listed_with_the_label_of_the_request() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tunnels = Tunnels::new();
    let (config, ends) = reporting();
    let upstream =
        switchover::upstream::Group::of([switchover::upstream::Server::to(origin.address().to_string())]);
    let service = UpgradeService::new(upstream).config(config.tunnels(tunnels.clone()));
    let labelled = axum::middleware::map_request(|mut request: axum::extract::Request| async {
        request.extensions_mut().insert(Label::new("alice"));
        request
    });
    let mounted = Mounted::router(Router::new().fallback_service(service).layer(labelled)).await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    let tunnel = tunnels.iter().next().expect("it is listed");
    assert_eq!(tunnel.label(), Some(&"alice"));
    assert_eq!(
        (tunnel.protocol(), tunnel.upstream()),
        (Some("websocket"), Some(&*origin.address().to_string()))
    );
    let alices = |tunnel: &switchover::tunnel::TunnelWatch| tunnel.label() == Some(&"alice");
    assert_eq!(
        tunnels.end_where(alices, &EndRequest::default(), Duration::ZERO),
        1
    );
    assert_eq!(client.rest().await, b"");
    assert_eq!(end_of(ends).await.result.unwrap().end(), End::Requested);
}

#[tokio::test]
async fn while_draining_new_upgrades_are_refused_and_ordinary_requests_are_not() {
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ))
    .await;
    let tunnels = Tunnels::new();
    let config = switchover::service::ServiceConfig::default().tunnels(tunnels.clone());
    let proxy = ReverseProxy::new(TcpConnect::to(origin.address().to_string())).config(config);
    let mounted = Mounted::on(Server::Axum, proxy).await;
    assert!(!tunnels.is_draining());
    tunnels.drain(Schedule::default());
    assert!(tunnels.is_draining());
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.response().await.0.status, 503);
    let mut client = mounted.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.1, b"hi");
}

#[tokio::test]
async fn a_response_put_in_the_place_of_the_101_frees_the_upstream() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tunnels = Tunnels::new();
    let (config, ends) = reporting();
    let service = UpgradeService::new(TcpConnect::to(origin.address().to_string()))
        .config(config.upgrade(hasty()).tunnels(tunnels.clone()));
    let spoilt = axum::middleware::map_response(|mut response: axum::response::Response| async {
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        response
    });
    let mounted = Mounted::router(Router::new().fallback_service(service).layer(spoilt)).await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.response().await.0.status, 418);
    origin.connection(0).await.end().await;
    tunnels.finished().await;
    assert_eq!(
        end_of(ends).await.result.unwrap_err().side(),
        switchover::Side::Downstream
    );
}

//! How tunnels end: END_STREAM is the end of a direction, RST_STREAM is a reset (RFC 8441, section 5).

use std::io::ErrorKind;
use std::time::Duration;

use h2::Reason;
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::http2::Http2Connect;
use switchover::test_util::fault::Faults;
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::tunnel::{End, TunnelConfig, WebSocketConfig};
use switchover::websocket::CloseCode;
use switchover::{Side, UpgradeConfig};

use crate::running_gateway::RunningGateway;
use crate::upstream::{FaultyConnect, Order, Tunnel, Upstream};

async fn tunnelled() -> (Upstream, RunningGateway, ScriptedClient, Tunnel) {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    (upstream, gateway, client, tunnel)
}

#[tokio::test]
async fn the_client_ends_its_writes_and_the_upstream_answers_later() {
    let (_upstream, mut gateway, mut client, mut tunnel) = tunnelled().await;
    client.send(b"last").await;
    client.end_writes().await;
    tunnel.receives(b"last").await;
    tunnel.ends().await;
    client.receives_nothing_for(Duration::from_millis(50)).await;
    tunnel.send("late").await;
    client.receives(b"late").await;
    tunnel.end();
    client.ends().await;
    let Ok(Outcome::Tunnelled { traffic, .. }) = gateway.served().await else {
        panic!()
    };
    assert_eq!(
        traffic.end(),
        End::Closed {
            first: Side::Downstream
        }
    );
}

#[tokio::test]
async fn the_upstream_ends_its_stream_and_the_client_answers_later() {
    let (_upstream, mut gateway, mut client, mut tunnel) = tunnelled().await;
    tunnel.send("last").await;
    tunnel.end();
    client.receives(b"last").await;
    client.ends().await;
    client.send(b"late").await;
    tunnel.receives(b"late").await;
    client.end_writes().await;
    tunnel.ends().await;
    let Ok(Outcome::Tunnelled { traffic, .. }) = gateway.served().await else {
        panic!()
    };
    assert_eq!(
        traffic.end(),
        End::Closed {
            first: Side::Upstream
        }
    );
}

#[tokio::test]
async fn a_reset_of_the_upstream_is_a_reset_whatever_its_reason() {
    for reason in [
        Reason::CANCEL,
        Reason::NO_ERROR,
        Reason::INTERNAL_ERROR,
        Reason::STREAM_CLOSED,
    ] {
        let (_upstream, mut gateway, mut client, mut tunnel) = tunnelled().await;
        tunnel.send("before").await;
        client.receives(b"before").await;
        tunnel.reset(reason);
        assert_eq!(client.rest_until_reset().await, b"", "{reason:?}");
        let error = gateway.served().await.unwrap_err();
        let switchover::Cause::Tunnel(error) = error.reason() else {
            panic!("{error}")
        };
        assert_eq!(
            (error.side(), error.io_error().kind()),
            (Side::Upstream, ErrorKind::ConnectionReset)
        );
    }
}

#[tokio::test]
async fn a_reset_behind_the_end_of_a_stream_is_met_by_who_still_sends() {
    let (_upstream, mut gateway, mut client, mut tunnel) = tunnelled().await;
    tunnel.send("all of it").await;
    tunnel.end();
    client.receives(b"all of it").await;
    client.ends().await;
    tunnel.reset(Reason::NO_ERROR);
    while client.try_send(b"to nobody").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = gateway.served().await.unwrap_err();
    assert_eq!(error.side(), Side::Upstream);
}

#[tokio::test]
async fn a_reset_of_the_client_arrives_behind_what_it_has_sent() {
    for _ in 0..20 {
        let (_upstream, mut gateway, mut client, mut tunnel) = tunnelled().await;
        client.send(b"the last words").await;
        tunnel.receives(b"the last words").await;
        client.send(b"and a postscript").await;
        client.reset();
        // The kernel may throw away what the gateway has not read, and the gateway nothing of what it has.
        assert_eq!(tunnel.is_reset().await, Reason::CANCEL);
        let error = gateway.served().await.unwrap_err();
        assert_eq!(error.side(), Side::Downstream);
    }
}

#[tokio::test]
async fn an_idle_tunnel_is_ended_on_both_sides() {
    let mut upstream = Upstream::start().await;
    let tunnel = TunnelConfig::default().idle_timeout(Duration::from_millis(100));
    let config = GatewayConfig::default().upgrade(UpgradeConfig::default().tunnel(tunnel));
    let mut gateway = RunningGateway::connecting(config, upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    client.ends().await;
    // END_STREAM, if it was faster than the reset that the dropped stream is.
    let ended = crate::upstream::within("the end", tunnel.read()).await;
    assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    let Ok(Outcome::Tunnelled { traffic, .. }) = gateway.served().await else {
        panic!()
    };
    assert_eq!(traffic.end(), End::Idle);
}

#[tokio::test]
async fn a_connection_that_dies_fails_its_tunnels_and_not_the_next() {
    let mut upstream = Upstream::start().await;
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        clients.push((upstream.tunnel().await, client.head().await.status, client));
    }
    upstream.order(0, Order::Close);
    for (_, status, mut client) in clients {
        assert_eq!(status, 101);
        client.rest_until_reset().await;
        let error = gateway.served().await.unwrap_err();
        let switchover::Cause::Tunnel(error) = error.reason() else {
            panic!("{error}")
        };
        assert_eq!(
            (error.side(), error.io_error().kind()),
            (Side::Upstream, ErrorKind::ConnectionAborted)
        );
    }
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let asked = upstream.asked().await;
    assert_eq!(asked.connection, 1);
    let _tunnel = asked.agree();
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn a_connection_that_is_cut_off_is_no_end_of_its_tunnels() {
    // What TLS says of a connection that was closed without its closing words.
    let faults = Faults::none().fail_after_reading(300, ErrorKind::UnexpectedEof);
    let mut upstream = Upstream::start().await;
    let connect = Http2Connect::new(FaultyConnect(upstream.tcp(), faults));
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    tunnel.send(vec![b'x'; 1_000]).await;
    client.rest_until_reset().await;
    let error = gateway.served().await.unwrap_err();
    let switchover::Cause::Tunnel(error) = error.reason() else {
        panic!("{error}")
    };
    assert_eq!(error.io_error().kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_goaway_lets_tunnels_go_on_and_the_next_one_takes_another_connection() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    upstream.order(0, Order::GoAway);
    // The gateway has learned of it when a connection other than the first is asked.
    let mut others = Vec::new();
    loop {
        let mut other = gateway.client_sending(UPGRADE_REQUEST).await;
        tokio::select! {
            asked = upstream.asked() => {
                let connection = asked.connection;
                others.push((asked.agree(), other));
                if connection == 1 {
                    break;
                }
            }
            // It crossed the GOAWAY, and is a 502.
            head = other.head() => assert_eq!(head.status, 502),
        }
    }
    client.send(b"still here").await;
    tunnel.receives(b"still here").await;
    tunnel.send("as before").await;
    client.receives(b"as before").await;
    client.end_writes().await;
    tunnel.ends().await;
    tunnel.end();
    client.ends().await;
}

#[tokio::test]
async fn a_websocket_that_knows_its_frames_says_goodbye_to_the_upstream_too() {
    let mut upstream = Upstream::start().await;
    let short = TunnelConfig::default().idle_timeout(Duration::from_millis(200));
    let upgrade = UpgradeConfig::default()
        .tunnel(short)
        .websocket(WebSocketConfig::default());
    let gateway = GatewayConfig::default().upgrade(upgrade);
    let mut gateway = RunningGateway::connecting(gateway, upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    tunnel.send(&b"\x81\x02hi"[..]).await;
    client.receives(b"\x81\x02hi").await;
    client.receives(b"\x88\x06\x03\xe9idle").await;
    client.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
    tunnel.send(&b"\x88\x02\x03\xe9"[..]).await;
    client.ends().await;
    drop(client);
    let Ok(Outcome::Tunnelled { traffic, .. }) = gateway.served().await else {
        panic!()
    };
    assert_eq!(traffic.end(), End::Idle);
    for side in [Side::Downstream, Side::Upstream] {
        let code = traffic.close_from(side).and_then(|close| close.code());
        assert_eq!(code, Some(CloseCode::GOING_AWAY), "{side}");
    }
}

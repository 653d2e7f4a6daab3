//! A gateway that knows the frames of what it carries, where that is WebSocket.

use std::time::Duration;

use switchover::gateway::{GatewayConfig, Outcome};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{End, Traffic, WebSocketConfig};
use switchover::websocket::{CloseCode, FrameError, FrameHeader, OpCode, apply_mask};
use switchover::{HandshakePolicy, Side, TunnelConfig, UpgradeConfig};

use crate::running_gateway::RunningGateway;

fn config() -> UpgradeConfig {
    let short = Duration::from_millis(200);
    UpgradeConfig::default()
        .tunnel(
            TunnelConfig::default()
                .idle_timeout(short)
                .half_close_timeout(Duration::from_secs(1)),
        )
        .websocket(WebSocketConfig::default().close_timeout(short))
}

async fn tunnelled(gateway: &mut RunningGateway) -> Traffic {
    match gateway.served().await {
        Ok(Outcome::Tunnelled { traffic, .. }) => traffic,
        other => panic!("not tunnelled: {other:?}"),
    }
}

/// The one Close in these bytes, which a client has masked.
fn masked_close(bytes: &[u8]) -> Vec<u8> {
    let (header, length) = FrameHeader::decode(bytes).unwrap().unwrap();
    header.check_mask(Side::Downstream).unwrap();
    assert_eq!(header.opcode, OpCode::Close);
    let mut payload = bytes[length..].to_vec();
    assert_eq!(payload.len() as u64, header.payload_length);
    apply_mask(&mut payload, header.mask.unwrap(), 0);
    payload
}

#[tokio::test]
async fn an_idle_websocket_ends_with_a_close_to_both() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch().send(b"\x81\x05early")).await;
    let mut gateway = RunningGateway::with(GatewayConfig::default().upgrade(config()), &origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"\x81\x05early").await;
    client.receives(b"\x88\x06\x03\xe9idle").await;
    client.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
    client.ends().await;
    drop(client);
    let connection = origin.connection(0).await;
    connection.end().await;
    let head = connection.head().await;
    assert_eq!(
        masked_close(&connection.received()[head.len()..]),
        b"\x03\xe9idle"
    );
    let traffic = tunnelled(&mut gateway).await;
    assert_eq!(
        (traffic.end(), traffic.from_downstream(), traffic.from_upstream()),
        (End::Idle, 0, 7)
    );
    let from_client = traffic.close_from(Side::Downstream).unwrap();
    assert_eq!(from_client.code(), Some(CloseCode::GOING_AWAY));
}

#[tokio::test]
async fn any_other_protocol_stays_bytes() {
    let script = Script::new().read_head().answer(|_| {
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\n\xff\xff no frames \xff".to_vec()
    });
    let origin = ScriptedOrigin::start(script).await;
    let policy = HandshakePolicy::default().allow("chat/2".parse().unwrap());
    let mut gateway =
        RunningGateway::with(GatewayConfig::default().upgrade(config().policy(policy)), &origin).await;
    let mut client = gateway
        .client_sending(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\n\xff")
        .await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"\xff\xff no frames \xff").await;
    client.ends().await;
    drop(client);
    let traffic = tunnelled(&mut gateway).await;
    assert_eq!(
        (traffic.end(), traffic.close_sent_to(Side::Downstream)),
        (End::Idle, None)
    );
}

#[tokio::test]
async fn the_bits_that_frames_may_have_are_those_of_the_extensions() {
    // RSV1, RSV2; RSV1 in a ping.
    let frames: [&[u8]; 3] = [b"\xc1\x01x", b"\xa1\x01x", b"\xc9\x01x"];
    for (extensions, passes) in [
        ("", [false; 3]),
        (
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
            [true, false, false],
        ),
        ("Sec-WebSocket-Extensions: x-other\r\n", [true; 3]),
    ] {
        for (frame, passes) in frames.into_iter().zip(passes) {
            let script = Script::new().read_head().answer(move |request| {
                let answer = switchover::test_util::switching_protocols(request);
                let answer = String::from_utf8(answer).unwrap();
                let answer = answer.replacen("\r\n\r\n", &format!("\r\n{extensions}\r\n"), 1);
                [answer.as_bytes(), frame].concat()
            });
            let origin = ScriptedOrigin::start(script).await;
            let mut gateway = RunningGateway::with(GatewayConfig::default().upgrade(config()), &origin).await;
            let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate, x-other\r\n\r\n";
            let mut client = gateway
                .client_sending(UPGRADE_REQUEST.replacen("\r\n\r\n", offer, 1))
                .await;
            assert_eq!(client.head().await.status, 101);
            if passes {
                client.receives(frame).await;
            }
            // A Close, which it does not answer.
            assert!(client.rest().await.starts_with(b"\x88"));
            let end = tunnelled(&mut gateway).await.end();
            let bit = if frame[0] & 0x40 != 0 { 1 } else { 2 };
            let violation = End::Violation {
                side: Side::Upstream,
                error: FrameError::ReservedBit(bit),
            };
            assert_eq!(
                end,
                if passes { End::Idle } else { violation },
                "{extensions:?} {frame:?}"
            );
        }
    }
}

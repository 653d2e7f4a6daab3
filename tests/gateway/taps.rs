//! A tap at the door: which upgrades have one, and what it makes of extensions.

use bytes::Bytes;
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::{Compression, Decision, MessageHead, MessageTap, Tap, Verdict};
use switchover::{Side, UpgradeConfig};

use crate::running_gateway::RunningGateway;

/// Answers every text of the client with its payload in capitals.
struct Capitals;

impl MessageTap for Capitals {
    fn decide(&mut self, head: &MessageHead) -> Decision {
        match head.sender() {
            Side::Downstream => Decision::Read(1024),
            _ => Decision::Pass,
        }
    }

    fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
        Verdict::Replace(payload.to_ascii_uppercase().into())
    }
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other; a=\"permessage-deflate\"\r\n";

fn offering() -> String {
    UPGRADE_REQUEST.replacen("\r\n\r\n", &format!("\r\n{OFFER}\r\n"), 1)
}

/// The lines about extensions that an origin is sent where the tap does this with them.
async fn offered(config: UpgradeConfig) -> Vec<String> {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch()).await;
    let gateway = RunningGateway::with(GatewayConfig::default().upgrade(config), &origin).await;
    let mut client = gateway.client_sending(offering()).await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    let lines = head
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("sec-websocket-extensions"));
    lines
        .map(|line| line.split_once(": ").unwrap().1.to_owned())
        .collect()
}

#[tokio::test]
async fn the_origin_is_offered_what_the_tap_can_do_with() {
    let all = OFFER.trim().split_once(": ").unwrap().1.to_owned();
    let tap = |compression| {
        UpgradeConfig::default().tap(move |_, _| Some(Tap::new(Capitals).compression(compression)))
    };
    assert_eq!(offered(UpgradeConfig::default()).await, [&*all]);
    assert_eq!(offered(UpgradeConfig::default().tap(|_, _| None)).await, [&*all]);
    assert_eq!(
        offered(UpgradeConfig::default().tap(|_, _| Some(Tap::new(Capitals)))).await,
        [""; 0]
    );
    assert_eq!(offered(tap(Compression::Strip)).await, [""; 0]);
    assert_eq!(offered(tap(Compression::Opaque)).await, [all]);
    #[cfg(feature = "deflate")]
    assert_eq!(
        offered(tap(Compression::Inflate)).await,
        ["permessage-deflate; client_max_window_bits"]
    );
}

#[tokio::test]
async fn an_origin_that_compresses_nevertheless_is_a_bad_gateway() {
    let script = Script::new().read_head().answer(|request| {
        let answer = String::from_utf8(switchover::test_util::switching_protocols(request)).unwrap();
        let extension = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        answer.replacen("\r\n\r\n", extension, 1).into_bytes()
    });
    let origin = ScriptedOrigin::start(script).await;
    let config = UpgradeConfig::default().tap(|_, _| Some(Tap::new(Capitals)));
    let gateway = RunningGateway::with(GatewayConfig::default().upgrade(config), &origin).await;
    let mut client = gateway.client_sending(offering()).await;
    assert_eq!(client.response().await.0.status, 502);
}

#[tokio::test]
async fn a_tap_is_chosen_by_the_head_and_the_hop() {
    let config = UpgradeConfig::default().tap(|head, hop| {
        assert!(hop.client().unwrap().is_loopback());
        (head.uri.path() == "/loud").then(|| Tap::new(Capitals))
    });
    for (path, expected) in [("/loud", &b"\x82\x82"[..]), ("/chat", b"\x82\x82\0\0\0\0hi")] {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch()).await;
        let mut gateway =
            RunningGateway::with(GatewayConfig::default().upgrade(config.clone()), &origin).await;
        let mut client = gateway
            .client_sending(UPGRADE_REQUEST.replacen("/chat", path, 1))
            .await;
        assert_eq!(client.head().await.status, 101);
        client.send(b"\x82\x82\0\0\0\0hi").await;
        client.end_writes().await;
        let connection = origin.connection(0).await;
        let head = connection.head().await;
        // Under a tap a Close comes first, because the origin sends none.
        client.rest().await;
        drop(client);
        connection.end().await;
        let received = connection.received()[head.len()..].to_vec();
        assert!(received.starts_with(expected), "{path}: {received:?}");
        if path == "/loud" {
            let key = &received[2..6];
            let plain = [received[6] ^ key[0], received[7] ^ key[1]];
            assert_eq!(&plain, b"HI");
        }
        assert!(matches!(gateway.served().await, Ok(Outcome::Tunnelled { .. })));
    }
}

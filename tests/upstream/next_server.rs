//! Upgrades whose first server fails: what is asked of another, and what is not.

use std::time::Duration;

use http::StatusCode;
use switchover::http1::HeadLimits;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Health, Retry};
use switchover::{HandshakePolicy, UpgradeConfig};

use crate::door::{DOORS, Door};
use crate::{milliseconds, refusing, seconds, server};

/// Deadlines short enough to wait for.
fn hasty() -> UpgradeConfig {
    UpgradeConfig::default()
        .connect_timeout(seconds(2))
        .handshake_timeout(seconds(1))
        .response_limits(HeadLimits::default().max_bytes(1000))
}

const SERVICE_UNAVAILABLE: &str = "HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nlater";

#[tokio::test]
async fn a_server_that_fails_is_followed_by_one_that_does_not() {
    let wrong_accept =
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    let failing = [
        ("silent", Script::new()),
        ("closed at once", Script::new().close()),
        ("reset at once", Script::new().reset()),
        ("closed", Script::new().read_head().close()),
        ("reset", Script::new().read_head().reset()),
        ("cut short", Script::answering("HTTP/1.1 101 Sw").close()),
        ("stopped", Script::answering("HTTP/1.1 101 Sw")),
        ("rubbish", Script::answering("rubbish\r\n\r\n")),
        ("wrong accept", Script::answering(wrong_accept)),
        ("no switch", Script::answering("HTTP/1.1 101 x\r\n\r\n")),
        (
            "too large",
            Script::answering(format!("HTTP/1.1 200 x\r\nX: {}\r\n\r\n", "y".repeat(2000))),
        ),
        (
            "closed after a 100 that nobody has asked for",
            Script::answering("HTTP/1.1 100 Continue\r\n\r\n").close(),
        ),
        ("503", Script::answering(SERVICE_UNAVAILABLE)),
    ];
    for door in DOORS {
        for (kind, script) in &failing {
            let bad = ScriptedOrigin::start(script.clone()).await;
            let good = ScriptedOrigin::start(Script::websocket_echo()).await;
            let group = Group::builder()
                .server(server(&bad))
                .server(server(&good))
                .retry(Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]))
                .build();
            let proxy = door.with(group.clone(), hasty()).await;
            let request = [UPGRADE_REQUEST.as_bytes(), b"early"].concat();
            let mut client = proxy.client_sending(request).await;
            assert_eq!(client.head().await.status, 101, "{door:?} {kind}");
            client.receives(b"early").await;
            assert_eq!((bad.connections(), good.connections()), (1, 1), "{door:?} {kind}");
            let [one, another] = &group.servers()[..] else {
                panic!()
            };
            assert!(
                matches!(one.health, Health::Ejected { times: 1, .. }),
                "{door:?} {kind}: {one:?}"
            );
            assert_eq!((one.tunnels, one.failed), (0, 1), "{door:?} {kind}");
            assert_eq!(
                (another.tunnels, another.health),
                (1, Health::Healthy),
                "{door:?} {kind}"
            );
            // Not a byte of the client's was for the one that failed.
            let received = bad.connection(0).await.received();
            assert!(!received.ends_with(b"early"), "{door:?} {kind}");
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_followed_by_one_that_does_not() {
    for door in DOORS {
        let good = ScriptedOrigin::start(Script::websocket_echo()).await;
        let group = Group::of([refusing().await, refusing().await, server(&good)]);
        let proxy = door.to(group.clone()).await;
        for _ in 0..3 {
            let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
            assert_eq!(client.head().await.status, 101, "{door:?}");
        }
        let failed: Vec<_> = group.servers().iter().map(|server| server.failed).collect();
        assert_eq!(failed, [1, 1, 0], "{door:?}: out after one failure");
    }
}

/// A name and a policy, what the first server does, the request, and the status that the client gets.
type Once = (&'static str, Script, String, u16);

#[tokio::test]
async fn what_has_been_answered_or_may_have_had_an_effect_is_not_asked_again() {
    let with_body = UPGRADE_REQUEST.replacen("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi", 1);
    let not_idempotent =
        UPGRADE_REQUEST
            .replacen("GET ", "POST ", 1)
            .replacen("Upgrade: websocket", "Upgrade: other", 1);
    let cases: Vec<Once> = vec![
        (
            "declined",
            Script::answering("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n"),
            UPGRADE_REQUEST.to_owned(),
            403,
        ),
        (
            "a status that is not listed",
            Script::answering(SERVICE_UNAVAILABLE),
            UPGRADE_REQUEST.to_owned(),
            503,
        ),
        (
            "a body",
            Script::new().read_head().read(2).close(),
            with_body,
            502,
        ),
        (
            "a method that is not idempotent",
            Script::new().read_head().close(),
            not_idempotent,
            502,
        ),
    ];
    for door in DOORS {
        for (kind, script, request, status) in &cases {
            let bad = ScriptedOrigin::start(script.clone()).await;
            let good = ScriptedOrigin::start(Script::websocket_echo()).await;
            let policy = HandshakePolicy::default()
                .allow("other".parse().unwrap())
                .allow_request_body(true);
            let group = Group::of([server(&bad), server(&good)]);
            let proxy = door.with(group, hasty().policy(policy)).await;
            let mut client = proxy.client_sending(request).await;
            assert_eq!(client.head().await.status, *status, "{door:?} {kind}");
            assert_eq!((bad.requests(), good.connections()), (1, 0), "{door:?} {kind}");
        }
    }
}

#[tokio::test]
async fn after_an_interim_response_that_the_client_has_there_is_no_other() {
    let script = Script::answering("HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n").pause(milliseconds(50));
    let bad = ScriptedOrigin::start(script.close()).await;
    let good = ScriptedOrigin::start(Script::websocket_echo()).await;
    let group = Group::of([server(&bad), server(&good)]);
    let proxy = Door::Gateway.to(group.clone()).await;
    let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 103);
    assert_eq!(client.head().await.status, 502);
    assert_eq!(good.connections(), 0);
    assert_eq!(group.servers()[0].failed, 1);
}

#[tokio::test]
async fn where_all_fail_the_last_word_is_the_one_that_says_most() {
    // The error of the last to be tried, or an answer, if only a server that is full comes after it.
    for door in DOORS {
        let unavailable = ScriptedOrigin::start(Script::answering(SERVICE_UNAVAILABLE)).await;
        let retry = Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]);
        let group = Group::builder().server(server(&unavailable)).retry(retry.clone());
        let full = refusing().await.max_tunnels(0);
        let proxy = door.to(group.server(full).build()).await;
        let (head, body) = proxy.client_sending(UPGRADE_REQUEST).await.response().await;
        assert_eq!(
            (head.status.as_u16(), body.as_slice()),
            (503, &b"later"[..]),
            "{door:?}"
        );

        // Or if others have none.
        let unavailable = ScriptedOrigin::start(Script::answering(SERVICE_UNAVAILABLE)).await;
        let group = Group::builder().server(server(&unavailable)).retry(retry);
        let group = group.server(refusing().await).server(refusing().await);
        let proxy = door.to(group.build()).await;
        let (head, body) = proxy.client_sending(UPGRADE_REQUEST).await.response().await;
        assert_eq!(
            (head.status.as_u16(), body.as_slice()),
            (503, &b"later"[..]),
            "{door:?}"
        );

        let silent = ScriptedOrigin::start(Script::new()).await;
        let group = Group::of([refusing().await, server(&silent)]);
        let proxy = door.with(group, hasty()).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 504, "{door:?}");

        let proxy = door.to(Group::of([refusing().await.max_tunnels(0)])).await;
        let (head, body) = proxy.client_sending(UPGRADE_REQUEST).await.response().await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(head.status, 503, "{door:?}");
        assert!(body.contains("as many tunnels as it may"), "{door:?} {body}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_second_server_is_asked_frees_both() {
    let bad = ScriptedOrigin::start(Script::new().read_head().close()).await;
    let slow = ScriptedOrigin::start(Script::new()).await;
    for door in DOORS {
        let group = Group::of([server(&bad), server(&slow)]);
        let proxy = door.to(group.clone()).await;
        let before = slow.connections();
        let client = proxy.client_sending(UPGRADE_REQUEST).await;
        let connection = slow.connection(before).await;
        connection.head().await;
        assert_eq!(group.servers()[1].tunnels, 1);
        drop(client);
        connection.end().await;
        tokio::time::timeout(Duration::from_secs(5), async {
            while group.servers()[1].tunnels > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("its place is free");
        let status = &group.servers()[1];
        assert_eq!(
            (status.failed, status.health),
            (0, Health::Healthy),
            "it was not the server's fault"
        );
    }
}

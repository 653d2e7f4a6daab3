//! An upgrade that does not come about, by the origin's will or by its failure.

use std::time::Duration;

use support::bounded::{TIMEOUT, received_while_sending};
use switchover::TcpConnect;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::Tunnels;
use tokio::net::TcpListener;

use crate::servers::{Mounted, SERVERS, Server};
use crate::{content, hasty};

fn to(origin: &ScriptedOrigin) -> UpgradeService<TcpConnect> {
    let config = ServiceConfig::default().upgrade(hasty());
    UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config)
}

/// What the client gets for an upgrade with more behind it, and how many bytes the origin has received of that.
async fn answer_to_upgrade(server: Server, script: Script) -> (u16, String, String) {
    let origin = ScriptedOrigin::start(script).await;
    // Its deadlines are those of a busy machine: an answer in pieces of a byte takes its time.
    let service = UpgradeService::new(TcpConnect::to(origin.address().to_string()));
    let mounted = Mounted::on(server, service).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = mounted
        .client_sending(format!("{UPGRADE_REQUEST}{smuggled}"))
        .await;
    let (head, body) = client.response().await;
    client.ends().await;
    let received = origin.connection(0).await.received();
    assert_eq!(origin.connections(), 1, "{server:?}");
    assert!(
        !String::from_utf8_lossy(&received).contains("smuggled"),
        "{server:?}"
    );
    let connection = head
        .headers
        .get("connection")
        .map_or("", |value| value.to_str().unwrap());
    (head.status.as_u16(), connection.to_owned(), content(&head, &body))
}

#[tokio::test]
async fn whatever_the_framing_it_is_relayed_whole_and_the_connection_closes() {
    let fixed = "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nX-Why: no\r\n\r\nsorry";
    let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nso\r\n3\r\nrry\r\n0\r\nT: v\r\n\r\n";
    let until_close = "HTTP/1.0 403 Forbidden\r\n\r\nsorry";
    let empty =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    for server in SERVERS {
        for (answer, body) in [
            (fixed, "sorry"),
            (chunked, "sorry"),
            (until_close, "sorry"),
            (empty, ""),
        ] {
            for size in [1, 1000] {
                let script = Script::new().read_head().send_in_pieces(answer, size).close();
                let got = answer_to_upgrade(server, script).await;
                assert_eq!(
                    got,
                    (403, "close".to_owned(), body.to_owned()),
                    "{server:?} {answer}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_426_keeps_its_upgrade_field() {
    let answer =
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n";
    let script = Script::answering(answer);
    assert_eq!(answer_to_upgrade(Server::Axum, script).await.1, "close, upgrade");
}

#[tokio::test]
async fn a_body_that_is_cut_short_does_not_look_complete() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\nsor",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nso",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nso\r\nx",
    ] {
        let origin = ScriptedOrigin::start(Script::new().read_head().send(answer).close()).await;
        let mounted = Mounted::on(Server::Axum, to(&origin)).await;
        let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 403);
        let rest = client.rest().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{answer}");
        assert!(rest.len() < 500, "{answer}");
    }
}

#[tokio::test]
async fn what_fails_upstream_is_a_502_or_504_that_says_why() {
    let cases: [(Script, u16, &str); 7] = [
        (
            Script::answering("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            502,
            "no Connection field",
        ),
        (
            Script::answering(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            ),
            502,
            "does not answer the Sec-WebSocket-Key",
        ),
        (Script::answering("HTTP/1.1 200 OK\nbare"), 502, "bare line feed"),
        (
            Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            502,
            "not acceptable",
        ),
        (Script::new().read_head().close(), 502, "closed the connection"),
        (Script::new().read_head().reset(), 502, "closed the connection"),
        (
            Script::new().read_head().pause(Duration::from_secs(5)),
            504,
            "did not answer within 300ms",
        ),
    ];
    for (script, status, reason) in cases {
        let origin = ScriptedOrigin::start(script).await;
        let mounted = Mounted::on(Server::Axum, to(&origin)).await;
        let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
        let (head, body) = client.response().await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(head.status, status, "{reason}: {body}");
        assert!(body.contains(reason), "{reason}: {body}");
        client.ends().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_at_once() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mounted = Mounted::on(
        Server::Axum,
        UpgradeService::new(TcpConnect::to(nobody.to_string())),
    )
    .await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    let (head, body) = client.response().await;
    assert_eq!(
        (head.status.as_u16(), &body[..]),
        (502, &b"the upstream cannot be reached\n"[..])
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_upstream() {
    for server in SERVERS {
        let origin = ScriptedOrigin::start(Script::new().read_head()).await;
        let tunnels = Tunnels::new();
        let config = ServiceConfig::default().tunnels(tunnels.clone());
        let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
        let mounted = Mounted::on(server, service).await;
        let client = mounted.client_sending(UPGRADE_REQUEST).await;
        let connection = origin.connection(0).await;
        connection.head().await;
        drop(client);
        connection.end().await;
        assert_eq!(tunnels.len(), 0);
    }
}

#[tokio::test]
async fn a_request_body_goes_up_framed_where_the_policy_allows_one() {
    let policy = switchover::HandshakePolicy::default().allow_request_body(true);
    let upgrade = hasty().policy(policy);
    let plain = UPGRADE_REQUEST.strip_suffix("\r\n").unwrap();
    for (fields, body, sent) in [
        ("Content-Length: 5\r\n", "hello", "hello"),
        (
            "Transfer-Encoding: chunked\r\n",
            "5;a\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let script = Script::new().read_head().read(sent.len()).switch().echo();
        let origin = ScriptedOrigin::start(script).await;
        let config = ServiceConfig::default().upgrade(upgrade.clone());
        let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
        let mounted = Mounted::on(Server::Axum, service).await;
        let mut client = mounted
            .client_sending(format!("{plain}{fields}\r\n{body}tunnel"))
            .await;
        assert_eq!(client.head().await.status, 101, "{fields}");
        client.receives(b"tunnel").await;
        let received = origin.connection(0).await.received();
        let received = String::from_utf8(received).unwrap();
        assert!(received.ends_with(&format!("\r\n\r\n{sent}tunnel")), "{received}");
    }
}

#[tokio::test]
async fn an_origin_that_declines_the_body_of_a_client_that_always_has_more_of_it() {
    let upgrade = hasty().policy(switchover::HandshakePolicy::default().allow_request_body(true));
    let plain = UPGRADE_REQUEST.strip_suffix("\r\n").unwrap();
    let answer = || Script::answering("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
    let body = vec![b'x'; 20 << 20];
    for script in [answer().close(), answer().pause(2 * TIMEOUT)] {
        let origin = ScriptedOrigin::start(script.clone()).await;
        let config = ServiceConfig::default().upgrade(upgrade.clone().handshake_timeout(2 * TIMEOUT));
        let service = UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config);
        let mounted = Mounted::on(Server::Axum, service).await;
        let mut client = mounted
            .client_sending(format!("{plain}Content-Length: {}\r\n\r\n", body.len()))
            .await;
        let received = received_while_sending(client.stream(), &body, b"no").await;
        assert!(received.starts_with(b"HTTP/1.1 413 "), "{script:?}");
    }
}

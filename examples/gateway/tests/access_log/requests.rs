//! One record for each request that has not become a tunnel: relayed, refused, declined, failed.

use std::time::Duration;

use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST, switching_protocols};

use crate::{Logged, answered, nobody};

const GET: &str = "GET /app HTTP/1.1\r\nHost: example.com\r\n\r\n";

#[tokio::test]
async fn ordinary_requests_on_one_connection() {
    let answer = "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nhi";
    let script = (0..2).fold(Script::new(), |script, _| script.read_head().send(answer));
    let origin = ScriptedOrigin::start(script).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let mut client = logged.client(GET).await;
    for id in [1, 2] {
        let (_, body) = client.response().await;
        assert_eq!(body, b"hi");
        let head = logged.record().await;
        // hyper writes a date, whose length is always the same.
        let sent = "HTTP/1.1 200 x\r\nContent-Length: 2\r\nDate: Fri, 20 Nov 2026 15:00:00 GMT\r\n\r\nhi";
        assert_eq!(head["bytes_sent"], sent.len(), "{head}");
        let reported = [
            "event",
            "path",
            "status",
            "body_bytes_sent",
            "id",
            "connection",
            "servers",
        ];
        let reported = reported.map(|name| head[name].clone());
        let expected = json!(["request", "/app", 200, 2, id, 1, answered(200)]);
        assert_eq!(json!(reported), expected);
        assert_eq!(head.get("reason"), None);
        if id == 1 {
            client.send(GET).await;
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_allowed_is_an_ordinary_request_and_the_record_says_so() {
    let answer = "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nhi";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let asked = "POST /exec HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";
    let mut client = logged.client(asked).await;
    assert_eq!(client.response().await.1, b"hi");
    let record = logged.record().await;
    let reported = ["event", "upgrade", "status", "reason"].map(|name| record[name].clone());
    assert_eq!(
        json!(reported),
        json!(["request", "tcp", 200, "protocol-not-allowed"])
    );
    let detail = record["detail"].as_str().expect("a detail");
    assert!(detail.contains("--allow-upgrade"), "{detail}");
}

#[tokio::test]
async fn an_ordinary_request_without_an_upstream() {
    let address = nobody().await;
    let mut logged = Logged::start(&[format!("--route=/=http://{address}")]).await;
    logged.call(address, "ORIGIN");
    let mut client = logged.client(GET).await;
    let (head, body) = client.response().await;
    assert_eq!(head.status, 502);
    let detail = "no connection to ORIGIN: Connection refused (os error 111)";
    let record = logged.record().await;
    let reported = [
        "event",
        "status",
        "reason",
        "detail",
        "side",
        "phase",
        "server",
        "servers",
        "body_bytes_sent",
    ];
    let reported = json!(reported.map(|name| record[name].clone()));
    let upstreams = json!([{"name": "ORIGIN", "outcome": "failed", "reason": "refused", "detail": detail}]);
    let expected = json!([
        "request",
        502,
        "refused",
        detail,
        "upstream",
        "connect",
        "ORIGIN",
        upstreams,
        body.len()
    ]);
    assert_eq!(reported, expected);
}

/// An answer that breaks off, by whom, and the word for it.
#[tokio::test]
async fn an_answer_that_breaks_off() {
    let head = "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nfour";
    for (side, method, reason) in [
        ("upstream", "POST", "closed"),
        ("downstream", "GET", "reset"),
        // Within its own body.
        ("downstream", "POST", "closed"),
    ] {
        let script = Script::new().read_head().send(head).read(1);
        let origin = ScriptedOrigin::start(script.close()).await;
        let mut logged = Logged::to(&origin, &[]).await;
        let length = if method == "POST" {
            "Content-Length: 1\r\n"
        } else {
            ""
        };
        let request = format!("{method} /app HTTP/1.1\r\nHost: example.com\r\n{length}\r\n");
        let mut client = logged.client(request).await;
        let head = client.head().await;
        assert_eq!(head.status, 200);
        client.receives(b"four").await;
        match side {
            "upstream" => client.send("!").await,
            _ => client.reset(),
        }
        let record = logged.record().await;
        let reported = [
            "event",
            "method",
            "status",
            "reason",
            "side",
            "phase",
            "body_bytes_sent",
        ];
        let reported = json!(reported.map(|name| record[name].clone()));
        let expected = json!(["request", method, 200, reason, side, "response", 4]);
        assert_eq!(reported, expected, "{record}");
    }
}

#[tokio::test]
async fn what_the_gateway_refuses() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let with = |from: &str, to: &str| UPGRADE_REQUEST.replacen(from, to, 1);
    let upgrade = json!({"upgrade": "websocket", "origin": "https://good.example"});
    let cases = [
        (
            with("Version: 13", "Version: 12"),
            426,
            "version-unsupported",
            upgrade.clone(),
        ),
        (
            with("Sec-WebSocket-Key", "X-Key"),
            400,
            "key-missing",
            upgrade.clone(),
        ),
        (
            with("Host", "Origin: https://evil.example\r\nHost"),
            403,
            "origin-not-allowed",
            json!({"upgrade": "websocket", "origin": "https://evil.example"}),
        ),
        (
            with("/chat", "/elsewhere"),
            404,
            "no-route",
            json!({"upgrade": "websocket", "origin": "https://good.example", "path": "/elsewhere"}),
        ),
        (
            with("GET", "POST"),
            405,
            "method",
            json!({"upgrade": "websocket", "origin": "https://good.example", "method": "POST"}),
        ),
        (
            "GET /elsewhere HTTP/1.1\r\nHost: example.com\r\n\r\n".to_owned(),
            404,
            "no-route",
            json!({"path": "/elsewhere"}),
        ),
        (
            "CONNECT other.example:443 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_owned(),
            501,
            "connect",
            json!({"method": "CONNECT", "host": "other.example:443", "path": null}),
        ),
        (
            with("Connection: Upgrade\r\n", ""),
            426,
            "connection-option-missing",
            json!({"upgrade": "websocket", "origin": "https://good.example"}),
        ),
    ];
    for (request, status, reason, more) in cases {
        let mut logged = Logged::start(&[
            format!("--route=/chat=http://{}", origin.address()),
            "--allow-origin=https://good.example".to_owned(),
            "--incomplete-handshakes=refuse".to_owned(),
        ])
        .await;
        let request = match request.contains("websocket") && !request.contains("Origin") {
            // Who asks is looked at before what is asked.
            true => request.replacen("Host", "Origin: https://good.example\r\nHost", 1),
            false => request,
        };
        let mut client = logged.client(request).await;
        let (head, text) = client.response().await;
        assert_eq!(head.status, status);
        client.ends().await;
        drop(client);
        let mut record = logged.record().await;
        let detail = record["detail"].take();
        let text = String::from_utf8(text).unwrap();
        // What the client was sent.
        assert_eq!(detail.as_str().unwrap(), text.trim_end().replacen('\n', ". ", 1));
        let mut expected = json!({
            "event": "refused",
            "connection": 1,
            "id": 1,
            "listener": "GATEWAY",
            "peer": "CLIENT",
            "client": "CLIENT",
            "version": "HTTP/1.1",
            "method": "GET",
            "host": "example.com",
            "path": "/chat",
            "status": status,
            "reason": reason,
        });
        crate::change(&mut expected, more);
        crate::change(
            &mut expected,
            json!({"bytes_sent": record["bytes_sent"], "body_bytes_sent": record["body_bytes_sent"]}),
        );
        crate::change(&mut record, json!({"detail": null}));
        assert_eq!(record, expected);
    }
}

#[tokio::test]
async fn more_tunnels_than_there_may_be() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &["--max-tunnels=1"]).await;
    let mut one = logged.client(UPGRADE_REQUEST).await;
    assert_eq!(one.head().await.status, 101);
    assert_eq!(logged.record().await["event"], "opened");
    let mut two = logged.client(UPGRADE_REQUEST).await;
    assert_eq!(two.response().await.0.status, 503);
    drop(two);
    let record = logged.record().await;
    let reported = ["event", "status", "reason", "connection", "id"].map(|name| record[name].clone());
    assert_eq!(json!(reported), json!(["refused", 503, "too-many-tunnels", 2, 2]));
}

#[tokio::test]
async fn what_the_upstream_declines() {
    let answer =
        "HTTP/1.1 403 Forbidden\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\n\r\nno!\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let mut client = logged.client(UPGRADE_REQUEST).await;
    let (head, body) = client.response().await;
    assert_eq!((head.status.as_u16(), &body[..]), (403, &b"no!\n"[..]));
    client.ends().await;
    drop(client);
    let declined = "HTTP/1.1 403 Forbidden\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\nConnection: close\r\n\r\nno!\n";
    let more = json!({
        "upgrade": "websocket",
        "status": 403,
        "server": "ORIGIN",
        "servers": answered(403),
        "bytes_sent": declined.len(),
        "body_bytes_sent": 4,
    });
    logged.is("declined", more).await;
}

/// What the upstream does, and what is recorded of it.
#[tokio::test]
async fn upgrades_that_fail() {
    let wrong_accept = |head: &http::request::Parts| {
        let answer = String::from_utf8(switching_protocols(head)).unwrap();
        answer.replacen("Accept: ", "Accept: A", 1).into_bytes()
    };
    let silent = Script::new().read_head().pause(TIMEOUT);
    let cases = [
        (
            Script::new().read_head().answer(wrong_accept),
            502,
            "invalid",
            "switch-accept-wrong",
            "the Sec-WebSocket-Accept of the 101 does not answer the Sec-WebSocket-Key",
        ),
        (
            Script::answering("HTTP/1.1 200 x\r\nBad Name: x\r\n\r\n"),
            502,
            "invalid",
            "field-name",
            "the response head is invalid: a field line has an invalid name (white space before the colon counts)",
        ),
        (
            Script::new().read_head().close(),
            502,
            "failed",
            "closed",
            "the connection was closed before it was complete",
        ),
        (silent, 504, "timed-out", "timed-out", "timed out after 200ms"),
    ];
    for (script, status, outcome, reason, detail) in cases {
        let origin = ScriptedOrigin::start(script).await;
        let mut logged = Logged::to(&origin, &["--handshake-timeout=200ms"]).await;
        let mut client = logged.client(UPGRADE_REQUEST).await;
        let (head, body) = client.response().await;
        assert_eq!(head.status, status);
        client.ends().await;
        drop(client);
        let mut record = logged.record().await;
        assert!(
            record["bytes_sent"]
                .take()
                .as_u64()
                .is_some_and(|sent| sent > body.len() as u64)
        );
        let expected = json!({
            "event": "failed",
            "connection": 1,
            "id": 1,
            "listener": "GATEWAY",
            "peer": "CLIENT",
            "client": "CLIENT",
            "version": "HTTP/1.1",
            "method": "GET",
            "host": "example.com",
            "path": "/chat",
            "upgrade": "websocket",
            "status": status,
            "reason": reason,
            "detail": detail,
            "side": "upstream",
            "phase": "response-head",
            "server": "ORIGIN",
            "servers": [{"name": "ORIGIN", "outcome": outcome, "reason": reason, "detail": detail}],
            "bytes_sent": null,
            "body_bytes_sent": body.len(),
        });
        assert_eq!(record, expected);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer() {
    let origin = ScriptedOrigin::start(Script::new().read_head().pause(Duration::from_secs(60))).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let client = logged.client(UPGRADE_REQUEST).await;
    origin.connection(0).await.head().await;
    drop(client);
    let more = json!({
        "upgrade": "websocket",
        "reason": "closed",
        "detail": "the connection was closed before it was complete",
        "side": "downstream",
        "phase": "response-head",
        "server": "ORIGIN",
        "servers": [{"name": "ORIGIN", "outcome": "given-up"}],
    });
    logged.is("failed", more).await;
}

#[tokio::test]
async fn what_a_client_writes_stays_what_it_is() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &["--access-log-query=keep"]).await;
    let mut request = UPGRADE_REQUEST
        .replacen("/chat", "/chat?%22,%22event%22:%22&'{}\\x", 1)
        .into_bytes();
    let at = request.windows(4).position(|bytes| bytes == b"Host").unwrap();
    // A quotation mark, a backslash, UTF-8 with a C1 control in it, bytes that are none, a tab.
    let origin_field = b"Origin: \",\"event\":\"ended\\ \xc3\xa9\xc2\x9b31m\xff\t\xf0\x9f\x98\x80\"\r\n";
    request.splice(at..at, origin_field.iter().copied());
    let mut client = logged.client(&request).await;
    assert_eq!(client.head().await.status, 101);
    let record = logged.record().await;
    assert_eq!(record["event"], "opened");
    assert_eq!(record["path"], "/chat?%22,%22event%22:%22&'{}\\x");
    assert_eq!(
        record["origin"],
        "\",\"event\":\"ended\\ \u{e9}\u{9b}31m\u{fffd}\t\u{1f600}\""
    );
}

#[tokio::test]
async fn queries_are_left_out_and_long_texts_cut() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &[]).await;
    for (target, expected) in [
        ("/chat?token=secret", "/chat?".to_owned()),
        ("/chat?", "/chat?".to_owned()),
        ("/chat", "/chat".to_owned()),
        (
            &format!("/{}", "x".repeat(9000)),
            format!("/{}...", "x".repeat(4095)),
        ),
    ] {
        let mut client = logged.client(UPGRADE_REQUEST.replacen("/chat", target, 1)).await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!(logged.record().await["path"], expected);
        client.reset();
        let line = logged.raw().await;
        assert!(!line.contains("secret"));
        let end: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&end["event"], &end["path"]), (&json!("ended"), &json!(expected)));
    }
}

#[tokio::test]
async fn no_record_has_user_information() {
    let origin =
        ScriptedOrigin::start(Script::answering("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n")).await;
    for (target, host) in [
        ("http://user:secret@example.com/app", "example.com"),
        ("/app", "user:secret@example.com"),
    ] {
        let mut logged = Logged::to(&origin, &[]).await;
        let mut client = logged
            .client(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.status, 400);
        let line = logged.raw().await;
        assert!(line.contains("refused") && !line.contains("secret"), "{line}");
    }
}

//! Connections that fail before there is a request, and those of balancers.

use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::Logged;

fn connection(event: &str, more: Value) -> Value {
    let mut record = json!({
        "event": event,
        "connection": 1,
        "listener": "GATEWAY",
        "peer": "CLIENT",
        "client": "CLIENT",
    });
    crate::change(&mut record, more);
    record
}

#[tokio::test]
async fn bytes_that_are_no_request() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let line_feed = "a line ends with a bare line feed at byte 14";
    let crlf = "End each line of the head with CRLF (\\r\\n), not with a line feed alone.";
    let control = "Send no control byte but the tab; encode binary values in base64.";
    let cases = [
        (
            "GET / HTTP/1.1\nHost: a\n\n",
            400,
            "bare-line-feed",
            format!("the request head is invalid: {line_feed}. {crlf}"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \"}\u{1b}[31m\r\n\r\n",
            400,
            "control-byte",
            format!("the request head is invalid: the control byte 0x1b at byte 30. {control}"),
        ),
        (
            "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
            505,
            "version",
            "the request head is invalid: the HTTP version is not 1.1 or 1.0. Speak HTTP/1.1.".to_owned(),
        ),
        (
            "GET / HTTP/1.1\r\nHost:",
            408,
            "head-timeout",
            "the request head did not arrive in time. Send the whole head at once, or raise the header deadline."
                .to_owned(),
        ),
    ];
    for (bytes, status, reason, detail) in cases {
        let mut logged = Logged::to(&origin, &["--header-timeout=300ms"]).await;
        let mut client = logged.client(bytes).await;
        assert_eq!(client.response().await.0.status, status);
        client.ends().await;
        drop(client);
        let more = json!({"status": status, "reason": reason, "detail": detail});
        assert_eq!(logged.record().await, connection("refused", more));
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_its_head_is_told_and_one_that_says_nothing_is_not() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &["--header-timeout=300ms"]).await;
    let mut silent = logged.client("").await;
    // Closed by the deadline, without an answer.
    silent.ends().await;
    drop(logged.client("").await);
    drop(logged.client("GET / HT").await);
    let more = json!({
        "connection": 3,
        "reason": "closed",
        "detail": "the connection was closed before it was complete",
        "side": "downstream",
        "phase": "request-head",
    });
    assert_eq!(logged.record().await, connection("failed", more));
}

#[tokio::test]
async fn the_client_behind_a_balancer() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &["--accept-proxy-protocol=127.0.0.0/8"]).await;
    let header = "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n";
    let mut client = logged.client([header, UPGRADE_REQUEST].concat()).await;
    assert_eq!(client.head().await.status, 101);
    let record = logged.record().await;
    assert_eq!(
        (&record["peer"], &record["client"]),
        (&json!("CLIENT"), &json!("192.0.2.1:5000"))
    );

    let mut stranger = logged.client(UPGRADE_REQUEST).await;
    stranger.ends().await;
    let record = logged.record().await;
    let reported = ["event", "reason", "side", "phase"].map(|name| record[name].clone());
    assert_eq!(
        json!(reported),
        json!(["failed", "invalid", "downstream", "proxy-protocol"]),
        "{record}"
    );
}

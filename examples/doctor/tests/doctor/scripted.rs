//! Origins that break one rule each, by a script.

use std::time::Duration;

use switchover::test_util::{Script, ScriptedOrigin, switching_protocols};
use tokio::task::JoinSet;

use crate::black_hole::BlackHole;
use crate::examined::{closed_port, examine};

/// Longer than the doctor waits in these tests.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn connections_and_answers() {
    let switched = || Script::new().read_head().switch();
    let wrong = |head: &http::request::Parts| {
        let good = String::from_utf8(switching_protocols(head)).expect("a head is text");
        let (before, after) = good
            .split_once("Accept: ")
            .or(good.split_once("accept: "))
            .expect("it has one");
        let (_, after) = after.split_once("\r\n").expect("a line ends");
        format!("{before}Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n{after}").into_bytes()
    };
    let pong_of_second = b"\x8a\x06second".to_vec();
    let cases: Vec<(&str, Script, &str)> = vec![
        (
            "closes instead of an answer",
            Script::new().read_head().close(),
            "closed-unanswered",
        ),
        (
            "resets instead of an answer",
            Script::new().read_head().reset(),
            "reset-unanswered",
        ),
        (
            "never answers",
            Script::new().read_head().pause(LONG),
            "no-answer",
        ),
        (
            "speaks SSH",
            Script::new().send("SSH-2.0-OpenSSH_9.2\r\n").pause(LONG),
            "not-http",
        ),
        (
            "ends its lines with LF",
            Script::new()
                .read_head()
                .send("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n")
                .pause(LONG),
            "bare-line-feed",
        ),
        (
            "sends a field without a name",
            Script::answering("HTTP/1.1 101 Switching Protocols\r\n: websocket\r\n\r\n"),
            "answer-malformed",
        ),
        (
            "closes in the middle of its head",
            Script::answering("HTTP/1.1 101 Switching Proto").close(),
            "answer-cut-short",
        ),
        (
            "speaks HTTP/2",
            Script::new().send(b"\0\0\0\x04\0\0\0\0\0".to_vec()).pause(LONG),
            "http2-only",
        ),
        (
            "speaks TLS",
            Script::new()
                .read_head()
                .send(b"\x15\x03\x03\0\x02\x02\x46".to_vec())
                .pause(LONG),
            "plain-to-tls-port",
        ),
        (
            "answers another key",
            Script::new().read_head().answer(wrong),
            "accept-wrong",
        ),
        (
            "is an old server",
            Script::answering("HTTP/1.0 404 Not Found\r\n\r\nnothing here").close(),
            "http10-hop",
        ),
        ("switches and is silent", switched().pause(LONG), "no-frames"),
        ("switches and closes", switched().close(), "closed-after-switch"),
        (
            "switches and writes HTTP",
            switched().send("HTTP/1.1 400 Bad\r\n\r\n").pause(LONG),
            "frames-invalid",
        ),
        ("echoes masked frames", switched().echo(), "frames-invalid"),
        (
            "loses the first frame",
            switched().read(11).read(12).send(pong_of_second).pause(LONG),
            "first-frame-lost",
        ),
        (
            "closes behind a greeting, as an application does that wants a token",
            switched()
                .send(b"\x81\x05hello\x88\x02\x0f\xa1".to_vec())
                .pause(LONG),
            "closed-by-peer",
        ),
        (
            "answers no ping but talks",
            switched().send(b"\x81\x05hello".to_vec()).pause(LONG),
            "pings-unanswered",
        ),
        (
            "closes with 1008",
            switched().send(b"\x88\x02\x03\xf0".to_vec()).pause(LONG),
            "closed-after-switch",
        ),
    ];
    // All at once: most of them are waited for.
    let mut running = JoinSet::new();
    for (stimulus, script, expected) in cases {
        let origin = ScriptedOrigin::start(script).await;
        running.spawn(async move {
            let examined = examine(&format!("--timeout 1500ms ws://{}/", origin.address())).await;
            let first = examined.found.first().and_then(|found| found.first());
            assert_eq!(
                first.map(String::as_str),
                Some(expected),
                "{stimulus}: {}",
                examined.text
            );
            assert_eq!(examined.status, Some(1), "{stimulus}");
        });
    }
    running.join_all().await;
}

#[tokio::test]
async fn no_connection() {
    let refused = closed_port();
    examine(&format!("ws://{refused}/"))
        .await
        .finds(&[&["connection-refused"]]);
    let hole = BlackHole::open();
    let dropped = format!("--timeout 300ms ws://{}/", hole.address);
    examine(&dropped).await.finds(&[&["connection-timed-out"]]);
    examine("ws://no-such-host.invalid/")
        .await
        .finds(&[&["name-not-resolved"]]);
}

/// The upgrade arrives, and the application does not want it: that is no loss on the way.
#[tokio::test]
async fn an_application_that_refuses_what_has_arrived() {
    let answer = |head: &http::request::Parts| {
        let status = if head.headers.contains_key("upgrade") {
            "400 Bad Request"
        } else {
            "200 OK"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let origin = ScriptedOrigin::start(Script::new().read_head().answer(answer).close()).await;
    examine(&format!("ws://{}/", origin.address()))
        .await
        .finds(&[&["handshake-refused"]]);
}

/// It answers the first ping when the second has come.
#[tokio::test]
async fn a_slow_origin_has_lost_nothing() {
    let pongs = b"\x8a\x05first\x8a\x06second".to_vec();
    let script = Script::new().read_head().switch().read(11).read(12).send(pongs);
    // The doctor's Close, and the answer to it.
    let script = script.read(8).send(b"\x88\x02\x03\xe8".to_vec()).close();
    let origin = ScriptedOrigin::start(script).await;
    examine(&format!("--timeout 1500ms ws://{}/", origin.address()))
        .await
        .finds(&[&[]]);
}

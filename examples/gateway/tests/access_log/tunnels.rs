//! A record when a tunnel opens, and one when it ends, with what ended it.

use std::time::Duration;

use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::{Logged, answered, change, nobody};

/// What both records of a tunnel have.
fn tunnel(more: Value) -> Value {
    let mut record = json!({
        "upgrade": "websocket",
        "protocol": "websocket",
        "status": 101,
        "server": "ORIGIN",
        "servers": answered(101),
    });
    change(&mut record, more);
    record
}

/// What the record of its end has, the bytes of the 101 included.
fn ended(more: Value) -> Value {
    let mut record = tunnel(json!({"from_downstream": 0, "from_upstream": 0, "bytes_sent": 129}));
    change(&mut record, more);
    record
}

async fn opens(logged: &mut Logged) -> ScriptedClient {
    let mut client = logged.client(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    logged.is("opened", tunnel(json!({}))).await;
    client
}

#[tokio::test]
async fn the_client_ends_first() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let mut client = opens(&mut logged).await;
    client.send("hello").await;
    client.receives(b"hello").await;
    client.end_writes().await;
    client.ends().await;
    let end = json!({
        "reason": "closed",
        "detail": "closed, downstream first",
        "side": "downstream",
        "phase": "tunnel",
        "from_downstream": 5,
        "from_upstream": 5,
    });
    logged.is("ended", ended(end)).await;
}

#[tokio::test]
async fn the_upstream_ends_first() {
    let script = Script::new().read_head().switch().send("bye").close();
    let origin = ScriptedOrigin::start(script).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let mut client = opens(&mut logged).await;
    client.receives(b"bye").await;
    client.ends().await;
    drop(client);
    let end = json!({
        "reason": "closed",
        "detail": "closed, upstream first",
        "side": "upstream",
        "phase": "tunnel",
        "from_upstream": 3,
    });
    logged.is("ended", ended(end)).await;
}

#[tokio::test]
async fn either_side_is_reset() {
    for side in ["downstream", "upstream"] {
        let script = Script::new().read_head().switch().read(1);
        let script = if side == "upstream" {
            script.reset()
        } else {
            script.echo()
        };
        let origin = ScriptedOrigin::start(script).await;
        let mut logged = Logged::to(&origin, &[]).await;
        let mut client = opens(&mut logged).await;
        client.send("!").await;
        match side {
            "upstream" => drop(client.rest_until_reset().await),
            _ => client.reset(),
        }
        let end = logged.record().await;
        let reported = ["event", "reason", "side", "phase", "id"].map(|name| end[name].to_string());
        assert_eq!(
            reported,
            ["\"ended\"", "\"reset\"", &format!("{side:?}"), "\"tunnel\"", "1"]
        );
        let detail = end["detail"].as_str().unwrap();
        assert!(
            detail.contains(side) && detail.contains("reset by peer"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn nothing_happens_for_too_long() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut logged = Logged::to(&origin, &["--read-timeout=300ms"]).await;
    let _client = opens(&mut logged).await;
    let end = json!({"reason": "idle", "detail": "idle for too long"});
    logged.is("ended", ended(end)).await;
}

#[tokio::test]
async fn the_gateway_drains_and_loses_no_record() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    for workers in ["--workers=1", "--workers=2"] {
        let mut logged = Logged::to(&origin, &[workers, "--drain-timeout=300ms"]).await;
        let mut clients = Vec::new();
        for _ in 0..40 {
            let mut client = logged.program.client().await;
            client.send(UPGRADE_REQUEST).await;
            assert_eq!(client.head().await.status, 101);
            clients.push(client);
        }
        logged.program.terminate().await;
        let mut records = Vec::new();
        while let Some(line) = logged.program.line().await {
            records.push(serde_json::from_str::<Value>(&line).unwrap());
        }
        assert!(logged.program.ends().await.success());
        let ids_of = |event: &str| {
            let of_event = records.iter().filter(|record| record["event"] == event);
            let mut ids: Vec<u64> = of_event.map(|record| record["id"].as_u64().unwrap()).collect();
            ids.sort_unstable();
            ids
        };
        let all: Vec<u64> = (1..=40).collect();
        assert_eq!((ids_of("opened"), ids_of("ended")), (all.clone(), all));
        let ended = records.iter().filter(|record| record["event"] == "ended");
        for record in ended {
            assert_eq!(record["reason"], "drained", "{record}");
        }
    }
}

#[tokio::test]
async fn the_next_upstream_steps_in() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let closing = ScriptedOrigin::start(Script::new().read_head().close()).await;
    let refusing = nobody().await;
    let (good, closes) = (origin.address(), closing.address());
    let route = format!("--route=/=http://{refusing},http://{closes},http://{good}");
    let mut logged = Logged::start(&[route]).await;
    for (address, name) in [(good, "ORIGIN"), (refusing, "NOBODY"), (closes, "CLOSING")] {
        logged.call(address, name);
    }
    let mut client = logged.client(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    let upstreams = json!([
        {
            "name": "NOBODY",
            "outcome": "failed",
            "reason": "refused",
            "detail": "no connection to NOBODY: Connection refused (os error 111)",
        },
        {
            "name": "CLOSING",
            "outcome": "failed",
            "reason": "closed",
            "detail": "the connection was closed before it was complete",
        },
        {"name": "ORIGIN", "outcome": "answered", "status": 101},
    ]);
    logged.is("opened", tunnel(json!({"servers": upstreams}))).await;
}

#[tokio::test]
async fn the_time_is_that_of_the_steps() {
    let pause = Duration::from_millis(150);
    let script = Script::new().read_head().pause(pause).switch().echo();
    let origin = ScriptedOrigin::start(script).await;
    let mut logged = Logged::to(&origin, &[]).await;
    let mut client = logged.client(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    let opened: Value = serde_json::from_str(&logged.raw().await).unwrap();
    let time = |name: &str| opened[name].as_f64().unwrap();
    assert!(
        time("connect_ms") < time("head_ms") && time("head_ms") <= time("duration_ms"),
        "{opened}"
    );
    assert!(time("head_ms") >= 150.0, "{opened}");
}

#[tokio::test]
async fn where_frames_are_known_so_are_the_codes_of_their_ends() {
    let script = Script::new()
        .read_head()
        .switch()
        .read(8)
        .send(b"\x88\x00")
        .close();
    let origin = ScriptedOrigin::start(script).await;
    let mut logged = Logged::to(&origin, &["--tunnel-mode", "websocket"]).await;
    let mut client = opens(&mut logged).await;
    client.send(b"\x88\x82\0\0\0\0\x0f\xa1").await;
    client.receives(b"\x88\x00").await;
    client.ends().await;
    drop(client);
    let end = json!({
        "reason": "closed",
        "detail": "closed, upstream first",
        "side": "upstream",
        "phase": "tunnel",
        "from_downstream": 8,
        "from_upstream": 2,
        "close_from_downstream": 4001,
        "close_from_upstream": 1005,
        "websocket": {
            "downstream": {"close": {"messages": 1, "frames": 1, "payload_bytes": 2}},
            "upstream": {"close": {"messages": 1, "frames": 1, "payload_bytes": 0}},
        },
    });
    logged.is("ended", ended(end)).await;
}

/// A text frame of a client's, masked with zeros.
fn text(length: u8) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.resize(6 + usize::from(length), b'x');
    frame
}

#[tokio::test]
async fn a_client_that_exceeds_a_limit_is_told_and_the_record_names_it() {
    for (flag, value, beyond, code, limit, allowed, exceeded) in [
        (
            "--max-message-bytes",
            "5",
            6,
            1009,
            "message-bytes",
            5,
            "bytes in a message",
        ),
        (
            "--max-frame-bytes",
            "5",
            6,
            1009,
            "frame-bytes",
            5,
            "bytes in a frame",
        ),
        (
            "--max-messages-per-second",
            "1",
            5,
            1008,
            "messages-per-second",
            1,
            "messages per second",
        ),
        (
            "--max-bytes-per-second",
            "2,12",
            5,
            1008,
            "bytes-per-second",
            2,
            "bytes per second",
        ),
    ] {
        let reason = format!("more than {allowed} {exceeded}");
        let sent_upstream = b"\x88\x80mask\x03\xe9the client exceeded a limit";
        let script = Script::new()
            .read_head()
            .switch()
            .read(text(5).len() + sent_upstream.len())
            .send(b"\x88\x00")
            .close();
        let origin = ScriptedOrigin::start(script).await;
        let mut logged = Logged::to(&origin, &["--tunnel-mode", "websocket", flag, value]).await;
        let mut client = opens(&mut logged).await;
        client.send([text(5), text(beyond)].concat()).await;
        let mut close = vec![0x88, 2 + reason.len() as u8];
        close.extend_from_slice(&u16::to_be_bytes(code));
        close.extend_from_slice(reason.as_bytes());
        client.receives(&close).await;
        client.ends().await;
        drop(client);
        let end = json!({
            "reason": "limit-exceeded",
            "detail": format!("downstream sent {reason}"),
            "side": "downstream",
            "phase": "tunnel",
            "limit": limit,
            "limit_allowed": allowed,
            "from_downstream": 11,
            "from_upstream": 0,
            "close_from_upstream": 1005,
            "close_to_downstream": code,
            "close_to_upstream": 1001,
            "websocket": {
                "downstream": {"text": {"messages": 1, "frames": 1, "payload_bytes": 5}},
                "upstream": {"close": {"messages": 1, "frames": 1, "payload_bytes": 0}},
            },
        });
        logged.is("ended", ended(end)).await;
    }
}

#[tokio::test]
async fn a_client_may_be_delayed_instead() {
    let messages = [text(1), text(2), text(3)].concat();
    let script = Script::new()
        .read_head()
        .switch()
        .read(messages.len())
        .send(b"\x81\x00");
    let origin = ScriptedOrigin::start(script).await;
    let flags = [
        "--tunnel-mode",
        "websocket",
        "--max-messages-per-second",
        "4,1",
        "--over-rate",
        "delay",
    ];
    let mut logged = Logged::to(&origin, &flags).await;
    let mut client = opens(&mut logged).await;
    let since = std::time::Instant::now();
    client.send(&messages).await;
    client.receives(b"\x81\x00").await;
    assert!(since.elapsed().as_millis() >= 490, "{:?}", since.elapsed());
}

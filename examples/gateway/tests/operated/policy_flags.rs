//! The flags that decide which requests are let through, each with and without, by the program itself.

use std::time::Duration;

use http::request::Parts;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::program::{Program, refusal};

/// A WebSocket server, which also switches to any other protocol, and takes its time for it.
fn answer(request: &Parts) -> Vec<u8> {
    match request.headers.get("upgrade").map(|value| value.as_bytes()) {
        None => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        Some(b"websocket") => switching_protocols(request),
        Some(other) => [
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ",
            other,
            b"\r\n\r\n",
        ]
        .concat(),
    }
}

fn with(fields: &str) -> String {
    UPGRADE_REQUEST.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"), 1)
}

fn to(protocol: &str, method: &str, rest: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{rest}")
}

/// The status that a gateway with these flags answers such a request with.
async fn status(origin: &ScriptedOrigin, flags: &[&str], request: &str) -> u16 {
    let route = format!("/=http://{}", origin.address());
    let arguments = [&["--listen", "127.0.0.1:0", "--route", &route], flags].concat();
    let gateway = Program::start("gateway", &arguments).await;
    let mut client = gateway.client().await;
    client.send(request).await;
    client.head().await.status.as_u16()
}

#[tokio::test]
async fn each_flag_changes_the_answer_to_what_it_is_about() {
    let origin = ScriptedOrigin::start(Script::new().read_head().answer(answer).echo()).await;
    let any = "--allow-upgrade=*";
    let cases: &[(&[&str], String, u16)] = &[
        (&[], with("Sec-WebSocket-Protocol: SPDY/3.1+x"), 101),
        (
            &["--subprotocols", "any"],
            with("Sec-WebSocket-Protocol: SPDY/3.1+x"),
            101,
        ),
        (
            &["--subprotocols", "tokens"],
            with("Sec-WebSocket-Protocol: SPDY/3.1+x"),
            400,
        ),
        (
            &["--subprotocols", "tokens"],
            with("Sec-WebSocket-Protocol: a, b"),
            101,
        ),
        // Without the flag an upgrade to another protocol is an ordinary request.
        (&[], to("tcp", "GET", "\r\n"), 200),
        (&["--allow-upgrade", "tcp"], to("tcp", "GET", "\r\n"), 101),
        (&["--allow-upgrade", "tcp"], to("foo/1", "GET", "\r\n"), 200),
        (&[any], to("foo/1", "GET", "\r\n"), 101),
        (&[any], to("h2c", "GET", "\r\n"), 200),
        (
            &["--allow-upgrade", "tcp"],
            to("tcp", "POST", "Content-Length: 2\r\n\r\nhi"),
            101,
        ),
        (
            &["--allow-upgrade", "tcp", "--upgrade-body", "refuse"],
            to("tcp", "POST", "Content-Length: 2\r\n\r\nhi"),
            400,
        ),
        (&[], with("Content-Length: 2") + "hi", 400),
        (&["--upgrade-body", "auto"], with("Content-Length: 2") + "hi", 400),
        (
            &["--upgrade-body", "allow"],
            with("Content-Length: 2") + "hi",
            101,
        ),
        (&[], "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (
            &["--trace", "refuse"],
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            405,
        ),
        (
            &["--trace", "relay"],
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            200,
        ),
        (&[], with("").replace("Upgrade: websocket\r\n", ""), 200),
        (
            &["--incomplete-handshakes", "refuse"],
            with("").replace("Upgrade: websocket\r\n", ""),
            426,
        ),
        (
            &["--allow-origin", "https://*.example.com"],
            with("Origin: https://a.example.com"),
            101,
        ),
        (
            &["--allow-origin", "https://*.example.com"],
            with("Origin: https://a.b.example.com"),
            403,
        ),
        (
            &["--allow-origin", "https://*.example.com"],
            with("Origin: https://a.example.com.evil.test"),
            403,
        ),
        (
            &["--allow-origin", "https://a.test", "--allow-origin", "null"],
            with("Origin: null"),
            101,
        ),
        (&["--allow-origin", "file://"], with("Origin: file://"), 101),
        (&["--allow-origin", "file://"], with("Origin: null"), 403),
    ];
    for (flags, request, expected) in cases {
        let got = status(&origin, flags, &request.replace("\r\n\r\n\r\n", "\r\n\r\n")).await;
        assert_eq!(got, *expected, "{flags:?}\n{request}");
    }
}

#[tokio::test]
async fn a_client_that_ends_its_writes_before_the_answer() {
    for (flags, is_served) in [(&[][..], false), (&["--early-half-close", "serve"][..], true)] {
        // The answer comes when the end has arrived, if anything comes.
        let script = Script::new()
            .read_head()
            .pause(Duration::from_millis(200))
            .switch()
            .send("what follows")
            .close();
        let origin = ScriptedOrigin::start(script).await;
        let route = format!("/=http://{}", origin.address());
        let arguments = [&["--listen", "127.0.0.1:0", "--route", &route], flags].concat();
        let gateway = Program::start("gateway", &arguments).await;
        let mut client = gateway.client().await;
        client.send(UPGRADE_REQUEST).await;
        client.end_writes().await;
        if is_served {
            assert_eq!(client.head().await.status, 101);
            client.receives(b"what follows").await;
        }
        client.ends().await;
    }
}

#[tokio::test]
async fn a_word_that_a_flag_does_not_know_is_named_with_those_that_it_knows() {
    let cases = [
        ("--subprotocols", "some", "expected any or tokens"),
        ("--upgrade-body", "yes", "expected auto, allow or refuse"),
        ("--early-half-close", "yes", "expected drop or serve"),
        ("--trace", "on", "expected refuse or relay"),
        ("--log", "all", "expected warn, info or debug"),
        ("--incomplete-handshakes", "on", "expected relay or refuse"),
        ("--tunnel-mode", "frames", "expected stream or websocket"),
        ("--access-log-query", "on", "expected drop or keep"),
        ("--allow-upgrade", "a b", ""),
        ("--allow-origin", "https://a.*.example.com", ""),
    ];
    for (flag, value, expected) in cases {
        let output = refusal("gateway", &[flag, value]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flag} {value}");
        assert!(
            said.contains(flag) && said.contains(expected),
            "{flag} {value}: {said}"
        );
    }
}

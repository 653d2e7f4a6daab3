//! The 502 that so many meet: an upstream's head that does not fit `proxy_buffer_size`. With nginx's default, without it,
//! and with a limit of one's own, which the answer names.

use http::HeaderMap;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::program::{Folder, Kind, Program, has_nginx};

/// A good 101 with a field of 20 KiB.
async fn origin() -> ScriptedOrigin {
    let script = Script::new().read_head().answer(|head| {
        let switch = String::from_utf8_lossy(&switching_protocols(head)).into_owned();
        let large = format!("\r\nSet-Cookie: session={}\r\n", "x".repeat(20 * 1024));
        switch.replacen("\r\n", &large, 1).into_bytes()
    });
    ScriptedOrigin::start(script.echo()).await
}

/// The configuration with which people meet it, and these lines in the place of those that are said to help.
async fn start(kind: Kind, origin: &ScriptedOrigin, lines: &str, flags: &[&str]) -> Program {
    let folder = Folder::kept(origin.address(), str::to_owned);
    folder.write("buffers/lines.conf", lines, origin.address());
    folder.start(kind, "buffers.conf", flags)
}

/// The status, the fields and the text of the answer to a handshake; of a 101, that its tunnel echoes.
async fn handshake(program: &Program) -> (u16, HeaderMap, String) {
    let mut client = ScriptedClient::connect(program.address).await;
    client
        .send(UPGRADE_REQUEST.replacen("/chat", "/api/v1/ws", 1))
        .await;
    let (head, text) = match client.head().await {
        head if head.status == 101 => {
            client.send("hello").await;
            client.receives(b"hello").await;
            (head, String::new())
        }
        head => (head, String::from_utf8(client.rest().await).unwrap()),
    };
    (head.status.as_u16(), head.headers, text)
}

#[tokio::test]
async fn nginxs_default_is_too_small_and_the_line_that_helps_is_proxy_buffer_size() {
    if !has_nginx() {
        return;
    }
    let origin = origin().await;
    for (lines, status) in [
        ("", 502),
        // What many a page says of it.
        ("proxy_buffers 8 32k;", 502),
        ("proxy_buffer_size 64k; proxy_buffers 8 32k;", 101),
        ("proxy_buffer_size 24k; proxy_buffers 8 8k;", 101),
    ] {
        let nginx = start(Kind::Nginx, &origin, lines, &[]).await;
        let mut client = ScriptedClient::connect(nginx.address).await;
        client
            .send(UPGRADE_REQUEST.replacen("/chat", "/api/v1/ws", 1))
            .await;
        assert_eq!(client.head().await.status, status, "{lines:?}");
        let reported = nginx
            .folder
            .read("error.log")
            .contains("upstream sent too big header");
        assert_eq!(reported, status == 502, "{lines:?}");
    }
}

#[tokio::test]
async fn without_a_line_the_head_passes_here() {
    let origin = origin().await;
    for lines in [
        "",
        "proxy_buffers 8 32k;",
        "proxy_buffer_size 64k; proxy_buffers 8 32k;",
    ] {
        let ours = start(Kind::Ours, &origin, lines, &[]).await;
        let (status, headers, _) = handshake(&ours).await;
        assert_eq!(status, 101, "{lines:?}");
        assert!(headers["set-cookie"].len() > 20 * 1024);
    }
}

#[tokio::test]
async fn a_limit_that_is_too_small_is_named_in_the_502_and_to_the_operator() {
    let origin = origin().await;
    for (lines, flags, limit) in [
        ("proxy_buffer_size 8k;", &[][..], 8192),
        ("", &["--nginx-defaults"], 4096),
        ("proxy_buffers 8 32k;", &["--nginx-defaults"], 4096),
    ] {
        let ours = start(Kind::Ours, &origin, lines, flags).await;
        let (status, headers, text) = handshake(&ours).await;
        let expected = format!("the head is longer than the limit of {limit} bytes");
        assert_eq!(status, 502, "{lines:?}");
        assert_eq!(headers["connection"], "close");
        assert!(text.contains(&expected), "{text}");
        ours.reports(&expected);
    }
}

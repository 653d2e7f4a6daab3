//! What a client sends, and what of it the upstream sees.

use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::request_with;
use crate::running_gateway::RunningGateway;

/// Go 80416, HAProxy, Envoy 7161: `h2c` went upstream beside or instead of another token.
#[tokio::test]
async fn h2c_beside_websocket() {
    for lines in [
        "Upgrade: h2c, websocket\r\n",
        "Upgrade: websocket, H2C\r\n",
        "Upgrade: h2c\r\nUpgrade: websocket\r\n",
        "Upgrade: websocket\r\nX: y\r\nupgrade: h2c\r\n",
    ] {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let gateway = RunningGateway::to(&origin).await;
        let lines = format!("{lines}HTTP2-Settings: AAMAAABk\r\nConnection: HTTP2-Settings\r\n");
        let request = UPGRADE_REQUEST.replacen("Upgrade: websocket\r\n", &lines, 1);
        let mut client = gateway.client_sending(request).await;
        assert_eq!(client.head().await.status, 101, "{lines:?}");
        let head = origin.connection(0).await.head().await.to_lowercase();
        assert!(!head.contains("h2c") && !head.contains("http2"), "{head:?}");
        assert_eq!(head.matches("upgrade: websocket\r\n").count(), 1);
    }
}

/// Go 50580, Traefik CVE-2021-32813 and CVE-2024-45410, Apache CVE-2022-31813: what the proxy sets was nominated away.
#[tokio::test]
async fn nominations_of_everything_that_must_arrive() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let must_arrive = [
        "Host: example.com",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: example.com",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=example.com;proto=http",
        "Via: 1.1 switchover",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Authorization: Basic eDp5",
        "Cookie: session=1",
        "Origin: http://example.com",
    ];
    let own = "Authorization: Basic eDp5\r\nCookie: session=1\r\nOrigin: http://example.com\r\n";
    let names: Vec<&str> = must_arrive
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    let one_line = format!("Connection: {}\r\n", names.join(", "));
    let many_lines: String = names
        .iter()
        .map(|name| format!("Connection: {name}\r\n"))
        .collect();
    for (index, nominations) in [one_line, many_lines].iter().enumerate() {
        let mut client = gateway
            .client_sending(request_with(&format!("{own}{nominations}")))
            .await;
        assert_eq!(client.head().await.status, 101);
        let head = origin.connection(index).await.head().await;
        for line in must_arrive {
            assert_eq!(
                head.matches(&format!("\r\n{line}\r\n")).count(),
                1,
                "{line:?} in {head:?}"
            );
        }
    }
}

/// linkerd2-proxy, rpxy, Go CVE-2021-33197: only the first `Connection` line was read.
#[tokio::test]
async fn nominations_on_a_later_connection_line() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    for (index, first) in [
        "Connection:\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, ,\r\n",
    ]
    .iter()
    .enumerate()
    {
        let lines = format!(
            "{first}Connection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
             Proxy-Authorization: Basic eDp5\r\nTE: gzip\r\n"
        );
        let mut client = gateway.client_sending(request_with(&lines)).await;
        assert_eq!(client.head().await.status, 101);
        let head = origin.connection(index).await.head().await.to_lowercase();
        for gone in ["x-secret", "keep-alive", "proxy-", "\r\nte:", "close"] {
            assert!(!head.contains(gone), "{gone:?} in {head:?}");
        }
    }
}

/// Traefik 6388, Spring 27097: `X-Forwarded-Proto: wss`; and claims of a client that were believed.
#[tokio::test]
async fn claims_of_a_client_about_itself() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let claims = "X-Forwarded-Proto: wss\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\
        Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Prefix: /6.6.6.6\r\n";
    let mut client = gateway.client_sending(request_with(claims)).await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    assert!(!head.contains("6.6.6.6") && !head.contains("wss"), "{head:?}");
    assert_eq!(head.matches("X-Forwarded-Proto: http\r\n").count(), 1);
}

/// RFC 9112, section 3.2.2: the authority of the target and `Host` disagreed, and each hop read another.
#[tokio::test]
async fn an_absolute_target_beside_another_host() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let request = UPGRADE_REQUEST.replacen("/chat", "http://inner.example/chat?a", 1);
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    assert!(head.starts_with("GET /chat?a HTTP/1.1\r\n"), "{head:?}");
    assert_eq!(head.matches("\r\nHost: inner.example\r\n").count(), 1);
    assert!(!head.contains("example.com"), "{head:?}");
}

//! Rules for fields at work: what the origin gets of them, and what the client gets of its answer.

use switchover::gateway::GatewayConfig;
use switchover::header::rules::{HeaderRules, Statuses};
use switchover::header::{ForwardedRules, Forwarding, TrustedProxies};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::running_gateway::RunningGateway;

/// The first of the five configurations that this crate started from, and what else people write there.
fn rules() -> HeaderRules {
    let set = [
        ("Origin", "http://backend.example"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
        ("X-NginX-Proxy", "true"),
        ("X-Url", "$scheme://$host$request_uri"),
        ("Sec-WebSocket-Extensions", ""),
    ];
    let rules = HeaderRules::default().host("$host".parse().unwrap());
    let rules = set
        .iter()
        .try_fold(rules, |rules, (name, value)| rules.set_on_request(name, value));
    rules
        .and_then(|rules| rules.add_on_response("X-Usual", "1", Statuses::Usual))
        .and_then(|rules| rules.add_on_response("X-Always", "$http_x_mark", Statuses::Always))
        .and_then(|rules| rules.remove_on_response("Server"))
        .unwrap()
}

fn config() -> GatewayConfig {
    GatewayConfig::default().forwarding(Forwarding::default().header_rules(rules()))
}

fn request() -> String {
    UPGRADE_REQUEST.replacen(
        "Host: example.com\r\n",
        "Host: Example.COM:8080\r\nOrigin: https://page.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Mark: m\r\n\
         X_NginX_Proxy: false\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
        1,
    )
}

#[tokio::test]
async fn an_upgrade_under_rules() {
    let script = Script::new().read_head().answer(|head| {
        let answer = String::from_utf8(switching_protocols(head)).unwrap();
        answer
            .replacen("\r\n", "\r\nServer: theirs\r\nX-Usual: theirs\r\n", 1)
            .into_bytes()
    });
    let origin = ScriptedOrigin::start(script.echo()).await;
    let gateway = RunningGateway::with(config(), &origin).await;
    // Nothing that a rule sets can be nominated away.
    let nominating = request().replacen(
        "Connection: Upgrade",
        "Connection: Upgrade, Origin, X-NginX-Proxy, X-Url",
        1,
    );
    assert_ne!(nominating, request());
    let mut client = gateway.client_sending(&nominating).await;
    let answer = client.head().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.headers["x-always"], "m");
    assert_eq!(
        answer.headers.get_all("x-usual").iter().collect::<Vec<_>>(),
        ["theirs"]
    );
    assert!(!answer.headers.contains_key("server"));
    client.send(b"carried").await;
    client.receives(b"carried").await;

    let head = origin.connection(0).await.head().await;
    assert_eq!(
        head,
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nOrigin: http://backend.example\r\nX-Mark: m\r\n\
         Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\
         X-Forwarded-For: 6.6.6.6, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: Example.COM:8080\r\nX-Real-IP: 127.0.0.1\r\n\
         Forwarded: for=127.0.0.1;host=\"Example.COM:8080\";proto=http\r\nVia: 1.1 switchover\r\n\
         X-Nginx-Proxy: true\r\nX-Url: http://example.com/chat\r\n\r\n"
    );
}

#[tokio::test]
async fn an_offer_that_a_rule_has_taken_out_cannot_be_taken_up() {
    let script = Script::new().read_head().answer(|head| {
        let answer = String::from_utf8(switching_protocols(head)).unwrap();
        let extension = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
        answer.replacen("\r\n", extension, 1).into_bytes()
    });
    let origin = ScriptedOrigin::start(script).await;
    for (config, status) in [(config(), 502), (GatewayConfig::default(), 101)] {
        let gateway = RunningGateway::with(config, &origin).await;
        let mut client = gateway.client_sending(request()).await;
        assert_eq!(client.head().await.status, status);
    }
}

#[tokio::test]
async fn a_declined_upgrade_under_rules() {
    for (status, usual) in [
        ("403 Forbidden", false),
        ("302 Found", true),
        ("426 Upgrade Required", false),
    ] {
        let answer =
            format!("HTTP/1.1 {status}\r\nServer: theirs\r\nUpgrade: other\r\nContent-Length: 0\r\n\r\n");
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let gateway = RunningGateway::with(config(), &origin).await;
        let mut client = gateway.client_sending(request()).await;
        let head = client.head().await;
        assert_eq!(head.headers.contains_key("x-usual"), usual, "{status}");
        assert_eq!(head.headers["x-always"], "m", "{status}");
        assert!(!head.headers.contains_key("server"), "{status}");
        // RFC 9110, section 7.8: `Upgrade` stays, with its connection option.
        assert_eq!(head.headers["connection"], "close, upgrade", "{status}");
    }
}

#[tokio::test]
async fn an_interim_response_is_the_origins_own() {
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 103 Early Hints\r\nServer: theirs\r\n\r\n")
        .answer(switching_protocols);
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(config(), &origin).await;
    let mut client = gateway.client_sending(request()).await;
    let interim = client.head().await;
    assert_eq!(interim.status, 103);
    assert!(interim.headers.contains_key("server") && !interim.headers.contains_key("x-always"));
    assert_eq!(client.head().await.headers["x-always"], "m");
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy() {
    let trusted = TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    let rules = HeaderRules::default()
        .set_on_request("X-Client", "$remote_addr by $realip_remote_addr")
        .unwrap();
    let forwarding = Forwarding::default()
        .forwarded(ForwardedRules::default().trusted(trusted))
        .header_rules(rules);
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::with(GatewayConfig::default().forwarding(forwarding), &origin).await;
    let claims = "Host: example.com\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Real-IP: 6.6.6.6\r\n";
    let request = UPGRADE_REQUEST.replacen("Host: example.com\r\n", claims, 1);
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    for line in [
        "\r\nX-Client: 192.0.2.1 by 127.0.0.1\r\n",
        "\r\nX-Real-IP: 192.0.2.1\r\n",
        "\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1, 127.0.0.1\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
}

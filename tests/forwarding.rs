//! One `Forwarding`, given once at a door, holds for upgrades and for ordinary requests alike.

use axum::Router;
use switchover::TcpConnect;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::rules::HostRule;
use switchover::header::{ForwardedRules, Forwarding, HeaderRules, Hop, TrustedProxies};
use switchover::service::{Destination, Relay, RelayConfig, ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

fn forwarding() -> Forwarding {
    let trusted = TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    let rules = HeaderRules::default()
        .host(HostRule::Upstream)
        .upstream("chat.internal")
        .set_on_request("X-Rule", "$remote_addr")
        .and_then(|rules| rules.remove_on_response("Server"))
        .unwrap();
    Forwarding::default()
        .forwarded(ForwardedRules::default().trusted(trusted))
        .header_rules(rules)
}

/// What every origin has to see of the two requests, and what the client must not see of the answers.
async fn asked(client: &mut ScriptedClient, origin: &ScriptedOrigin, connection: usize, request: &str) {
    client
        .send(request.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.1\r\n", 1))
        .await;
    let answer = client.head().await;
    assert!(!answer.headers.contains_key("server"), "{answer:?}");
    let head = origin.connection(connection).await.head().await;
    for line in [
        "\r\nHost: chat.internal\r\n",
        "\r\nX-Rule: 192.0.2.1\r\n",
        "\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n",
    ] {
        assert!(head.contains(line), "{line:?} is missing in {head}");
    }
}

async fn both_requests(address: std::net::SocketAddr, ordinary: &ScriptedOrigin, upgrades: &ScriptedOrigin) {
    let mut client = ScriptedClient::connect(address).await;
    asked(
        &mut client,
        ordinary,
        0,
        "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n",
    )
    .await;
    let mut client = ScriptedClient::connect(address).await;
    asked(&mut client, upgrades, 0, UPGRADE_REQUEST).await;
}

async fn origins() -> (ScriptedOrigin, ScriptedOrigin) {
    let answer = "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Length: 0\r\n\r\n";
    let ordinary = ScriptedOrigin::start(Script::new().read_head().send(answer)).await;
    let upgrades = ScriptedOrigin::start(Script::websocket_echo()).await;
    (ordinary, upgrades)
}

#[tokio::test]
async fn at_the_gateway() {
    let (ordinary, upgrades) = origins().await;
    let acceptor = Acceptor::new(GatewayConfig::default().forwarding(forwarding()));
    let relay = Relay::through(
        TcpConnect::to(ordinary.address().to_string()),
        RelayConfig::default(),
    )
    .forwarding(acceptor.forwarding().clone());
    let upstream = TcpConnect::to(upgrades.address().to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut serving = JoinSet::new();
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let (acceptor, relay, upstream) = (acceptor.clone(), relay.clone(), upstream.clone());
            serving.spawn(async move {
                match acceptor.accept(stream, peer).await.unwrap() {
                    Accepted::Upgrade(incoming) => drop(incoming.proxy(&upstream).await),
                    Accepted::Ordinary(head, stream) => {
                        let destination = Destination::default();
                        drop(relay.serve(stream, &head, destination, Hop::from(peer)).await);
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    both_requests(address, &ordinary, &upgrades).await;
}

#[tokio::test]
async fn at_the_service() {
    let (ordinary, upgrades) = origins().await;
    let config = ServiceConfig::default().forwarding(forwarding()).hop(|parts| {
        parts
            .extensions
            .get()
            .copied()
            .unwrap_or(Hop::from("127.0.0.1".parse::<std::net::IpAddr>().unwrap()))
    });
    let proxy = |origin: &ScriptedOrigin| {
        ReverseProxy::new(TcpConnect::to(origin.address().to_string())).config(config.clone())
    };
    let app: Router = Router::new()
        .route_service("/page", proxy(&ordinary))
        .fallback_service(proxy(&upgrades));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    both_requests(address, &ordinary, &upgrades).await;
}

//! An upgrade beyond a cap is refused before the origin sees it, and one within it gives its place back whatever
//! becomes of it.

use std::net::IpAddr;
use std::time::Duration;

use switchover::connect::TcpConnect;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, Negotiated, Outcome};
use switchover::handshake::Rejection;
use switchover::header::{ForwardedRules, Forwarding, Hop, TrustedProxies};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::{Cap, Drain, End, PeerCap};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::running_gateway::{RunningGateway, refused};

const SHORT: Duration = Duration::from_millis(100);

fn capped(cap: &Cap) -> GatewayConfig {
    GatewayConfig::default().cap(cap.clone())
}

async fn emptied(cap: &Cap, story: &str) {
    let emptied = timeout(TIMEOUT, cap.emptied()).await;
    emptied.unwrap_or_else(|_| panic!("{story}: {} keep their places", cap.open()));
}

/// A connected client, and the gateway's end of its connection.
async fn connected() -> (ScriptedClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn beyond_the_cap_is_503_and_the_origin_does_not_hear_of_it() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let cap = Cap::new(2);
    let mut gateway = RunningGateway::with(capped(&cap), &origin).await;
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        tunnels.push(client);
    }
    let mut third = gateway.client_sending(UPGRADE_REQUEST).await;
    let text = refused(&mut third, 503).await;
    assert!(
        text.starts_with("as many tunnels as allowed are open\n"),
        "{text}"
    );
    drop(third);
    assert!(matches!(
        gateway.served().await,
        Ok(Outcome::Rejected(Rejection::TooManyTunnels))
    ));
    assert_eq!((cap.open(), origin.connections()), (2, 2));

    // The tunnels that there are do not notice, and an ordinary request is none of them.
    for client in &mut tunnels {
        client.send(b"frame").await;
        client.receives(b"frame").await;
    }
    let ordinary = gateway.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(matches!(gateway.served().await, Ok(Outcome::Ordinary(..))));
    drop((ordinary, tunnels.pop()));
    gateway.served().await.unwrap();

    // The place is free before the gateway's caller learns of the end.
    assert_eq!(cap.open(), 1);
    let mut next = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(next.head().await.status, 101);
}

#[tokio::test]
async fn a_place_is_taken_while_the_origin_thinks() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let cap = Cap::new(1);
    let gateway = RunningGateway::with(capped(&cap), &origin).await;
    let waiting = gateway.client_sending(UPGRADE_REQUEST).await;
    origin.connection(0).await.head().await;
    assert_eq!(cap.open(), 1);
    refused(&mut gateway.client_sending(UPGRADE_REQUEST).await, 503).await;
    drop(waiting);
    emptied(&cap, "a client that leaves").await;
}

#[tokio::test]
async fn every_failure_gives_its_place_back() {
    let declined = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let cut_short = "HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\nno";
    let unasked = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let stories = [
        ("declined", Script::answering(declined)),
        ("declined and cut short", Script::answering(cut_short).close()),
        ("a switch to something else", Script::answering(unasked)),
        ("no HTTP", Script::answering("SSH-2.0-OpenSSH\r\n")),
        ("closed without an answer", Script::new().read_head().close()),
        ("reset", Script::new().read_head().reset()),
        (
            "talks first",
            Script::new().send("HTTP/1.1 200 OK\r\n\r\n").close(),
        ),
        ("silent", Script::new()),
        ("switched and closed", Script::new().read_head().switch().close()),
        ("switched and reset", Script::new().read_head().switch().reset()),
    ];
    for (story, script) in stories {
        let origin = ScriptedOrigin::start(script).await;
        let cap = Cap::new(1);
        let mut gateway = RunningGateway::with(capped(&cap).handshake_timeout(SHORT), &origin).await;
        for _ in 0..2 {
            let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
            let answer = client.head().await;
            assert_ne!(answer.status, 503, "{story}");
            drop(client);
            drop(gateway.served().await);
            assert_eq!(cap.open(), 0, "{story}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_gives_its_place_back() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let cap = Cap::new(1);
    let mut gateway = RunningGateway::connecting(capped(&cap), TcpConnect::to(address.to_string())).await;
    for _ in 0..2 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        refused(&mut client, 502).await;
        drop(client);
        assert!(gateway.served().await.is_err());
        assert_eq!(cap.open(), 0);
    }
}

#[tokio::test]
async fn given_up_at_any_moment_it_gives_its_place_back() {
    for script in [
        Script::new(),
        Script::answering("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 10"),
        Script::answering("HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nhello"),
        Script::new().read_head().switch(),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let (cap, peers) = (Cap::new(1), PeerCap::new(1));
        let acceptor = Acceptor::new(capped(&cap).peer_cap(peers.clone()));
        let connect = TcpConnect::to(origin.address().to_string());
        let (mut client, stream) = connected().await;
        let serving = tokio::spawn(async move {
            let Ok(Accepted::Upgrade(incoming)) = acceptor.accept(stream, Hop::from(PEER)).await else {
                panic!("an upgrade");
            };
            drop(incoming.proxy(&connect).await);
        });
        client.send(UPGRADE_REQUEST).await;
        origin.connection(0).await.head().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!((cap.open(), peers.open(PEER)), (1, 1));
        serving.abort();
        assert!(serving.await.is_err());
        assert_eq!((cap.open(), peers.peers()), (0, 0));
    }
}

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

#[tokio::test]
async fn whoever_does_not_go_on_with_it_gives_its_place_back() {
    let cap = Cap::new(1);
    let acceptor = Acceptor::new(capped(&cap));
    let incoming = async || {
        let (mut client, stream) = connected().await;
        client.send(UPGRADE_REQUEST).await;
        match acceptor.accept(stream, Hop::unknown()).await {
            Ok(Accepted::Upgrade(incoming)) => (client, incoming),
            other => panic!("an upgrade, not {other:?}"),
        }
    };
    let (_client, dropped) = incoming().await;
    assert_eq!(cap.open(), 1);
    drop(dropped);
    assert_eq!(cap.open(), 0);

    let (mut client, unwanted) = incoming().await;
    let rejected = tokio::spawn(unwanted.reject(Rejection::NoRoute));
    refused(&mut client, 404).await;
    drop(client);
    rejected.await.unwrap().unwrap();
    assert_eq!(cap.open(), 0);

    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let connect = TcpConnect::to(origin.address().to_string());
    let (_client, asked) = incoming().await;
    let Ok(Negotiated::Switched(established)) = asked.negotiate(&connect).await else {
        panic!("a switch");
    };
    assert_eq!(cap.open(), 1);
    drop(established);
    assert_eq!(cap.open(), 0);
}

#[tokio::test]
async fn a_peer_beyond_its_cap_is_429_and_others_are_let_in() {
    let (cap, peers) = (Cap::new(3), PeerCap::new(1));
    let acceptor = Acceptor::new(capped(&cap).peer_cap(peers.clone()));
    let accept = async |hop: Hop| {
        let (mut client, stream) = connected().await;
        client.send(UPGRADE_REQUEST).await;
        // The gateway waits for the client to go on closing, so both sides have to be looked after.
        let accepting = tokio::spawn({
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream, hop).await.unwrap() }
        });
        (client, accepting)
    };
    let (_one, accepted) = accept(Hop::from(PEER)).await;
    let Accepted::Upgrade(first) = accepted.await.unwrap() else {
        panic!("the first of its peer");
    };
    let (mut two, accepted) = accept(Hop::from(PEER)).await;
    refused(&mut two, 429).await;
    drop(two);
    assert!(matches!(
        accepted.await.unwrap(),
        Accepted::Rejected(Rejection::PeerLimit, Some(_))
    ));
    assert_eq!(cap.open(), 1, "what the peer is refused is nobody else's");

    let mut others = Vec::new();
    for hop in [Hop::from(IpAddr::from([192, 0, 2, 2])), Hop::unknown()] {
        let (_client, accepted) = accept(hop).await;
        others.push(accepted.await.unwrap());
    }
    let (mut full, accepted) = accept(Hop::unknown()).await;
    refused(&mut full, 503).await;
    drop(full);
    accepted.await.unwrap();
    drop((first, others));
    assert_eq!((cap.open(), peers.peers()), (0, 0));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_cap_of_its_own() {
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let trusted = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
    let forwarding = Forwarding::default().forwarded(ForwardedRules::default().trusted(trusted));
    let config = GatewayConfig::default()
        .forwarding(forwarding)
        .peer_cap(PeerCap::new(1));
    let acceptor = Acceptor::new(config);
    let mut open = Vec::new();
    for (peer, client, is_let_in) in [
        (proxy, "192.0.2.11", true),
        (proxy, "192.0.2.12", true),
        (proxy, "192.0.2.11", false),
        // A peer that is not trusted counts under its own address, whatever it says.
        (PEER, "192.0.2.3", true),
        (PEER, "192.0.2.4", false),
    ] {
        let (mut asking, stream) = connected().await;
        let field = format!("X-Forwarded-For: {client}\r\nHost: ");
        asking.send(UPGRADE_REQUEST.replacen("Host: ", &field, 1)).await;
        asking.end_writes().await;
        let accepted = acceptor.accept(stream, peer).await.unwrap();
        match accepted {
            Accepted::Upgrade(incoming) if is_let_in => open.push(incoming),
            Accepted::Rejected(Rejection::PeerLimit, _) if !is_let_in => {}
            other => panic!("{client} by {peer}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_established_tunnel_is_watched_ended_and_gives_its_place_back() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let cap = Cap::new(1);
    let acceptor = Acceptor::new(capped(&cap));
    let (mut client, stream) = connected().await;
    client.send([UPGRADE_REQUEST.as_bytes(), b"early"].concat()).await;
    let Ok(Accepted::Upgrade(incoming)) = acceptor.accept(stream, Hop::unknown()).await else {
        panic!("an upgrade");
    };
    let connect = TcpConnect::to(origin.address().to_string());
    let Ok(Negotiated::Switched(mut established)) = incoming.negotiate(&connect).await else {
        panic!("a switch");
    };
    let watch = established.watch();
    let mut carrying = Box::pin(established.run());
    tokio::select! {
        ended = &mut carrying => panic!("{ended:?}"),
        () = async {
            assert_eq!(client.head().await.status, 101);
            client.receives(b"early").await;
        } => {}
    }
    assert_eq!((watch.from_downstream(), watch.from_upstream()), (5, 5));
    watch.end();
    assert_eq!(carrying.as_mut().await.unwrap().end(), End::Requested);
    // The future itself is still there.
    assert_eq!(cap.open(), 0);
    assert!(!watch.is_open());
    client.ends().await;
}

#[tokio::test]
async fn a_gateway_that_drains_closes_who_has_said_nothing_and_ends_its_tunnels() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let cap = Cap::unlimited();
    let connect = TcpConnect::to(origin.address().to_string());
    let gateway = switchover::gateway::Gateway::builder(connect)
        .config(capped(&cap))
        .build();
    let drain = Drain::new();
    let serve = async || {
        let (client, stream) = connected().await;
        let (gateway, drain) = (gateway.clone(), drain.signal());
        let serving = tokio::spawn(async move { gateway.serve_until(stream, Hop::unknown(), drain).await });
        (client, serving)
    };
    let ((mut silent, closed), (mut client, tunnelled)) = (serve().await, serve().await);
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    drain.complete_now();
    silent.ends().await;
    client.ends().await;
    drop((silent, client));
    assert!(matches!(closed.await.unwrap(), Ok(Outcome::Closed)));
    match tunnelled.await.unwrap() {
        Ok(Outcome::Tunnelled { traffic, .. }) => assert_eq!(traffic.end(), End::Drained),
        other => panic!("{other:?}"),
    }
    assert_eq!(cap.open(), 0);
}

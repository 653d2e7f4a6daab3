//! How upgrades are spread, seen from the servers.

use switchover::UpgradeConfig;
use switchover::header::{ForwardedRules, Forwarding, TrustedProxies};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Balance, Group};

use crate::door::{DOORS, Door, Proxy};
use crate::server;

async fn three() -> [ScriptedOrigin; 3] {
    let start = || ScriptedOrigin::start(Script::websocket_echo());
    [start().await, start().await, start().await]
}

fn group(origins: &[ScriptedOrigin], balance: &str) -> Group {
    let builder = origins
        .iter()
        .fold(Group::builder(), |group, origin| group.server(server(origin)));
    builder.balance(balance.parse().unwrap()).build()
}

fn connections(origins: &[ScriptedOrigin]) -> Vec<usize> {
    origins.iter().map(ScriptedOrigin::connections).collect()
}

fn request(fields: &str) -> String {
    UPGRADE_REQUEST.replacen("Host: ", &format!("{fields}Host: "), 1)
}

/// A tunnel, and the server that it goes to.
async fn tunnel(proxy: &Proxy, fields: &str, origins: &[ScriptedOrigin]) -> (ScriptedClient, usize) {
    let before = connections(origins);
    let mut client = proxy.client_sending(request(fields)).await;
    assert_eq!(client.head().await.status, 101);
    client.send("hi").await;
    client.receives(b"hi").await;
    let after = connections(origins);
    let server = before.iter().zip(&after).position(|(one, other)| one < other);
    (client, server.expect("one server has a connection more"))
}

#[tokio::test]
async fn by_weight() {
    for door in DOORS {
        let origins = three().await;
        let weights = [5, 3, 2];
        let servers = origins
            .iter()
            .zip(weights)
            .map(|(origin, weight)| server(origin).weight(weight));
        let proxy = door.to(Group::of(servers)).await;
        for _ in 0..30 {
            tunnel(&proxy, "", &origins).await;
        }
        assert_eq!(connections(&origins), [15, 9, 6], "{door:?}");
    }
}

#[tokio::test]
async fn by_the_tunnels_that_are_open() {
    for door in DOORS {
        let origins = three().await;
        let group = group(&origins, "least-tunnels");
        let proxy = door.to(group.clone()).await;
        let mut tunnels = Vec::new();
        for _ in 0..30 {
            tunnels.push(tunnel(&proxy, "", &origins).await);
        }
        assert_eq!(connections(&origins), [10, 10, 10], "{door:?}");
        // One server loses all its tunnels, as after a restart: it gets those that come.
        tunnels.retain(|(_, server)| *server != 2);
        let since = tokio::time::Instant::now();
        while group.servers()[2].tunnels > 0 {
            assert!(since.elapsed() < switchover::test_util::TIMEOUT);
            tokio::task::yield_now().await;
        }
        for _ in 0..9 {
            let (client, server) = tunnel(&proxy, "", &origins).await;
            assert_eq!(server, 2, "{door:?}");
            tunnels.push((client, server));
        }
    }
}

#[tokio::test]
async fn by_session() {
    for door in DOORS {
        let origins = three().await;
        let all = door.to(group(&origins, "hash:cookie:session")).await;
        let fewer = door.to(group(&origins[..2], "hash:cookie:session")).await;
        let mut owners = [0; 3];
        for session in 0..40 {
            let fields = format!("Cookie: a=b; session={session}\r\n");
            let (_client, first) = tunnel(&all, &fields, &origins).await;
            let (_client, second) = tunnel(&all, &fields, &origins).await;
            assert_eq!(first, second, "{door:?}: a session stays where it is");
            let (_client, without) = tunnel(&fewer, &fields, &origins).await;
            assert!(
                without == first || first == 2,
                "{door:?}: only those of the one that is gone move"
            );
            owners[first] += 1;
        }
        assert!(owners.iter().all(|count| *count > 4), "{door:?}: {owners:?}");
    }
}

#[tokio::test]
async fn by_client_also_behind_proxies_that_are_trusted() {
    let origins = three().await;
    let proxies = TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    let forwarding = Forwarding::default().forwarded(ForwardedRules::default().trusted(proxies));
    let group = group(&origins, "hash:client");
    let proxy = Door::Gateway
        .forwarding(group, UpgradeConfig::default(), forwarding)
        .await;
    let mut owners = [0; 3];
    for last in 0..40 {
        let fields = format!("X-Forwarded-For: 192.0.2.{last}\r\n");
        let (_client, first) = tunnel(&proxy, &fields, &origins).await;
        let (_client, second) = tunnel(&proxy, &fields, &origins).await;
        assert_eq!(first, second);
        owners[first] += 1;
    }
    assert!(owners.iter().all(|count| *count > 4), "{owners:?}");
}

#[test]
fn a_balance_is_a_text() {
    for (text, expected) in [
        ("round-robin", Some(Balance::RoundRobin)),
        ("least-tunnels", Some(Balance::LeastTunnels)),
        ("hash:client", Some(Balance::Hash("client".parse().unwrap()))),
        ("hash:", None),
        ("hash", None),
        ("random", Some(Balance::Random)),
        ("least-of-two", Some(Balance::PowerOfTwo)),
        ("least", None),
        ("", None),
    ] {
        let parsed = text.parse::<Balance>();
        assert_eq!(parsed.as_ref().ok(), expected.as_ref(), "{text}");
        if let Err(error) = parsed {
            assert!(error.to_string().contains("least-tunnels"), "{error}");
        }
    }
}

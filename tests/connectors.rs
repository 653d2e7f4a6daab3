//! Connectors of every kind in front of an origin: over a Unix socket, from a URL, from an address of the host's own, with a socket
//! of the caller's and a resolver of the caller's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use support::black_hole::BlackHole;
use support::bounded::within;
use support::certificates::Authority;
use switchover::connect::{
    AddressError, AnyConnect, Connect, ConnectError, Pooling, Shortage, TcpConnect, UnixConnect,
};
use switchover::gateway::{GatewayConfig, next_connection};
use switchover::service::{RelayConfig, ReverseProxy, ServiceConfig, UpgradeService};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tls::{TlsClientConfig, TlsConnect};
use switchover::upstream::{Group, Health, Server, UrlConnector};
use switchover::{Gateway, Outcome, UpgradeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// A tunnel through a gateway with this connector. Returns how it was served.
async fn tunnel(
    connect: impl Connect + 'static,
) -> JoinHandle<Result<Outcome<tokio::net::TcpStream>, switchover::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = Gateway::builder(connect).build();
    let serving = tokio::spawn(async move {
        let (client, peer) = switchover::gateway::next_connection(&listener).await;
        gateway.serve(client, peer).await
    });
    let mut client = ScriptedClient::connect(address).await;
    client.send(format!("{UPGRADE_REQUEST}hello")).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
    client.end_writes().await;
    client.ends().await;
    serving
}

/// A WebSocket server on a Unix socket, in front of one on TCP.
async fn unix_origin(origin: &ScriptedOrigin) -> (std::path::PathBuf, JoinHandle<()>) {
    let folder = std::env::temp_dir().join(format!(
        "switchover-{}-{}",
        std::process::id(),
        origin.address().port()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("origin.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let address = origin.address();
    let forwarding = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut origin = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut origin).await;
            });
        }
    });
    (path, forwarding)
}

#[tokio::test]
async fn a_unix_socket() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (path, _forwarding) = unix_origin(&origin).await;
    let by_url = UrlConnector::new()
        .connector(&format!("unix:{}", path.display()))
        .unwrap();
    let group = Group::of([Server::new("unix", UnixConnect::to(&path))]);
    for served in [
        tunnel(UnixConnect::to(&path)).await,
        tunnel(by_url).await,
        tunnel(group).await,
    ] {
        assert!(matches!(served.await.unwrap(), Ok(Outcome::Tunnelled { .. })));
    }
    std::fs::remove_file(&path).unwrap();
    let error = UnixConnect::to(&path).stream().await.unwrap_err();
    assert_eq!(error.name(), "unreachable", "{error}");
    assert!(error.to_string().contains("unix:/"), "{error}");
}

#[tokio::test]
async fn connectors_of_different_types_in_one_group() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (path, _forwarding) = unix_origin(&origin).await;
    let group = Group::of([
        Server::new(
            "tcp",
            AnyConnect::new(TcpConnect::to(origin.address().to_string())),
        ),
        Server::new("unix", AnyConnect::new(UnixConnect::to(path))),
    ]);
    for _ in 0..2 {
        let served = tunnel(group.clone()).await;
        assert!(matches!(served.await.unwrap(), Ok(Outcome::Tunnelled { .. })));
    }
    let tried: Vec<u64> = group.servers().iter().map(|server| server.tried).collect();
    assert_eq!(tried, [1, 1]);
}

#[tokio::test]
async fn a_url() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    for scheme in ["http", "ws"] {
        let connect = UrlConnector::new()
            .connector(&format!("{scheme}://{}/", origin.address()))
            .unwrap();
        assert_eq!(connect.pooling(), Pooling::Shared);
        let served = tunnel(connect).await;
        assert!(matches!(served.await.unwrap(), Ok(Outcome::Tunnelled { .. })));
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_once() {
    for text in ["http://a.example", "a.example", "/run/a.sock"] {
        let refused: Result<TcpConnect, AddressError> = text.parse();
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("an address is a host and port"), "{error}");
        let panicked = std::panic::catch_unwind(|| TcpConnect::to(text));
        assert!(panicked.is_err(), "{text}");
    }
}

/// Where a connection to a listener comes from, as the listener sees it.
async fn seen_from(connect: &TcpConnect, listener: &TcpListener) -> SocketAddr {
    let (connected, accepted) = tokio::join!(connect.stream(), listener.accept());
    let (mut stream, (mut peer, address)) = (connected.unwrap(), accepted.unwrap());
    stream.write_all(b"x").await.unwrap();
    assert_eq!(within("a byte", peer.read_u8()).await.unwrap(), b'x');
    address
}

#[tokio::test]
async fn a_source_address_a_socket_and_a_resolver_of_the_callers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let (sockets, names) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, resolved) = (sockets.clone(), names.clone());
    let by_name = TcpConnect::to("chat.internal:9000")
        .local_address(source)
        .local_address("::1".parse().unwrap())
        .on_socket(move |socket| {
            counted.fetch_add(1, Ordering::Relaxed);
            socket.set_keepalive(true)
        })
        .resolver(move |name| {
            assert_eq!(name, "chat.internal:9000");
            resolved.fetch_add(1, Ordering::Relaxed);
            async move { io::Result::Ok(vec![address]) }
        });
    for connect in [by_name, TcpConnect::to(address.to_string()).local_address(source)] {
        for _ in 0..2 {
            assert_eq!(seen_from(&connect, &listener).await.ip(), source);
        }
    }
    assert_eq!(
        (sockets.load(Ordering::Relaxed), names.load(Ordering::Relaxed)),
        (2, 2)
    );
}

/// The doors, and whether what is asked of them is an upgrade.
const DOORS: [(&str, bool); 3] = [
    ("gateway", true),
    ("UpgradeService", true),
    ("ReverseProxy", false),
];

/// A door with this connector, which has a second to connect.
async fn opened(door: &str, connect: AnyConnect) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upgrade = UpgradeConfig::default().connect_timeout(CONNECT_TIMEOUT);
    let relay = RelayConfig::default().connect_timeout(CONNECT_TIMEOUT);
    let config = ServiceConfig::default().upgrade(upgrade.clone());
    let mut serving = JoinSet::new();
    let router = match door {
        "gateway" => {
            let config = GatewayConfig::default().upgrade(upgrade);
            let gateway = Gateway::builder(connect).config(config).build();
            serving.spawn(async move {
                loop {
                    let (client, peer) = next_connection(&listener).await;
                    drop(gateway.serve(client, peer).await);
                }
            });
            return (address, serving);
        }
        "UpgradeService" => Router::new().fallback_service(UpgradeService::new(connect).config(config)),
        _ => Router::new().fallback_service(ReverseProxy::new(connect).config(config).relay(relay)),
    };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
    (address, serving)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A client that has asked a door for an upgrade, or for a page.
async fn asking(door: SocketAddr, upgrade: bool) -> ScriptedClient {
    let mut client = ScriptedClient::connect(door).await;
    client
        .send(match upgrade {
            true => UPGRADE_REQUEST,
            false => "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        })
        .await;
    client
}

#[tokio::test]
async fn settings_of_the_callers_are_those_of_every_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let change = move |connect: TcpConnect| connect.local_address(source);
    let connect = move || change(TcpConnect::to(address.to_string()));
    let authority = Authority::new();
    let tls = TlsClientConfig::builder()
        .only_roots(authority.pem)
        .build()
        .unwrap();
    let urls = UrlConnector::new().tls(tls.clone()).tcp(change);
    let discovered = Group::builder().discover(
        "chat.internal",
        move || async move { Ok(vec![address]) },
        Duration::from_secs(60),
        move |_| Server::new("one", connect()),
    );
    for (way, connect) in [
        ("alone", AnyConnect::new(connect())),
        (
            "below TLS",
            AnyConnect::new(TlsConnect::new(connect(), "localhost", tls).unwrap()),
        ),
        (
            "a server",
            AnyConnect::new(Group::of([Server::new("one", connect())])),
        ),
        ("discovered", AnyConnect::new(discovered.build())),
        ("http", urls.connector(&format!("http://{address}")).unwrap()),
        ("wss", urls.connector(&format!("wss://{address}")).unwrap()),
    ] {
        for (door, upgrade) in DOORS {
            let (door_address, _serving) = opened(door, connect.clone()).await;
            let mut client = asking(door_address, upgrade).await;
            let accepted = timeout(TIMEOUT, listener.accept()).await;
            let (stream, from) = accepted.expect(way).unwrap();
            assert_eq!(from.ip(), source, "{way}, {door}");
            drop(stream);
            assert_eq!(client.head().await.status, 502, "{way}, {door}");
        }
    }
}

/// What a resolver does.
#[derive(Clone, Debug)]
enum Resolves {
    To(Vec<SocketAddr>),
    Fails,
    Hangs,
}

impl Resolves {
    async fn answer(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Resolves::To(addresses) => Ok(addresses),
            Resolves::Fails => Err(io::Error::other("no such zone")),
            Resolves::Hangs => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn what_a_resolver_of_the_callers_answers() {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (chat, app) = (
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::new().read_head().send(page)).await,
    );
    let black_hole = BlackHole::open();
    let silent = black_hole.address;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for (door, upgrade) in DOORS {
        let (origin, served) = match upgrade {
            true => (chat.address(), 101),
            false => (app.address(), 200),
        };
        for (resolves, status) in [
            (Resolves::To(vec![origin]), served),
            (Resolves::To(vec![nobody, origin]), served),
            // One that swallows everything costs its head start.
            (Resolves::To(vec![silent, nobody, origin]), served),
            (Resolves::To(vec![silent]), 504),
            (Resolves::To(vec![nobody]), 502),
            (Resolves::To(Vec::new()), 502),
            (Resolves::Fails, 502),
            (Resolves::Hangs, 504),
        ] {
            let resolving = Arc::new(());
            let (answer, held) = (resolves.clone(), resolving.clone());
            let connect = TcpConnect::to("chat.internal:9000").resolver(move |name| {
                assert_eq!(name, "chat.internal:9000");
                let (answer, held) = (answer.clone(), held.clone());
                async move {
                    let _held = held;
                    answer.answer().await
                }
            });
            let (address, _serving) = opened(door, AnyConnect::new(connect)).await;
            let mut client = asking(address, upgrade).await;
            assert_eq!(client.head().await.status, status, "{door}, {resolves:?}");
            // Here, and in the closure. A future that hangs has been dropped.
            assert_eq!(Arc::strong_count(&resolving), 2, "{door}, {resolves:?}");
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_with_them() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let address = origin.address().to_string();
    // Documentation addresses are nobody's.
    let elsewhere = TcpConnect::to(&address).local_address("192.0.2.1".parse().unwrap());
    let error = elsewhere.stream().await.unwrap_err();
    assert_eq!(error.shortage(), Some(Shortage::LocalAddress), "{error}");
    let taken = TcpListener::bind("127.0.0.9:0").await.unwrap();
    let taken = taken.local_addr().unwrap();
    let busy = TcpConnect::to(&address).on_socket(move |socket| socket.bind(taken));
    let error = busy.stream().await.unwrap_err();
    assert_eq!(error.shortage(), Some(Shortage::LocalAddress), "{error}");
    let refusing = TcpConnect::to(&address).on_socket(|_| Err(io::Error::other("no mark for it")));
    let error = refusing.stream().await.unwrap_err();
    assert_eq!(error.name(), "no-socket");
    assert_eq!(
        error.to_string(),
        format!("no socket for {address}: an option or the source address could not be set: no mark for it")
    );
    // The server is not to blame for it.
    let group = Group::of([Server::new("one", refusing)]);
    for (door, upgrade) in DOORS {
        let (door, _serving) = opened(door, AnyConnect::new(group.clone())).await;
        assert_eq!(asking(door, upgrade).await.head().await.status, 502);
    }
    let [server] = &group.servers()[..] else {
        unreachable!()
    };
    assert_eq!((server.health, server.tried), (Health::Healthy, 3));
    let unknown = TcpConnect::to("chat.internal:1").resolver(|_| async { Ok(Vec::new()) });
    let error = unknown.stream().await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
    assert_eq!(origin.connections(), 0);
}

/// connect(2) says EAGAIN at once there, where it waits over TCP.
#[tokio::test]
async fn a_unix_server_whose_backlog_is_full_is_waited_for() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    let path = std::env::temp_dir().join(format!("switchover-backlog-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listening = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listening, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listening, 1).unwrap();
    let listener = std::os::unix::net::UnixListener::from(listening);
    let connect = UnixConnect::to(&path);

    let mut waiting = Vec::new();
    // Linux lets in one more than it was told.
    while let Ok(stream) = timeout(Duration::from_millis(300), connect.stream()).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 8, "a backlog of one");
    }
    let connecting = tokio::spawn(async move { connect.stream().await });
    drop(listener.accept().unwrap());
    let connected = within("a connection", connecting).await.unwrap();
    connected.unwrap();
    std::fs::remove_file(&path).unwrap();
}

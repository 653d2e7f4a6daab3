//! Connectors of every kind in front of an origin: over a Unix socket, from a URL, from an address of the host's own, with a socket
//! of the caller's and a resolver of the caller's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchover::connect::{
    AddressError, AnyConnect, Connect, ConnectError, Pooling, Shortage, TcpConnect, UnixConnect,
};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server, connect_to_url};
use switchover::{Gateway, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

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
    let by_url = connect_to_url(&format!("unix:{}", path.display())).unwrap();
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
        let connect = connect_to_url(&format!("{scheme}://{}/", origin.address())).unwrap();
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
    assert_eq!(peer.read_u8().await.unwrap(), b'x');
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
        .from(source)
        .from("::1".parse().unwrap())
        .on_socket(move |socket| {
            counted.fetch_add(1, Ordering::Relaxed);
            socket.set_keepalive(true)
        })
        .resolver(move |name| {
            assert_eq!(name, "chat.internal:9000");
            resolved.fetch_add(1, Ordering::Relaxed);
            async move { io::Result::Ok(vec![address]) }
        });
    for connect in [by_name, TcpConnect::to(address.to_string()).from(source)] {
        for _ in 0..2 {
            assert_eq!(seen_from(&connect, &listener).await.ip(), source);
        }
    }
    assert_eq!(
        (sockets.load(Ordering::Relaxed), names.load(Ordering::Relaxed)),
        (2, 2)
    );
}

#[tokio::test]
async fn what_goes_wrong_with_them() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let address = origin.address().to_string();
    // Documentation addresses are nobody's.
    let elsewhere = TcpConnect::to(&address).from("192.0.2.1".parse().unwrap());
    let error = elsewhere.stream().await.unwrap_err();
    assert_eq!(error.shortage(), Some(Shortage::LocalAddress), "{error}");
    let refusing = TcpConnect::to(&address).on_socket(|_| Err(io::Error::other("no mark for it")));
    let error = refusing.stream().await.unwrap_err().to_string();
    assert!(error.contains("no mark for it"), "{error}");
    let unknown = TcpConnect::to("chat.internal:1").resolver(|_| async { Ok(Vec::new()) });
    let error = unknown.stream().await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
    assert_eq!(origin.connections(), 0);
}

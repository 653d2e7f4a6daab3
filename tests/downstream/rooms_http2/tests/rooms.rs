//! Rooms on Unix sockets, refusals, and the end with tunnels open.
#![cfg(unix)]

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Request;
use h2::ext::Protocol;
use rooms_http2::App;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::Tunnels;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct Running {
    address: SocketAddr,
    tunnels: Tunnels,
    end: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<bool>>,
    origin: ScriptedOrigin,
}

/// The app, with the room `red` in a folder of its own.
async fn running(test: &str) -> Running {
    let folder: PathBuf = std::env::temp_dir().join(format!("rooms-{}-{test}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = UnixListener::bind(folder.join("red.sock")).unwrap();
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let upstream = origin.address();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut upstream = TcpStream::connect(upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut upstream).await });
        }
    });
    let tunnels = Tunnels::new();
    let app = App {
        folder,
        tunnels: tunnels.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let end = async { ended.await.unwrap_or_default() };
        app.serve(listener, end).await
    });
    Running {
        address,
        tunnels,
        end,
        served,
        origin,
    }
}

async fn ends(app: Running) {
    app.end.send(()).unwrap();
    let served = timeout(TIMEOUT, app.served).await.expect("an end in time");
    assert!(served.unwrap().unwrap(), "it was left behind at the limit");
}

#[tokio::test]
async fn a_room_on_a_unix_socket_over_http_1() {
    let app = running("http1").await;
    let mut client = ScriptedClient::connect(app.address).await;
    let request = UPGRADE_REQUEST.replacen("/chat", "/room/red", 1);
    client.send(format!("{request}hello")).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"hello").await;
    let head = app.origin.connection(0).await.head().await;
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
    ends(app).await;
    client.ends().await;
}

#[tokio::test]
async fn what_is_no_room_is_refused_and_one_without_a_server_fails() {
    let app = running("refused").await;
    for (path, status) in [("/room/..", 404), ("/room/Red", 404), ("/room/blue", 502)] {
        let mut client = ScriptedClient::connect(app.address).await;
        client.send(UPGRADE_REQUEST.replacen("/chat", path, 1)).await;
        assert_eq!(client.head().await.status, status, "{path}");
    }
    assert_eq!(app.origin.connections(), 0);
    ends(app).await;
}

#[tokio::test]
async fn the_app_ends_in_time_with_a_tunnel_open_over_http_2() {
    let app = running("http2").await;
    let stream = TcpStream::connect(app.address).await.unwrap();
    let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driving = tokio::spawn(connection);
    // The settings that allow an extended CONNECT have arrived with the answer.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let request = Request::connect("http://a.example/room/red")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    let (response, tunnel) = send.send_request(request, false).unwrap();
    let response = timeout(TIMEOUT, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(app.tunnels.len(), 1);
    // All of the client's is kept open.
    ends(app).await;
    drop((tunnel, response, send, driving));
}

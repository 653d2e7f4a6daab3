//! Which connections there are: shared, made one at a time, full, idle, gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::rt::Executor;
use switchover::connect::{Connect, ConnectError, ConnectRequest, Pooling};
use switchover::gateway::GatewayConfig;
use switchover::header::Hop;
use switchover::http2::{Http2Config, Http2Connect, Task};
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::{TcpConnect, UpgradeConfig};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::frames::{FramedPeer, GOAWAY, HEADERS};
use crate::running_gateway::RunningGateway;
use crate::upstream::{Order, Upstream, within};

/// A client with a tunnel that echoes.
async fn echoed(gateway: &RunningGateway, word: &[u8]) -> ScriptedClient {
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.send(word).await;
    client.receives(word).await;
    client
}

fn upgrade_head() -> http::request::Parts {
    let request = http::Request::get("/")
        .header("host", "a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    request.body(()).unwrap().into_parts().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tunnels_share_one_connection() {
    let upstream = Upstream::start().await;
    let config = Http2Config::default().max_tunnels(200);
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect_with(config)).await;
    let upstream = upstream.echo();
    let mut clients = Vec::new();
    for index in 0..200u32 {
        clients.push((echoed(&gateway, &index.to_be_bytes()).await, index));
    }
    for (client, index) in &mut clients {
        let word = format!("{index} again");
        client.send(&word).await;
        client.receives(word.as_bytes()).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_that_start_at_once_wait_for_one_connection() {
    let upstream = Upstream::start().await;
    let gateway = Arc::new(RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await);
    let upstream = upstream.echo();
    let mut starting = JoinSet::new();
    for index in 0..100u8 {
        let gateway = gateway.clone();
        starting.spawn(async move { echoed(&gateway, &[index; 8]).await });
    }
    let clients = starting.join_all().await;
    assert_eq!((clients.len(), upstream.connections()), (100, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_tunnels_than_a_connection_takes_make_another() {
    let by_upstream =
        Upstream::with(|builder| builder.enable_connect_protocol().max_concurrent_streams(5)).await;
    let by_config = Upstream::start().await;
    let connects = [
        by_upstream.connect(),
        by_config.connect_with(Http2Config::default().max_tunnels(5)),
    ];
    for (upstream, connect) in [by_upstream, by_config].into_iter().zip(connects) {
        let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
        let upstream = upstream.echo();
        let mut clients = Vec::new();
        for index in 0..12u8 {
            clients.push(echoed(&gateway, &[index; 8]).await);
        }
        assert_eq!(upstream.connections(), 3);
        // A place that is given back is taken again.
        for round in 0..20u8 {
            let mut client = clients.remove(usize::from(round) % clients.len());
            client.end_writes().await;
            client.ends().await;
            clients.push(echoed(&gateway, &[round; 8]).await);
        }
        assert_eq!(upstream.connections(), 3);
    }
}

#[tokio::test]
async fn a_connection_without_tunnels_is_closed_after_a_while() {
    let mut upstream = Upstream::start().await;
    let config = Http2Config::default().idle_timeout(Duration::from_millis(50));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect_with(config)).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    // Not while there is one, however quiet.
    client.receives_nothing_for(Duration::from_millis(200)).await;
    client.send(b"still open").await;
    tunnel.receives(b"still open").await;
    client.end_writes().await;
    tunnel.ends().await;
    tunnel.end();
    client.ends().await;
    upstream.ended_connections(1).await;

    let _client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(upstream.asked().await.connection, 1);
}

#[tokio::test]
async fn a_connection_is_closed_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Http2Config::default().idle_timeout(Duration::from_millis(50));
    let connect =
        Http2Connect::new(TcpConnect::to(listener.local_addr().unwrap().to_string())).config(config);
    let head = upgrade_head();
    let connecting = connect.connect(ConnectRequest::new(&head, Hop::unknown()));
    let accepting = async { FramedPeer::settled(listener.accept().await.unwrap().0).await };
    let (stream, mut peer) = tokio::join!(connecting, accepting);
    drop(stream.unwrap());
    let goaway = within("GOAWAY", peer.read_kind(GOAWAY)).await;
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 0], "NO_ERROR");
    assert!(within("the end", peer.read()).await.is_none());
}

#[tokio::test]
async fn connections_end_with_their_connector_and_their_last_tunnel() {
    let mut upstream = Upstream::start().await;
    let connect = upstream.connect();
    let head = upgrade_head();
    let used = connect
        .connect(ConnectRequest::new(&head, Hop::unknown()))
        .await
        .unwrap();
    drop(connect);
    tokio::task::yield_now().await;
    assert_eq!(upstream.connections(), 1);
    drop(used);
    upstream.ended_connections(1).await;

    let connect = upstream.connect();
    drop(
        connect
            .connect(ConnectRequest::new(&head, Hop::unknown()))
            .await
            .unwrap(),
    );
    drop(connect);
    upstream.ended_connections(2).await;
}

/// Connects on a signal, and counts.
struct ConnectsOnSignal {
    inner: TcpConnect,
    reported: Arc<Notify>,
    attempts: Arc<AtomicUsize>,
}

impl Connect for ConnectsOnSignal {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        self.reported.notified().await;
        self.inner.connect(request).await
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

#[tokio::test]
async fn who_waits_for_a_connection_that_is_given_up_makes_it() {
    let mut upstream = Upstream::start().await;
    let (reported, attempts) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let connect = Http2Connect::new(ConnectsOnSignal {
        inner: upstream.tcp(),
        reported: reported.clone(),
        attempts: attempts.clone(),
    });
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let first = gateway.client_sending(UPGRADE_REQUEST).await;
    within("an attempt", async {
        while attempts.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut second = gateway.client_sending(UPGRADE_REQUEST).await;
    second.receives_nothing_for(Duration::from_millis(20)).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "one attempt for both");
    drop(first);
    within("another attempt", async {
        while attempts.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    reported.notify_one();
    let _tunnel = upstream.tunnel().await;
    assert_eq!(second.head().await.status, 101);
}

/// Says nothing of where it leads.
struct ConnectsSomewhere(TcpConnect);

impl Connect for ConnectsSomewhere {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.0.connect(request).await
    }
}

#[tokio::test]
async fn a_connector_that_is_not_uniform_makes_a_connection_for_each_tunnel() {
    let mut upstream = Upstream::start().await;
    let connect = Http2Connect::new(ConnectsSomewhere(upstream.tcp()));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    for connection in 0..3 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let asked = upstream.asked().await;
        assert_eq!(asked.connection, connection);
        let mut tunnel = asked.agree();
        assert_eq!(client.head().await.status, 101);
        client.send(b"here").await;
        tunnel.receives(b"here").await;
        client.end_writes().await;
        tunnel.ends().await;
        tunnel.end();
        client.ends().await;
        upstream.ended_connections(connection + 1).await;
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_a_ping_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Http2Config::default()
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(50));
    let connect =
        Http2Connect::new(TcpConnect::to(listener.local_addr().unwrap().to_string())).config(config);
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut peer = FramedPeer::settled(listener.accept().await.unwrap().0).await;
    let stream = within("an extended CONNECT", peer.read_kind(HEADERS))
        .await
        .stream;
    peer.send_status("200", stream).await;
    assert_eq!(client.head().await.status, 101);
    // From here on the peer keeps its connection, and says nothing.
    client.rest_until_reset().await;
    let error = gateway.served().await.unwrap_err();
    let switchover::Cause::Tunnel(error) = error.reason() else {
        panic!("{error}")
    };
    assert!(
        error.io_error().to_string().contains("PING"),
        "{}",
        error.io_error()
    );
}

#[tokio::test]
async fn pings_are_answered_and_a_quiet_tunnel_lives() {
    let mut upstream = Upstream::start().await;
    let config = Http2Config::default()
        .ping_interval(Duration::from_millis(10))
        .ping_timeout(Duration::from_secs(5));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect_with(config)).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);
    client.receives_nothing_for(Duration::from_millis(100)).await;
    client.send(b"alive").await;
    tunnel.receives(b"alive").await;
}

/// Counts the tasks that it runs, and those that have ended.
#[derive(Clone, Default)]
struct Counting {
    started: Arc<AtomicUsize>,
    ended: Arc<Notify>,
}

impl Executor<Task> for Counting {
    fn execute(&self, task: Task) {
        self.started.fetch_add(1, Ordering::SeqCst);
        let ended = self.ended.clone();
        tokio::spawn(async move {
            task.await;
            ended.notify_one();
        });
    }
}

#[tokio::test]
async fn the_one_task_of_a_connection_runs_on_the_given_executor_and_ends() {
    let mut upstream = Upstream::start().await;
    let executor = Counting::default();
    let connect = upstream.connect().executor(executor.clone());
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    for _ in 0..3 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let _tunnel = upstream.tunnel().await;
        assert_eq!(client.head().await.status, 101);
    }
    assert_eq!(executor.started.load(Ordering::SeqCst), 1);
    upstream.order(0, Order::Close);
    within("the task to end", executor.ended.notified()).await;
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_found_again() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let connect = Http2Connect::new(TcpConnect::to(address.to_string()));
    let upgrade = UpgradeConfig::default().connect_timeout(Duration::from_secs(1));
    let config = GatewayConfig::default().upgrade(upgrade);
    let gateway = RunningGateway::connecting(config, connect).await;
    for _ in 0..3 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 502);
    }
    let listener = socket.listen(16).unwrap();
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut peer = FramedPeer::settled(listener.accept().await.unwrap().0).await;
    let stream = within("an extended CONNECT", peer.read_kind(HEADERS))
        .await
        .stream;
    peer.send_status("200", stream).await;
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn the_length_of_a_head_does_not_tell_what_another_client_has_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = Http2Connect::new(TcpConnect::to(listener.local_addr().unwrap().to_string()));
    let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    // Letters of the same length in the Huffman code.
    let request = |token: &str| UPGRADE_REQUEST.replacen("Host:", &format!("X-Token: {token}\r\nHost:"), 1);
    let mut clients = vec![gateway.client_sending(request("aaaaaaaa")).await];
    let mut peer = FramedPeer::settled(listener.accept().await.unwrap().0).await;
    peer.read_kind(HEADERS).await;
    let mut lengths = Vec::new();
    for token in ["aaaaaaaa", "cccccccc"] {
        clients.push(gateway.client_sending(request(token)).await);
        lengths.push(within("a head", peer.read_kind(HEADERS)).await.payload.len());
    }
    assert_eq!(lengths[0], lengths[1]);
}

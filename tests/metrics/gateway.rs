//! What is reported to the recorder of the crate `metrics`, through the raw door.

use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use support::bounded::within;
use switchover::Side;
use switchover::gateway::{Acceptor, Gateway, GatewayConfig, Outcome};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tunnel::{Listing, Tunnel, Tunnels, WebSocketConfig};
use switchover::upstream::{Group, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;

use crate::Recorded;

/// The answer of an origin that agrees: the accept key is that of RFC 6455, section 1.3.
const UPGRADE_RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn exchange(client: &mut DuplexStream, request: &str, answer: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; answer.len()];
    within("bytes", client.read_exact(&mut head)).await.unwrap();
    assert!(
        String::from_utf8_lossy(&head).starts_with(answer),
        "{}",
        String::from_utf8_lossy(&head)
    );
}

/// The one test with the recorder of the process; the others have one of their thread.
#[tokio::test]
async fn each_event_is_recorded_with_the_words_of_its_type() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    switchover::describe_metrics();
    let mut recorded = Recorded::default();

    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = origin.local_addr().unwrap();
    let tunnels = Tunnels::new();
    let group = Group::builder()
        .name("chat")
        .server(Server::to(address.to_string()))
        .build();
    let config = switchover::gateway::GatewayConfig::default().tunnels(tunnels.clone());
    let gateway = Gateway::builder(group.clone()).config(config).build();
    let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 5000));
    let serve = |stream: DuplexStream| {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.serve(stream, peer).await })
    };

    // A tunnel, looked at while it is open.
    let (mut client, stream) = duplex(1024);
    let served = serve(stream);
    let (mut accepted, _) = {
        client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        origin.accept().await.unwrap()
    };
    let mut head = vec![0; 4096];
    let count = within("bytes, or the end", accepted.read(&mut head))
        .await
        .unwrap();
    assert!(count > 0);
    accepted.write_all(UPGRADE_RESPONSE.as_bytes()).await.unwrap();
    exchange(&mut client, "", "HTTP/1.1 101").await;
    client.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    within("bytes", accepted.read_exact(&mut hello)).await.unwrap();
    while tunnels
        .iter()
        .next()
        .is_none_or(|tunnel| tunnel.from_downstream() == 0)
    {
        tokio::task::yield_now().await;
    }
    tunnels.record_metrics();
    tunnels.record_metrics();
    group.record_metrics();
    recorded.update(&snapshotter);
    let server = format!("group=chat,server={address}");
    for (name, expected) in [
        ("switchover_tunnels_open{}", 1),
        ("switchover_tunnels_opened_total{}", 1),
        ("switchover_tunnel_bytes_total{from=downstream,mode=copied}", 5),
        ("switchover_connect_seconds{kind=upgrade}", 1),
        ("switchover_response_head_seconds{kind=upgrade}", 1),
        (
            &*format!("switchover_attempts_total{{{server},outcome=answered}}"),
            1,
        ),
        (&*format!("switchover_server_state{{{server},state=healthy}}"), 1),
        (&*format!("switchover_server_state{{{server},state=ejected}}"), 0),
        (&*format!("switchover_server_tunnels{{{server}}}"), 1),
    ] {
        assert_eq!(recorded.of(name), expected, "{name}");
    }
    accepted.write_all(b"bye").await.unwrap();
    drop(client);
    drop(accepted);
    let _ = served.await.unwrap();

    // A refusal, and a client that leaves.
    let (mut client, stream) = duplex(1024);
    let served = serve(stream);
    let without_key: String = UPGRADE_REQUEST
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("sec-websocket-key"))
        .collect();
    exchange(&mut client, &without_key, "HTTP/1.1 400").await;
    drop(client);
    let reason = match served.await.unwrap().unwrap() {
        Outcome::Rejected(rejection) => rejection.name(),
        other => panic!("{other:?}"),
    };
    // An answer that breaks off.
    let (mut client, stream) = duplex(1024);
    let served = serve(stream);
    client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let (mut accepted, _) = within("a connection", origin.accept()).await.unwrap();
    within("bytes", accepted.read(&mut head)).await.unwrap();
    let answer = b"HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nno";
    accepted.write_all(answer).await.unwrap();
    exchange(&mut client, "", "HTTP/1.1 403").await;
    drop(accepted);
    let broken = served.await.unwrap().unwrap_err();
    assert_eq!(
        (broken.phase().name(), broken.side()),
        ("response", Side::Upstream)
    );
    // A client that takes no refusal.
    let (mut client, stream) = duplex(8);
    let acceptor = Acceptor::new(GatewayConfig::default().send_timeout(Duration::from_millis(50)));
    let refusing = tokio::spawn(async move { acceptor.accept(stream, peer).await.map(|_| ()) });
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let untaken = within("the send timeout", refusing).await.unwrap().unwrap_err();
    assert_eq!(
        (untaken.phase().name(), untaken.side()),
        ("response", Side::Downstream)
    );
    // A server that is gone.
    drop(origin);
    let (mut client, stream) = duplex(1024);
    let served = serve(stream);
    exchange(&mut client, UPGRADE_REQUEST, "HTTP/1.1 502").await;
    drop(client);
    let error = served.await.unwrap().unwrap_err();

    recorded.update(&snapshotter);
    let of = |error: &switchover::Error| {
        let side = match error.side() {
            Side::Upstream => "upstream",
            Side::Downstream => "downstream",
        };
        let (phase, reason) = (error.phase().name(), error.reason().name());
        format!("switchover_failed_total{{phase={phase},side={side},reason={reason}}}")
    };
    let failed = of(&error);
    for (name, expected) in [
        ("switchover_tunnels_open{}", 0),
        ("switchover_tunnels_opened_total{}", 1),
        ("switchover_tunnel_duration_seconds{}", 1),
        // Not counted again at its end.
        ("switchover_tunnel_bytes_total{from=downstream,mode=copied}", 5),
        (&*format!("switchover_refused_total{{reason={reason}}}"), 1),
        (&*failed, 1),
        (&*of(&broken), 1),
        (&*of(&untaken), 1),
    ] {
        assert_eq!(recorded.of(name), expected, "{name}");
    }
    let ended: u64 = recorded
        .0
        .iter()
        .filter(|(name, _)| name.starts_with("switchover_tunnels_ended_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(ended, 1);
    // Frames, of a tunnel that is listed and of one that is not: once each.
    for listed in [true, false] {
        let (mut client, downstream) = duplex(1024);
        let (upstream, mut origin) = duplex(1024);
        let mut tunnel = Tunnel::new(downstream, upstream).websocket(WebSocketConfig::default());
        if listed {
            tunnel.list_in(&tunnels, Listing::default());
        }
        let running = tokio::spawn(tunnel.run());
        origin
            .write_all(b"\x81\x02hi\x02\x01a\x80\x01b\x8a\x00")
            .await
            .unwrap();
        within("bytes", client.read_exact(&mut [0; 12])).await.unwrap();
        while listed && tunnels.iter().next().unwrap().frames_from(Side::Upstream) != Some(4) {
            tokio::task::yield_now().await;
        }
        tunnels.record_metrics();
        drop((client, origin));
        let _ = running.await.unwrap();
    }
    recorded.update(&snapshotter);
    for (name, expected) in [
        ("switchover_websocket_frames_total{from=upstream,opcode=text}", 2),
        (
            "switchover_websocket_frames_total{from=upstream,opcode=binary}",
            4,
        ),
        ("switchover_websocket_frames_total{from=upstream,opcode=pong}", 2),
        (
            "switchover_websocket_messages_total{from=upstream,opcode=text}",
            2,
        ),
        (
            "switchover_websocket_messages_total{from=upstream,opcode=binary}",
            2,
        ),
        (
            "switchover_websocket_payload_bytes_total{from=upstream,opcode=binary}",
            4,
        ),
    ] {
        assert_eq!(recorded.of(name), expected, "{name}");
    }
    // The manual has every name.
    let manual = include_str!("../../src/manual/operators.md");
    for name in recorded.0.keys() {
        let name = name.split('{').next().unwrap();
        assert!(
            manual.contains(&format!("`{name}`")),
            "{name} is in the table of the manual"
        );
    }
}

#[tokio::test]
async fn the_names_of_groups_distinguish_servers_of_one_name() {
    let recorded = crate::recorded(async {
        for (name, is_down) in [("payments", true), ("chat", false)] {
            let group = Group::builder()
                .name(name)
                .server(Server::to("192.0.2.9:9000"))
                .build();
            assert!(group.set_down("192.0.2.9:9000", is_down));
            group.record_metrics();
        }
        Group::of([Server::to("192.0.2.9:9000")]).record_metrics();
    })
    .await;
    for (group, state, expected) in [
        ("payments", "down", 1),
        ("payments", "healthy", 0),
        ("chat", "down", 0),
        ("chat", "healthy", 1),
        ("", "healthy", 1),
    ] {
        let name = format!("switchover_server_state{{group={group},server=192.0.2.9:9000,state={state}}}");
        assert_eq!(recorded.of(&name), expected, "{name}");
    }
    assert!(
        recorded
            .0
            .contains_key("switchover_server_tunnels{group=chat,server=192.0.2.9:9000}")
    );
}

/// Servers that a name has lost, and found again.
#[tokio::test]
async fn a_server_that_is_lost_is_in_no_state_and_has_its_tunnels_until_they_end() {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use switchover::connect::{Connect, ConnectRequest};
    use switchover::header::Hop;

    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = origin.local_addr().unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let guard = metrics::set_default_local_recorder(&recorder);
    switchover::describe_metrics();
    let addresses = Arc::new(Mutex::new(vec![address]));
    let found = addresses.clone();
    let find = move || {
        let found = found.lock().unwrap().clone();
        async move { Ok(found) }
    };
    let group = Group::builder()
        .name("chat")
        .discover("chat", find, Duration::ZERO, |address| {
            Server::to(address.to_string())
        })
        .build();
    let head = http::Request::new(()).into_parts().0;
    let request = || ConnectRequest::new(&head, Hop::from(address));
    let open = within("a connection", group.connect(request())).await.unwrap();
    let state = |state: &str| format!("switchover_server_state{{group=chat,server={address},state={state}}}");
    let tunnels = format!("switchover_server_tunnels{{group=chat,server={address}}}");
    let mut recorded = Recorded::default();
    let mut shows = |healthy: u64, open: u64| {
        group.record_metrics();
        recorded.update(&snapshotter);
        assert_eq!(
            (recorded.of(&state("healthy")), recorded.of(&tunnels)),
            (healthy, open)
        );
    };
    shows(1, 1);
    addresses.lock().unwrap().clear();
    assert!(group.connect(request()).await.is_err());
    shows(0, 1);
    addresses.lock().unwrap().push(address);
    let again = within("a connection", group.connect(request())).await.unwrap();
    shows(1, 2);
    addresses.lock().unwrap().clear();
    assert!(group.connect(request()).await.is_err());
    drop((open, again));
    shows(0, 0);
    drop(guard);
}

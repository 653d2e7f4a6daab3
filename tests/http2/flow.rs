//! Bytes in order and in bounds: what nobody reads is not sent, and what one client does not read holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use switchover::Gateway;
use switchover::connect::Connect;
use switchover::gateway::GatewayConfig;
use switchover::header::Hop;
use switchover::http2::{Http2Config, Http2Connect};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::test_util::fault::Faults;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

use crate::running_gateway::RunningGateway;
use crate::upstream::{FaultyConnect, Tunnel, Upstream, within};

/// Long enough for 64 MiB each way on a busy machine.
const BULK_PATIENCE: Duration = Duration::from_secs(60);
const BULK: u64 = 64 * 1024 * 1024;

/// The byte at a place in a stream that repeats nowhere near.
fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn bytes_at(place: u64, count: usize) -> Vec<u8> {
    (place..place + count as u64).map(byte_at).collect()
}

/// A client in memory, whose end of the stream holds no more than this.
const PIPE: usize = 1024;

/// A tunnel to a client in memory, beyond which no operating system buffers anything.
async fn tunnelled(upstream: &mut Upstream, config: Http2Config) -> (DuplexStream, Tunnel) {
    let gateway = Gateway::builder(upstream.connect_with(config)).build();
    tunnelled_by(&gateway, upstream).await
}

async fn tunnelled_by<C: Connect + 'static>(
    gateway: &Gateway<C>,
    upstream: &mut Upstream,
) -> (DuplexStream, Tunnel) {
    let (mut client, stream) = tokio::io::duplex(PIPE);
    let gateway = gateway.clone();
    tokio::spawn(async move { gateway.serve(stream, Hop::unknown()).await.map(drop) });
    client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let tunnel = upstream.tunnel().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", client.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    (client, tunnel)
}

/// A megabyte there and back.
async fn echoes(client: DuplexStream) {
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = async { writer.write_all(&bytes_at(0, 1_000_000)).await.unwrap() };
    let mut received = vec![0; 1_000_000];
    let both = async { tokio::join!(reader.read_exact(&mut received), writing).0.unwrap() };
    within("an echo", both).await;
    assert!(received == bytes_at(0, received.len()));
}

/// Waits until a count does not change any more.
async fn settled(count: &AtomicU64) -> u64 {
    let mut last = u64::MAX;
    loop {
        let now = count.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_each_way_byte_for_byte() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    assert_eq!(client.head().await.status, 101);

    let upstream_side = tokio::spawn(async move {
        let (mut sent, mut received) = (0, 0);
        while sent < BULK {
            let chunk = bytes_at(sent, 100_000.min((BULK - sent) as usize));
            sent += chunk.len() as u64;
            // One at a time is slow enough to have the windows used up on either side now and then.
            let taking = tunnel.try_send(Bytes::from(chunk));
            taking.await.unwrap();
            while received < sent {
                let bytes = tunnel.read().await.unwrap().expect("bytes before the end");
                assert!(
                    bytes
                        .iter()
                        .enumerate()
                        .all(|(at, byte)| *byte == byte_at(received + at as u64))
                );
                received += bytes.len() as u64;
            }
        }
        tunnel.end();
        assert!(matches!(tunnel.read().await, Ok(None)));
        received
    });
    let (mut reader, mut writer) = client.stream().split();
    let reading = async {
        let (mut received, mut buffer) = (0u64, vec![0; 30_000]);
        loop {
            let count = reader.read(&mut buffer).await.unwrap();
            if count == 0 {
                return received;
            }
            assert!(
                buffer[..count]
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == byte_at(received + at as u64))
            );
            received += count as u64;
            if received % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let writing = async {
        let mut sent = 0;
        while sent < BULK {
            let chunk = bytes_at(sent, 70_001.min((BULK - sent) as usize));
            writer.write_all(&chunk).await.unwrap();
            sent += chunk.len() as u64;
        }
        writer.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(reading, writing).0 };
    let received = tokio::time::timeout(BULK_PATIENCE, both)
        .await
        .expect("64 MiB each way");
    assert_eq!((received, upstream_side.await.unwrap()), (BULK, BULK));
}

#[tokio::test]
async fn an_echo_over_connections_that_read_and_write_in_pieces_and_hesitate() {
    for seed in 0..30 {
        let mut upstream = Upstream::start().await;
        let connect = FaultyConnect(upstream.tcp(), Faults::seeded(seed));
        let gateway = Gateway::builder(Http2Connect::new(connect)).build();
        let (client, tunnel) = tunnelled_by(&gateway, &mut upstream).await;
        tokio::spawn(tunnel.echo());
        let (mut reader, mut writer) = tokio::io::split(client);
        let writing = async {
            writer.write_all(&bytes_at(seed, 50_000)).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let both = async {
            tokio::join!(reader.read_to_end(&mut received), writing)
                .0
                .unwrap()
        };
        within("an echo and its end", both).await;
        assert!(
            received == bytes_at(seed, 50_000),
            "seed {seed}: {} bytes",
            received.len()
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream_at_the_window() {
    let mut upstream = Upstream::start().await;
    let window = 100_000;
    let config = Http2Config::default().window(window);
    let (mut client, mut tunnel) = tunnelled(&mut upstream, config).await;
    let sent = Arc::new(AtomicU64::new(0));
    let sending = {
        let sent = sent.clone();
        tokio::spawn(async move {
            loop {
                let place = sent.load(Ordering::SeqCst);
                tunnel
                    .try_send(Bytes::from(bytes_at(place, 1_000)))
                    .await
                    .unwrap();
                sent.fetch_add(1_000, Ordering::SeqCst);
            }
        })
    };
    let stopped_at = settled(&sent).await;
    // The window, what the tunnel has read and cannot deliver, and the pipe to the client.
    let most = u64::from(window) + 64 * 1024 + PIPE as u64;
    assert!(
        (u64::from(window) - 1_000..=most).contains(&stopped_at),
        "{stopped_at}"
    );
    // And it goes on when the client reads.
    let mut received = vec![0; 300_000];
    within("what was held back", client.read_exact(&mut received))
        .await
        .unwrap();
    assert!(received == bytes_at(0, received.len()));
    sending.abort();
}

#[tokio::test]
async fn an_upstream_that_does_not_read_stops_the_client_at_its_window() {
    let window = 100_000;
    let mut upstream =
        Upstream::with(|builder| builder.enable_connect_protocol().initial_window_size(window)).await;
    let (client, mut tunnel) = tunnelled(&mut upstream, Http2Config::default()).await;
    let (_reader, mut writer) = tokio::io::split(client);
    let sent = Arc::new(AtomicU64::new(0));
    let sending = {
        let sent = sent.clone();
        tokio::spawn(async move {
            loop {
                let place = sent.load(Ordering::SeqCst);
                writer.write_all(&bytes_at(place, 1_000)).await.unwrap();
                sent.fetch_add(1_000, Ordering::SeqCst);
            }
        })
    };
    let stopped_at = settled(&sent).await;
    // What a connection of HTTP/2 starts with is less than the stream's window here.
    let most = 65_535 + 64 * 1024 + PIPE as u64;
    assert!((65_535 - 1_000..=most).contains(&stopped_at), "{stopped_at}");
    let mut received = 0;
    while received < 300_000 {
        let bytes = within("what was held back", tunnel.read())
            .await
            .unwrap()
            .unwrap();
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == byte_at(received + at as u64))
        );
        received += bytes.len() as u64;
    }
    sending.abort();
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_no_other() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::builder(upstream.connect_with(Http2Config::default().max_tunnels(25))).build();
    let mut stalled = Vec::new();
    for _ in 0..24 {
        let (client, mut tunnel) = tunnelled_by(&gateway, &mut upstream).await;
        tunnel.send(bytes_at(0, 4_000)).await;
        stalled.push((client, tunnel));
    }
    // Until each of them holds more than its client takes, and reads no more.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (_, tunnel) in &mut stalled {
        // Frames of three bytes, as a WebSocket's messages of one byte are: they cost far more than their bytes. More
        // than half of the window of each tunnel is filled with them.
        for _ in 0..12_000 {
            tunnel.send.reserve_capacity(3);
            assert!(tunnel.send.capacity() >= 3, "there is room in the window");
            tunnel
                .send
                .send_data(Bytes::from_static(b"\x81\x01x"), false)
                .unwrap();
        }
        tokio::task::yield_now().await;
    }
    let (client, tunnel) = tunnelled_by(&gateway, &mut upstream).await;
    tokio::spawn(tunnel.echo());
    echoes(client).await;
    assert_eq!(upstream.connections(), 1);
    // And each of them still gets what it has not read.
    for (client, _tunnel) in &mut stalled {
        let mut first = [0; 4_000];
        within("what was held back", client.read_exact(&mut first))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_that_go_in_the_middle_of_a_flood_leave_nothing_behind() {
    let mut upstream = Upstream::start().await;
    let gateway = Gateway::builder(upstream.connect()).build();
    let mut floods = JoinSet::new();
    // More at once than h2 remembers by default, and together more than the window of the connection.
    for _ in 0..4 {
        let mut tunnels = JoinSet::new();
        let mut clients = Vec::new();
        for _ in 0..100 {
            let (mut client, stream) = tokio::io::duplex(PIPE);
            let gateway = gateway.clone();
            tunnels.spawn(async move { gateway.serve(stream, Hop::unknown()).await.map(drop) });
            client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
            let mut tunnel = upstream.tunnel().await;
            floods.spawn(async move {
                // Until it hears that the tunnel is gone, which is after the last frame was sent.
                while tunnel.try_send(Bytes::from_static(&[0; 1_000])).await.is_ok() {}
            });
            clients.push(client);
        }
        // Half of the clients read, so that the upstream goes on sending; then all tunnels go at once.
        let mut reading = JoinSet::new();
        for mut client in clients.split_off(50) {
            reading.spawn(
                async move { while client.read(&mut [0; 1_000]).await.is_ok_and(|count| count > 0) {} },
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        tunnels.shutdown().await;
    }
    within("the end of the floods", floods.join_all()).await;
    let (client, tunnel) = tunnelled_by(&gateway, &mut upstream).await;
    tokio::spawn(tunnel.echo());
    echoes(client).await;
    assert_eq!(upstream.connections(), 1);
}

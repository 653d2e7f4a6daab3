//! What waits for a receiver that does not read is bounded. Alone in its process, whose memory it measures.
#![cfg(target_os = "linux")]

use std::time::Duration;

use switchover::tunnel::Tunnel;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const MEBIBYTE: usize = 1024 * 1024;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

/// Offers 256 MiB, until no more is taken.
async fn offer(peer: &mut TcpStream, piece: &[u8]) -> usize {
    let mut sent = 0;
    while sent < 256 * MEBIBYTE {
        match timeout(Duration::from_millis(300), peer.write(piece)).await {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

/// The resident memory of this process in bytes, without what the kernel holds for its sockets and pipes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn what_waits_for_a_receiver_is_bounded() {
    let piece = vec![7; MEBIBYTE];
    let mut grown = Vec::new();
    // The first round pays for what every later one finds: the scratch buffer, the runtime's own.
    for _ in 0..3 {
        let (mut near_peer, near) = tcp_pair().await;
        let (far, far_peer) = tcp_pair().await;
        let mut tunnel = Tunnel::new(near, far);
        let watch = tunnel.watch();
        let tunnel = tokio::spawn(tunnel.run());
        let before = resident();
        let sent = offer(&mut near_peer, &piece).await;
        grown.push(resident().saturating_sub(before));
        assert!(sent < 64 * MEBIBYTE, "{sent} bytes taken");
        let delivered = watch.from_downstream();
        drop((near_peer, far_peer));
        let error = tunnel.await.unwrap().unwrap_err();
        assert!(error.traffic().from_downstream() >= delivered);
    }
    assert!(
        grown[1..].iter().all(|bytes| *bytes < MEBIBYTE),
        "the process has grown by {grown:?} bytes"
    );
}

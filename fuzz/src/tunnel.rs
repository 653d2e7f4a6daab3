//! A whole tunnel that knows its frames: what leaves it is a prefix of what came, then at most one Close, and always whole frames
//! where the tunnel has written itself.

use std::time::Duration;

use switchover::Side;
use switchover::tunnel::{Tunnel, TunnelConfig, WebSocketConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::frames;
use super::pieces;

/// Sends in pieces, and ends the write side; what the other end sends is kept.
async fn peer(stream: DuplexStream, data: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut received = Vec::new();
    let send = async {
        for piece in pieces(data) {
            if to.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        // An error: the tunnel has ended first.
        let _ = to.shutdown().await;
    };
    let receive = from.read_to_end(&mut received);
    let (_, ended) = tokio::join!(send, receive);
    ended.expect("a stream in memory does not fail");
    received
}

/// Whether these bytes are what the sender sent, as far as it went, and then nothing or one Close of the tunnel.
fn check(sender: Side, sent: &[u8], received: &[u8]) {
    let common = sent
        .iter()
        .zip(received)
        .take_while(|(one, other)| one == other)
        .count();
    let sound = frames::read(sender, [false; 3], &[sent]).consumed;
    let passed = common.min(received.len());
    if passed == received.len() {
        return;
    }
    // What the tunnel adds stands between two frames, so the whole is a sequence of frames.
    let found = frames::read(sender, [false; 3], &[received]);
    assert_eq!(
        found.error,
        None,
        "{} after {sound} sound bytes of {}",
        received.escape_ascii(),
        sent.escape_ascii()
    );
    assert_eq!(
        found.consumed,
        received.len(),
        "{} breaks off",
        received.escape_ascii()
    );
    let added = received.len() - passed;
    assert!(
        added <= 2 + 4 + 125 + 14,
        "{added} bytes were added: {}",
        received.escape_ascii()
    );
}

pub(crate) fn framed(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let (from_client, from_origin) = data.split_at(usize::from(first).min(data.len()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, downstream) = tokio::io::duplex(64);
        let (upstream, origin) = tokio::io::duplex(64);
        let seconds = Duration::from_secs;
        let config = TunnelConfig::default()
            .idle_timeout(seconds(60))
            .half_close_timeout(seconds(5));
        let tunnel = Tunnel::new(downstream, upstream)
            .config(config)
            .websocket(WebSocketConfig::default().reserved_bits([false; 3]));
        let run = async {
            let (tunnel, by_client, by_origin) =
                tokio::join!(tunnel.run(), peer(client, from_client), peer(origin, from_origin));
            (tunnel, by_client, by_origin)
        };
        let (tunnel, by_client, by_origin) = tokio::time::timeout(seconds(100_000), run)
            .await
            .expect("the tunnel ends");
        drop(tunnel);
        check(Side::Downstream, from_client, &by_origin);
        check(Side::Upstream, from_origin, &by_client);
    });
}

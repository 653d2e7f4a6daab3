//! Tunnels alone, in a registry and in none.

use std::time::Duration;

use support::bounded::{until, within};
use switchover::Side;
use switchover::tunnel::{EndRequest, Listing, Traffic, Tunnel, TunnelConfig, Tunnels, WebSocketConfig};
use switchover::websocket::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use crate::{Recorded, recorded};

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Sends so many bytes through a tunnel, from that side, and reads them at the other.
async fn bulk(from: Side, bytes: usize, listed_in: Option<&Tunnels>) -> Traffic {
    let ((client, downstream), (upstream, origin)) = (connected().await, connected().await);
    let mut tunnel = Tunnel::new(downstream, upstream).config(TunnelConfig::default());
    if let Some(tunnels) = listed_in {
        tunnel.list_in(tunnels, Listing::default());
    }
    let running = tokio::spawn(tunnel.run());
    let (mut sender, mut receiver) = match from {
        Side::Downstream => (client, origin),
        Side::Upstream => (origin, client),
    };
    let sending = async {
        let piece = vec![7; 256 * 1024];
        for _ in 0..bytes / piece.len() {
            sender.write_all(&piece).await.unwrap();
        }
        sender.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut piece = vec![0; 256 * 1024];
        let mut left = bytes;
        while left > 0 {
            let count = within("bytes, or the end", receiver.read(&mut piece))
                .await
                .unwrap();
            assert!(count > 0, "the end, {left} bytes too early");
            left -= count;
            if let Some(tunnels) = listed_in {
                // Also while it is open, and nothing twice.
                tunnels.record_metrics();
            }
        }
        drop(receiver);
    };
    tokio::join!(sending, receiving);
    drop(sender);
    running.await.unwrap().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_by_mode_are_those_of_the_traffic() {
    const BYTES: usize = 32 * 1024 * 1024;
    for from in [Side::Downstream, Side::Upstream] {
        for is_listed in [true, false] {
            let tunnels = Tunnels::new();
            let mut traffic = None;
            let recorded = recorded(async {
                traffic = Some(bulk(from, BYTES, is_listed.then_some(&tunnels)).await);
                tunnels.record_metrics();
            })
            .await;
            let traffic = traffic.unwrap();
            let (name, spliced) = match from {
                Side::Downstream => ("downstream", traffic.spliced_from_downstream()),
                Side::Upstream => ("upstream", traffic.spliced_from_upstream()),
            };
            assert!(spliced > 0, "nothing was spliced, and the test shows nothing");
            let of = |mode| {
                recorded.of(&format!(
                    "switchover_tunnel_bytes_total{{from={name},mode={mode}}}"
                ))
            };
            assert_eq!(of("spliced"), spliced, "{name}, listed: {is_listed}");
            assert_eq!(
                of("copied"),
                BYTES as u64 - spliced,
                "{name}, listed: {is_listed}"
            );
        }
    }
}

/// What `tunnels` records of spliced bytes while their tunnel is open, and what it records when that has ended.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn spliced_bytes_are_recorded_while_their_tunnel_is_open() {
    const BYTES: usize = 8 * 1024 * 1024;
    for from in [Side::Downstream, Side::Upstream] {
        let tunnels = Tunnels::new();
        let ((client, downstream), (upstream, origin)) = (connected().await, connected().await);
        let mut tunnel = Tunnel::new(downstream, upstream);
        tunnel.list_in(&tunnels, Listing::default());
        let (mut sender, mut receiver) = match from {
            Side::Downstream => (client, origin),
            Side::Upstream => (origin, client),
        };
        let watch = tunnels.iter().next().unwrap();
        let moved = || match from {
            Side::Downstream => watch.from_downstream(),
            Side::Upstream => watch.from_upstream(),
        };
        let mut running = None;
        let while_open = recorded(async {
            running = Some(tokio::spawn(tunnel.run()));
            let bytes = vec![7; BYTES];
            let mut received = vec![0; BYTES];
            let (sent, read) = tokio::join!(
                sender.write_all(&bytes),
                within("all bytes", receiver.read_exact(&mut received))
            );
            sent.unwrap();
            read.unwrap();
            until("that it is written down", || moved() == BYTES as u64).await;
            tunnels.record_metrics();
        })
        .await;
        assert!(watch.is_open());
        let side = match from {
            Side::Downstream => "downstream",
            Side::Upstream => "upstream",
        };
        let name = |mode| format!("switchover_tunnel_bytes_total{{from={side},mode={mode}}}");
        let spliced = while_open.of(&name("spliced"));
        assert!(spliced > BYTES as u64 / 2, "{side}: {spliced}");
        let late = BYTES as u64 - while_open.sum("switchover_tunnel_bytes_total");
        assert!(late <= 2 * 4096, "{side}: {late} bytes are recorded later");

        let at_the_end = recorded(async {
            drop((sender, receiver));
            within("the end", running.unwrap()).await.unwrap().unwrap();
        })
        .await;
        assert_eq!(
            at_the_end.sum("switchover_tunnel_bytes_total"),
            late,
            "{side}: nothing twice"
        );
    }
}

/// What nobody waits for any more has moved all the same: the bytes of a tunnel that is dropped are counted once, by its registry where
/// it has one.
#[tokio::test]
async fn bytes_of_a_tunnel_that_is_dropped_are_recorded() {
    for is_listed in [true, false] {
        for has_ended in [true, false] {
            let tunnels = Tunnels::new();
            let recorded = recorded(async {
                let ((mut client, mut origin), (downstream, upstream)) = ends();
                let mut tunnel = Tunnel::new(downstream, upstream).websocket(WebSocketConfig::default());
                if is_listed {
                    tunnel.list_in(&tunnels, Listing::default());
                }
                let mut running = Box::pin(tunnel.run());
                origin.write_all(b"\x81\x02hi").await.unwrap();
                let received = async {
                    client.read_exact(&mut [0; 4]).await.unwrap();
                    if has_ended {
                        client.write_all(&close(true, &[])).await.unwrap();
                        origin.read_exact(&mut [0; 6]).await.unwrap();
                        origin.write_all(&close(false, &[])).await.unwrap();
                        client.read_exact(&mut [0; 2]).await.unwrap();
                        drop((client, origin));
                        std::future::pending().await
                    }
                };
                let both = async {
                    tokio::select! {
                        ended = &mut running => drop(ended.unwrap()),
                        () = received => {}
                    }
                };
                within("the message", both).await;
                drop(running);
            })
            .await;
            let case = format!("listed: {is_listed}, ended: {has_ended}");
            let (bytes, frames) = if has_ended { (4 + 2 + 6, 3) } else { (4, 1) };
            assert_eq!(recorded.sum("switchover_tunnel_bytes_total"), bytes, "{case}");
            assert_eq!(
                recorded.sum("switchover_websocket_frames_total"),
                frames,
                "{case}"
            );
            let dropped = recorded.of("switchover_tunnels_ended_total{reason=dropped,side=none}");
            assert_eq!(dropped, u64::from(!has_ended), "{case}");
        }
    }
}

/// A tunnel that knows its frames, and both its ends.
fn framed<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    tunnels: &Tunnels,
    (downstream, upstream): (S, S),
    config: WebSocketConfig,
) -> tokio::task::JoinHandle<Traffic> {
    let mut tunnel = Tunnel::new(downstream, upstream).websocket(config);
    tunnel.list_in(tunnels, Listing::default());
    tokio::spawn(async move { tunnel.run().await.unwrap() })
}

fn ends() -> ((DuplexStream, DuplexStream), (DuplexStream, DuplexStream)) {
    let ((client, downstream), (origin, upstream)) = (duplex(1024), duplex(1024));
    ((client, origin), (downstream, upstream))
}

/// A Close: with a mask that does nothing, as a client sends it, or without one.
fn close(is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u8;
    match is_masked {
        true => [&[0x88, 0x80 | length, 0, 0, 0, 0], payload].concat(),
        false => [&[0x88, length], payload].concat(),
    }
}

/// A tunnel in which each side sends a Close: the client with this payload, the origin with 1000.
async fn closed(first: Side, payload: &[u8]) -> Recorded {
    let tunnels = Tunnels::new();
    recorded(async {
        let ((mut client, mut origin), between) = ends();
        let running = framed(&tunnels, between, WebSocketConfig::default());
        let (from_client, from_origin) = (close(true, payload), close(false, &[3, 232]));
        let mut read = [0; 64];
        // The other side answers with a code of its own.
        match first {
            Side::Downstream => {
                client.write_all(&from_client).await.unwrap();
                assert!(within("bytes, or the end", origin.read(&mut read)).await.unwrap() > 0);
                origin.write_all(&from_origin).await.unwrap();
                assert!(within("bytes, or the end", client.read(&mut read)).await.unwrap() > 0);
            }
            Side::Upstream => {
                origin.write_all(&from_origin).await.unwrap();
                assert!(within("bytes, or the end", client.read(&mut read)).await.unwrap() > 0);
                client.write_all(&from_client).await.unwrap();
                assert!(within("bytes, or the end", origin.read(&mut read)).await.unwrap() > 0);
            }
        }
        drop((client, origin));
        running.await.unwrap();
    })
    .await
}

pub(crate) async fn closed_by_both() -> Recorded {
    closed(Side::Downstream, &[15, 161]).await
}

/// A text message of each side.
pub(crate) async fn message() -> Recorded {
    recorded(async {
        let ((mut client, mut origin), between) = ends();
        let running = framed(&Tunnels::new(), between, WebSocketConfig::default());
        origin.write_all(b"\x81\x02hi").await.unwrap();
        within("a message", client.read_exact(&mut [0; 4])).await.unwrap();
        client.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
        within("a message", origin.read_exact(&mut [0; 8])).await.unwrap();
        client.write_all(&close(true, &[])).await.unwrap();
        within("a Close", origin.read_exact(&mut [0; 6])).await.unwrap();
        origin.write_all(&close(false, &[])).await.unwrap();
        within("a Close", client.read_exact(&mut [0; 2])).await.unwrap();
        drop((client, origin));
        running.await.unwrap();
    })
    .await
}

#[tokio::test]
async fn closes_are_counted_by_the_one_that_sent_them_and_by_code() {
    for (payload, code) in [
        (&[3, 232][..], "1000"),
        (&[3, 233], "1001"),
        (&[3, 246], "1014"),
        (&[11, 184], "3xxx"),
        (&[15, 161], "4xxx"),
        (&[], "none"),
    ] {
        for first in [Side::Downstream, Side::Upstream] {
            let recorded = closed(first, payload).await;
            let closes = |from, code| format!("switchover_websocket_closes_total{{from={from},code={code}}}");
            assert_eq!(recorded.of(&closes("downstream", code)), 1, "{first:?} {code}");
            assert_eq!(recorded.of(&closes("upstream", "1000")), 1, "{first:?} {code}");
            assert_eq!(
                recorded.sum("switchover_websocket_closes_total"),
                2,
                "{first:?} {code}"
            );
        }
    }
}

#[tokio::test]
async fn a_close_of_the_tunnels_own_is_the_proxys() {
    let tunnels = Tunnels::new();
    let recorded = recorded(async {
        let ((mut client, mut origin), between) = ends();
        let running = framed(&tunnels, between, WebSocketConfig::default());
        while tunnels.is_empty() {
            tokio::task::yield_now().await;
        }
        let request = EndRequest::close(CloseCode(4001), "signed out").unwrap();
        assert_eq!(tunnels.end_where(|_| true, &request, Duration::ZERO), 1);
        let mut read = [0; 64];
        assert!(within("bytes, or the end", client.read(&mut read)).await.unwrap() > 0);
        assert!(within("bytes, or the end", origin.read(&mut read)).await.unwrap() > 0);
        client.write_all(&close(true, &[15, 161])).await.unwrap();
        origin.write_all(&close(false, &[15, 161])).await.unwrap();
        drop((client, origin));
        running.await.unwrap();
    })
    .await;
    for (from, count) in [("proxy", 2), ("downstream", 1), ("upstream", 1)] {
        let name = format!("switchover_websocket_closes_total{{from={from},code=4xxx}}");
        assert_eq!(recorded.of(&name), count, "{from}");
    }
    let ended = "switchover_tunnels_ended_total{reason=requested,side=none}";
    assert_eq!(recorded.of(ended), 1);
}

/// Answers a ping after 20 ms. Towards the origin frames are masked.
async fn answer(stream: &mut DuplexStream, side: Side) {
    let mut head = [0; 2];
    within("bytes", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[0], 0x89);
    let mask_length = if side == Side::Upstream { 4 } else { 0 };
    let mut rest = vec![0; usize::from(head[1] & 0x7f) + mask_length];
    within("bytes", stream.read_exact(&mut rest)).await.unwrap();
    let (mask, payload) = rest.split_at(mask_length);
    let length = payload.len() as u8;
    let pong = match side {
        Side::Downstream => [&[0x8a, 0x80 | length, 0, 0, 0, 0], payload].concat(),
        Side::Upstream => {
            let plain = payload.iter().zip(mask.iter().cycle());
            let plain: Vec<u8> = plain.map(|(byte, mask)| byte ^ mask).collect();
            [&[0x8a, length], &plain[..]].concat()
        }
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(&pong).await.unwrap();
}

/// A tunnel in which both sides answer three pings, and this one a fourth. In a time of its own.
async fn pinged(last: Side) -> Recorded {
    let tunnels = Tunnels::new();
    recorded(async {
        let ((mut client, mut origin), between) = ends();
        let config = WebSocketConfig::default().ping_interval(Duration::from_secs(10));
        let running = framed(&tunnels, between, config);
        for _ in 0..3 {
            tokio::join!(
                answer(&mut client, Side::Downstream),
                answer(&mut origin, Side::Upstream)
            );
        }
        // One answers once more. The other is silent until it counts as gone.
        match last {
            Side::Downstream => answer(&mut client, Side::Downstream).await,
            Side::Upstream => answer(&mut origin, Side::Upstream).await,
        }
        running.await.unwrap();
    })
    .await
}

pub(crate) async fn answered_pings() -> Recorded {
    pinged(Side::Downstream).await
}

#[tokio::test(start_paused = true)]
async fn answers_to_pings_are_times_of_the_side_that_answered() {
    for last in [Side::Downstream, Side::Upstream] {
        let recorded = pinged(last).await;
        let (downstream, upstream) = match last {
            Side::Downstream => (4, 3),
            Side::Upstream => (3, 4),
        };
        for (side, count) in [("downstream", downstream), ("upstream", upstream)] {
            let name = format!("switchover_websocket_ping_seconds{{side={side}}}");
            assert_eq!(recorded.of(&name), count, "{last:?}");
        }
        assert_eq!(recorded.sum("switchover_tunnels_ended_total"), 1);
    }
}

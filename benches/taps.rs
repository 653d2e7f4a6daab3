//! What a tap costs: tunnels without one, with one that observes, passes or reads all, and the usual relay that reads a message and
//! sends it.
//!
//! ```text
//! cargo bench --bench taps
//! cargo bench --bench taps -- --rounds 9 --seconds 0.5
//! ```
//!
//! Each relay has a thread of its own and eight connections with one message at a time, there and back. What counts is the
//! processor time of that thread, for each message there and back. The relays take turns within a round; what is printed are medians
//! over rounds, and medians of ratios taken within a round. Linux only: the time is read from `/proc`.

#[path = "relay_thread/mod.rs"]
mod relay_thread;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use relay_thread::{median, option, pair, processor_time};
use switchover::tunnel::{
    Decision, EndRequest, MessageHead, MessageTap, Tap, Tunnel, Verdict, WebSocketConfig,
};
use switchover::websocket::{FrameHeader, OpCode, apply_mask};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

const CONNECTIONS: usize = 8;
const SIZES: [usize; 4] = [64, 4 << 10, 64 << 10, 1 << 20];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relay {
    /// A tunnel that knows its frames.
    NoTap,
    Pass,
    Observe,
    Read,
    Tungstenite,
}

const RELAYS: [Relay; 5] = [
    Relay::NoTap,
    Relay::Pass,
    Relay::Observe,
    Relay::Read,
    Relay::Tungstenite,
];

impl MessageTap for Relay {
    fn decide(&mut self, _: &MessageHead) -> Decision {
        match self {
            Relay::Observe => Decision::Observe,
            Relay::Read => Decision::Read(4 << 20),
            _ => Decision::Pass,
        }
    }

    fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
        std::hint::black_box(payload);
        Verdict::Pass
    }

    fn observe(&mut self, _: &MessageHead, piece: &[u8], _: bool) -> Option<EndRequest> {
        std::hint::black_box(piece);
        None
    }
}

impl Relay {
    /// Moves everything between two sockets, until both have ended.
    async fn run(self, downstream: TcpStream, upstream: TcpStream) {
        let [downstream, upstream] = [downstream, upstream].map(|stream| {
            stream.set_nonblocking(true).unwrap();
            tokio::net::TcpStream::from_std(stream).unwrap()
        });
        let tap = match self {
            Relay::Tungstenite => return relay_messages(downstream, upstream).await,
            Relay::NoTap => None,
            _ => Some(Tap::new(self)),
        };
        let tunnel = Tunnel::new(downstream, upstream);
        let _ = tunnel.websocket(WebSocketConfig::default()).tap(tap).run().await;
    }
}

/// What a relay written by hand does.
async fn relay_messages(downstream: tokio::net::TcpStream, upstream: tokio::net::TcpStream) {
    let downstream = WebSocketStream::from_raw_socket(downstream, Role::Server, None).await;
    let upstream = WebSocketStream::from_raw_socket(upstream, Role::Client, None).await;
    let (mut to_downstream, mut from_downstream) = downstream.split();
    let (mut to_upstream, mut from_upstream) = upstream.split();
    let up = async {
        while let Some(Ok(message)) = from_downstream.next().await {
            if to_upstream.send(message).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_upstream.next().await {
            if to_downstream.send(message).await.is_err() {
                break;
            }
        }
    };
    futures_util::future::select(std::pin::pin!(up), std::pin::pin!(down)).await;
}

fn frame(size: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader {
        mask,
        ..FrameHeader::new(OpCode::Binary, size as u64)
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes).unwrap();
    let start = bytes.len();
    bytes.extend((0..size).map(|index| index as u8));
    apply_mask(&mut bytes[start..], mask.unwrap_or_default(), 0);
    bytes
}

/// Microseconds of the relay's processor time for each message there and back.
fn measure(relay: Relay, size: usize, time: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let echoed = Arc::new(AtomicU64::new(0));
    let mut seats = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        let ((mut client, downstream), (upstream, mut origin)) = (pair(), pair());
        seats.push((downstream, upstream));
        let (sent, answer) = (frame(size, Some(KEY)), frame(size, None));
        let (room, reply) = (sent.len(), answer.clone());
        ends.push(thread::spawn(move || {
            let mut received = vec![0; room];
            while origin.read_exact(&mut received).is_ok() && origin.write_all(&reply).is_ok() {}
        }));
        let (stop, echoed) = (Arc::clone(&stop), Arc::clone(&echoed));
        ends.push(thread::spawn(move || {
            let mut received = vec![0; answer.len()];
            while !stop.load(Ordering::Relaxed) {
                client.write_all(&sent).unwrap();
                client.read_exact(&mut received).unwrap();
                echoed.fetch_add(1, Ordering::Relaxed);
            }
            assert!(received == answer, "{relay:?} changes what it relays");
        }));
    }
    let (name, named) = std::sync::mpsc::channel();
    let relaying = thread::spawn(move || {
        let task = std::fs::read_link("/proc/thread-self").unwrap();
        name.send(task.to_str().unwrap().to_owned()).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        for (downstream, upstream) in seats {
            tasks.spawn_local(relay.run(downstream, upstream));
        }
        runtime.block_on(tasks);
    });
    let task = named.recv().unwrap();
    // A moment to reach the transfer mode that it stays in.
    thread::sleep(time / 4);
    let (used, done, start) = (
        processor_time(&task),
        echoed.load(Ordering::Relaxed),
        Instant::now(),
    );
    while start.elapsed() < time || echoed.load(Ordering::Relaxed) < done + 20 {
        thread::sleep(Duration::from_millis(5));
    }
    let used = processor_time(&task) - used;
    let done = echoed.load(Ordering::Relaxed) - done;
    stop.store(true, Ordering::Relaxed);
    for end in ends {
        end.join().unwrap();
    }
    relaying.join().unwrap();
    used as f64 / 1000.0 / done as f64
}

fn main() {
    // `cargo test --benches` runs it too.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_test {
        1
    } else {
        option("--rounds", 5.0) as usize
    };
    let time = Duration::from_secs_f64(if is_test { 0.01 } else { option("--seconds", 0.5) });
    println!("CPU us for a message there and back; in brackets: divided by that without a tap");
    print!("| message |");
    RELAYS.iter().for_each(|relay| print!(" {relay:?} |"));
    println!();
    for size in SIZES {
        let mut results: Vec<Vec<f64>> = vec![Vec::new(); RELAYS.len()];
        for _ in 0..rounds {
            for (relay, results) in RELAYS.into_iter().zip(&mut results) {
                results.push(measure(relay, size, time));
            }
        }
        print!("| {size} B |");
        for values in &results {
            let ratios = values.iter().zip(&results[0]).map(|(value, base)| value / base);
            print!(
                " {:.1} ({:.2}) |",
                median(values.clone()),
                median(ratios.collect())
            );
        }
        println!();
    }
}

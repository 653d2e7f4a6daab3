//! Tunnels that come, and tunnels that say nothing: handshakes, memory, and processor time spent on waiting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::load::{Measured, Metric};
use super::process::Process;
use super::{client, echo};

/// How long tunnels are watched that say nothing.
const IDLE: Duration = Duration::from_secs(5);

/// Connect, upgrade, read the 101, close; so many at a time.
pub(crate) async fn measure_handshakes(
    proxy: SocketAddr,
    process: Option<&Process>,
    duration: Duration,
) -> io::Result<Measured> {
    const AT_A_TIME: usize = 16;
    let hands = |duration| shake_hands(proxy, AT_A_TIME, duration, u64::MAX);
    measure_handshakes_by(hands, process, duration).await
}

/// The same with whatever makes handshakes for so long, and says how many.
pub(crate) async fn measure_handshakes_by<F>(
    shake_hands: impl Fn(Duration) -> F,
    process: Option<&Process>,
    duration: Duration,
) -> io::Result<Measured>
where
    F: Future<Output = io::Result<u64>>,
{
    shake_hands(duration / 5).await?;
    let before = echo::quiet(process).await;
    let since = Instant::now();
    let count = shake_hands(duration).await?;
    let took = since.elapsed();
    let mut measured = vec![(Metric::Handshakes, count as f64 / took.as_secs_f64())];
    if let (Some(before), Some(after)) = (before, echo::quiet(process).await) {
        let each = (after - before).as_secs_f64() * 1e3 / count as f64;
        measured.push((Metric::HandshakeCpu, each));
    }
    Ok(measured)
}

/// Until the time is up, or each of the clients has done `at_most`. Returns how many there were.
pub(crate) async fn shake_hands(
    proxy: SocketAddr,
    at_a_time: usize,
    duration: Duration,
    at_most: u64,
) -> io::Result<u64> {
    shake_hands_by(duration, at_a_time, at_most, move || {
        client::open(proxy, "/echo?64")
    })
    .await
}

/// The same with whatever opens one.
pub(crate) async fn shake_hands_by<S, F>(
    duration: Duration,
    at_a_time: usize,
    at_most: u64,
    open: impl Fn() -> F + Clone + Send + 'static,
) -> io::Result<u64>
where
    S: Send,
    F: Future<Output = io::Result<S>> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..at_a_time {
        let (stop, open) = (stop.clone(), open.clone());
        clients.spawn(async move {
            let mut count = 0;
            while count < at_most && !stop.load(Ordering::Relaxed) {
                drop(open().await?);
                count += 1;
            }
            io::Result::Ok(count)
        });
    }
    let alarm = tokio::spawn(async move {
        sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    });
    let mut count = 0;
    while let Some(client) = clients.join_next().await {
        count += client.map_err(io::Error::other)??;
    }
    alarm.abort();
    Ok(count)
}

/// Opens `tunnels`, each of which carries one small message, so that whatever a message leaves behind is counted;
/// looks at memory and processor time while they are silent; and at memory again when they are gone.
pub(crate) async fn measure(proxy: SocketAddr, process: &Process, tunnels: usize) -> io::Result<Measured> {
    // What is allocated once, by the first connections, is not the price of a tunnel.
    let open = |count| carry_one(proxy, count);
    measure_opened_by(open, process, tunnels).await
}

/// The same with whatever opens so many tunnels.
pub(crate) async fn measure_opened_by<S, F>(
    open: impl Fn(usize) -> F,
    process: &Process,
    tunnels: usize,
) -> io::Result<Measured>
where
    F: Future<Output = io::Result<Vec<S>>>,
{
    drop(open(64.min(tunnels)).await?);
    sleep(Duration::from_millis(500)).await;
    let before = settled_memory(process).await;

    let streams = open(tunnels).await?;
    let full = settled_memory(process).await;
    let cpu = process.cpu();
    sleep(IDLE).await;
    let idle_cpu = process.cpu() - cpu;

    drop(streams);
    sleep(Duration::from_secs(2)).await;
    let left = settled_memory(process).await;
    Ok(vec![
        (
            Metric::TunnelMemory,
            full.saturating_sub(before) as f64 / tunnels as f64,
        ),
        (Metric::IdleCpu, idle_cpu.as_secs_f64() * 1e6 / IDLE.as_secs_f64()),
        (Metric::MemoryLeft, left as f64 / 1e6),
    ])
}

pub(crate) async fn carry_one(proxy: SocketAddr, tunnels: usize) -> io::Result<Vec<tokio::net::TcpStream>> {
    let streams = client::open_many(proxy, "/echo?64", tunnels).await?;
    let (streams, _) = echo::exchange(streams, 64, Duration::from_secs(30), 1).await?;
    Ok(streams)
}

/// The proxy's memory, once it has stayed the same for half a second; at the latest after five seconds.
async fn settled_memory(process: &Process) -> u64 {
    let mut last = process.memory();
    for _ in 0..10 {
        sleep(Duration::from_millis(500)).await;
        let now = process.memory();
        if now.abs_diff(last) <= last / 1000 {
            return now;
        }
        last = now;
    }
    last
}

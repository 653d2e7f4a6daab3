//! A thousand tunnels that talk now and then beside one in bulk: what the bulk makes them wait. The bulk's reader takes the same
//! for every proxy: one that lets more through would otherwise keep the load's own core busier. What is waited without a proxy
//! (`direct`) is the load's share.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::load::{Measured, Metric};
use super::upstream;
use super::{client, frames};

const PAYLOAD: usize = 64;
/// Between two messages of a tunnel: at a thousand tunnels some two thousand messages a second, a small part of what the
/// proxy can do.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes a second that the bulk's reader takes: what the slowest proxy can carry with room to spare.
const BULK: u64 = 400_000_000;
/// How often it reads a thousandth of that.
const TICK: Duration = Duration::from_millis(1);

pub(crate) async fn measure(proxy: SocketAddr, tunnels: usize, duration: Duration) -> io::Result<Measured> {
    let streams = client::open_many(proxy, &format!("/echo?{PAYLOAD}"), tunnels).await?;
    let bulk = client::open(proxy, "/source").await?;
    let taken = Arc::new(AtomicU64::new(0));
    let taking = tokio::spawn(take(bulk, taken.clone()));
    sleep(Duration::from_millis(200)).await;
    let (since, before) = (Instant::now(), taken.load(Ordering::Relaxed));
    let end = Instant::now() + duration.max(PAUSE * 3);
    let mut talks = JoinSet::new();
    for (place, stream) in streams.into_iter().enumerate() {
        let start = PAUSE * place as u32 / tunnels as u32;
        talks.spawn(talk(stream, start, end));
    }
    let mut waits = Vec::new();
    while let Some(talk) = talks.join_next().await {
        waits.extend(talk.map_err(io::Error::other)??);
    }
    let bulk = (taken.load(Ordering::Relaxed) - before) as f64 / 1e9 / since.elapsed().as_secs_f64();
    if taking.is_finished() {
        return Err(io::Error::other("the bulk has ended"));
    }
    taking.abort();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(vec![
        (Metric::MedianWait, at(0.5)),
        (Metric::LongWait, at(0.99)),
        (Metric::Gigabytes, bulk),
    ])
}

/// Reads [`BULK`], a share each [`TICK`].
async fn take(mut stream: TcpStream, taken: Arc<AtomicU64>) -> io::Result<()> {
    let mut ticks = interval(TICK);
    // One that comes late makes up for what it has missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let share = BULK / 1000;
    loop {
        ticks.tick().await;
        let mut left = share;
        while left > 0 {
            match upstream::read_and_forget(&mut stream).await? {
                0 => return Ok(()),
                count => {
                    taken.fetch_add(count as u64, Ordering::Relaxed);
                    left = left.saturating_sub(count as u64);
                }
            }
        }
    }
}

/// The times of this tunnel's round trips.
async fn talk(mut stream: TcpStream, start: Duration, end: Instant) -> io::Result<Vec<Duration>> {
    let (message, answer) = (frames::from_client(PAYLOAD), frames::from_server(PAYLOAD).len());
    let mut waits = Vec::new();
    sleep(start).await;
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&message).await?;
        let mut awaited = answer;
        while awaited > 0 {
            match upstream::read_and_forget(&mut stream).await? {
                0 => return Err(io::Error::other("closed in the middle of an echo")),
                count => awaited = awaited.saturating_sub(count),
            }
        }
        waits.push(sent.elapsed());
        sleep(PAUSE).await;
    }
    Ok(waits)
}

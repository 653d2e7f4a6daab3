//! A thousand tunnels that talk now and then beside one in bulk: what the bulk makes them wait.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bulk::Flow;
use super::load::{Direction, Measured, Metric};
use super::upstream::{self, Upstream};
use super::{client, frames};

const PAYLOAD: usize = 64;
/// Between two messages of a tunnel: at a thousand tunnels some two thousand messages a second, a small part of what the
/// proxy can do.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn measure(
    proxy: SocketAddr,
    upstream: &Upstream,
    tunnels: usize,
    duration: Duration,
) -> io::Result<Measured> {
    let streams = client::open_many(proxy, &format!("/echo?{PAYLOAD}"), tunnels).await?;
    let mut flow = Flow::start(proxy, upstream, 1, Direction::Down).await?;
    sleep(Duration::from_millis(200)).await;
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
    flow.check()?;
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(vec![(Metric::MedianWait, at(0.5)), (Metric::LongWait, at(0.99))])
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

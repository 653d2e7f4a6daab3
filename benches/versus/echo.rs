//! Messages that are sent back one by one: a client sends the next when it has the answer to the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use super::load::{Measured, Metric};
use super::process::Process;
use super::{client, frames, upstream};

/// Runs for `duration`, after a fifth of that to warm up.
pub(crate) async fn measure(
    proxy: SocketAddr,
    process: Option<&Process>,
    payload: usize,
    connections: usize,
    duration: Duration,
) -> io::Result<Measured> {
    let streams = client::open_many(proxy, &format!("/echo?{payload}"), connections).await?;
    measure_on(streams, process, payload, duration).await
}

/// The same on connections that are open.
pub(crate) async fn measure_on<S>(
    streams: Vec<S>,
    process: Option<&Process>,
    payload: usize,
    duration: Duration,
) -> io::Result<Measured>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (streams, _) = exchange(streams, payload, duration / 5, u64::MAX).await?;

    // All connections are silent before and after, so all of the work falls in between.
    let before = quiet(process).await;
    let since = Instant::now();
    let (_streams, round_trips) = exchange(streams, payload, duration, u64::MAX).await?;
    let took = since.elapsed();
    let mut measured = vec![(Metric::RoundTrips, round_trips as f64 / took.as_secs_f64())];
    if let (Some(before), Some(after)) = (before, quiet(process).await) {
        let each = (after - before).as_secs_f64() * 1e6 / round_trips as f64;
        measured.push((Metric::RoundTripCpu, each));
    }
    Ok(measured)
}

pub(crate) async fn quiet(process: Option<&Process>) -> Option<Duration> {
    match process {
        Some(process) => Some(process.cpu_when_quiet().await),
        None => None,
    }
}

/// Exchanges messages on all streams until the time is up or each has done `at_most`. Returns the streams, silent, and
/// the number of round trips.
pub(crate) async fn exchange<S>(
    streams: Vec<S>,
    payload: usize,
    duration: Duration,
    at_most: u64,
) -> io::Result<(Vec<S>, u64)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let message: Arc<[u8]> = frames::from_client(payload).into();
    let answer = frames::from_server(payload).len();
    let mut clients = JoinSet::new();
    for stream in streams {
        clients.spawn(converse(stream, message.clone(), answer, at_most, stop.clone()));
    }
    let alarm = tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    });
    let (mut streams, mut round_trips) = (Vec::with_capacity(clients.len()), 0);
    while let Some(client) = clients.join_next().await {
        let (stream, count) = client.map_err(io::Error::other)??;
        streams.push(stream);
        round_trips += count;
    }
    alarm.abort();
    Ok((streams, round_trips))
}

async fn converse<S>(
    mut stream: S,
    message: Arc<[u8]>,
    answer: usize,
    at_most: u64,
    stop: Arc<AtomicBool>,
) -> io::Result<(S, u64)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut round_trips = 0;
    while round_trips < at_most && !stop.load(Ordering::Relaxed) {
        stream.write_all(&message).await?;
        stream.flush().await?;
        let mut awaited = answer;
        while awaited > 0 {
            match upstream::read_and_forget(&mut stream).await? {
                0 => return Err(io::Error::other("closed in the middle of an echo")),
                count => {
                    awaited = awaited
                        .checked_sub(count)
                        .ok_or_else(|| io::Error::other("more than an echo"))?
                }
            }
        }
        round_trips += 1;
    }
    Ok((stream, round_trips))
}

//! As many bytes as go through: down, up, and both ways at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::load::{Direction, Measured, Metric};
use super::process::Process;
use super::upstream::{Upstream, sink, source};
use super::{client, frames};

/// Streams that run until dropped, and what has come out of them.
pub(crate) struct Flow {
    clients: JoinSet<io::Result<()>>,
    pub(crate) down: Arc<AtomicU64>,
    up: Arc<AtomicU64>,
}

impl Flow {
    pub(crate) async fn start(
        proxy: SocketAddr,
        upstream: &Upstream,
        streams: usize,
        direction: Direction,
    ) -> io::Result<Flow> {
        let mut flow = Flow::new(upstream);
        for stream in client::open_many(proxy, direction.path(), streams).await? {
            let down = flow.down.clone();
            flow.add(run(stream, direction, down));
        }
        Ok(flow)
    }

    /// Without a stream.
    pub(crate) fn new(upstream: &Upstream) -> Flow {
        Flow {
            clients: JoinSet::new(),
            down: Arc::new(AtomicU64::new(0)),
            up: upstream.received.clone(),
        }
    }

    /// A client that adds what it reads to `down`.
    pub(crate) fn add(&mut self, client: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.clients.spawn(client);
    }

    /// Bytes that have arrived, at either end.
    pub(crate) fn arrived(&self) -> u64 {
        self.down.load(Ordering::Relaxed) + self.up.load(Ordering::Relaxed)
    }

    /// A stream that has ended by itself makes all numbers wrong.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        match self.clients.try_join_next() {
            None => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(_) => Err(io::Error::other("a stream has ended")),
        }
    }
}

/// The average over `duration`, once the streams have found their pace.
pub(crate) async fn measure(
    proxy: SocketAddr,
    process: Option<&Process>,
    upstream: &Upstream,
    (streams, direction): (usize, Direction),
    duration: Duration,
) -> io::Result<Measured> {
    let mut flow = Flow::start(proxy, upstream, streams, direction).await?;
    measure_flow(&mut flow, process, duration).await
}

pub(crate) async fn measure_flow(
    flow: &mut Flow,
    process: Option<&Process>,
    duration: Duration,
) -> io::Result<Measured> {
    sleep(duration.min(Duration::from_secs(1)) / 3).await;

    let (since, bytes, cpu) = (Instant::now(), flow.arrived(), process.map(Process::cpu));
    sleep(duration).await;
    let cpu = cpu
        .zip(process.map(Process::cpu))
        .map(|(before, after)| after - before);
    let gigabytes = (flow.arrived() - bytes) as f64 / 1e9;
    let took = since.elapsed();

    flow.check()?;
    let mut measured = vec![(Metric::Gigabytes, gigabytes / took.as_secs_f64())];
    measured.extend(cpu.map(|cpu| (Metric::GigabyteCpu, cpu.as_secs_f64() / gigabytes)));
    Ok(measured)
}

async fn run(mut stream: TcpStream, direction: Direction, down: Arc<AtomicU64>) -> io::Result<()> {
    let frame = frames::from_client(frames::bulk_payload());
    let (mut reader, mut writer) = stream.split();
    match direction {
        Direction::Down => sink(&mut reader, &down).await,
        Direction::Up => source(&mut writer, &frame).await,
        Direction::Both => {
            tokio::try_join!(sink(&mut reader, &down), source(&mut writer, &frame)).map(|_| ())
        }
    }
}

//! System calls per unit of work. They do not depend on what else the machine is doing, so they can be a gate.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::bulk::Flow;
use super::http2::{Certificate, Tunnels};
use super::http2_bulk::Http2Flow;
use super::load::Direction;
use super::peers::{Around, Peer};
use super::process::{self, Process};
use super::requests::{self, Exchange};
use super::run::Bench;
use super::upstream::Upstream;
use super::{client, echo, idle};

/// A unit of work, and the most calls that the gateway may make for one: with tunnels of bytes, and with tunnels that know their frames.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    work: Work,
    bounds: [f64; 2],
}

#[derive(Clone, Copy)]
enum Work {
    RoundTrip {
        connections: usize,
    },
    /// Over HTTP/2, on so many tunnels of a connection at once.
    Http2 {
        streams: usize,
    },
    Mebibyte {
        streams: usize,
        direction: Direction,
    },
    /// The same over HTTP/2.
    Http2Mebibyte {
        direction: Direction,
    },
    /// An ordinary request on a kept connection, with so many bytes of a body up and down.
    Request {
        up: usize,
        down: usize,
    },
    Handshake {
        at_a_time: usize,
    },
}

/// One connection pays for its own wake-up on each side; sixty-four share them. The bulk bounds are for splicing: of a frame of 64 KiB one
/// look at its header, and one splice into a pipe that takes eight of them.
const UNITS: [Unit; 12] = [
    Unit {
        name: "echo-1",
        work: Work::RoundTrip { connections: 1 },
        bounds: [6.0, 6.0],
    },
    Unit {
        name: "echo-64",
        work: Work::RoundTrip { connections: 64 },
        bounds: [4.1, 4.1],
    },
    Unit {
        name: "h2-1",
        work: Work::Http2 { streams: 1 },
        bounds: [6.0, f64::INFINITY],
    },
    Unit {
        name: "h2-64",
        work: Work::Http2 { streams: 64 },
        bounds: [2.3, f64::INFINITY],
    },
    Unit {
        name: "bulk",
        work: Work::Mebibyte {
            streams: 1,
            direction: Direction::Down,
        },
        bounds: [6.8, 42.0],
    },
    Unit {
        name: "bulk-16-both",
        work: Work::Mebibyte {
            streams: 16,
            direction: Direction::Both,
        },
        bounds: [f64::INFINITY, 42.0],
    },
    Unit {
        name: "h2-bulk-down",
        work: Work::Http2Mebibyte {
            direction: Direction::Down,
        },
        bounds: [38.0, f64::INFINITY],
    },
    Unit {
        name: "h2-bulk-up",
        work: Work::Http2Mebibyte {
            direction: Direction::Up,
        },
        bounds: [f64::INFINITY, f64::INFINITY],
    },
    Unit {
        name: "request-1m",
        work: Work::Request { up: 0, down: 1 << 20 },
        bounds: [12.5, f64::INFINITY],
    },
    Unit {
        name: "request-up-1m",
        work: Work::Request {
            up: 1 << 20,
            down: 100,
        },
        bounds: [12.5, f64::INFINITY],
    },
    Unit {
        name: "handshake",
        work: Work::Handshake { at_a_time: 16 },
        bounds: [17.8, 17.8],
    },
    Unit {
        name: "handshake-alone",
        work: Work::Handshake { at_a_time: 1 },
        bounds: [f64::INFINITY, f64::INFINITY],
    },
];

/// What happens once, when the counting begins and ends, is not the work's: a call that is interrupted, another that
/// is not finished. Of thousands of units it must not turn a whole number into one above it.
const SLACK: f64 = 0.01;

/// How often a unit is counted that is beyond its bound. A machine that does something else meanwhile adds calls, a wake-up here and there,
/// and takes none away: what a call too many has cost is there every time.
const TRIES: usize = 5;

/// Counts for every peer. False if a bound is exceeded that was asked for.
pub(crate) async fn count(bench: &Bench) -> io::Result<bool> {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("skipped: system calls (strace is not installed)");
        return Ok(true);
    }
    let mut holds = true;
    for peer in &bench.peers {
        for unit in UNITS.into_iter().filter(|unit| bench.options.counts(unit.name)) {
            let is_gate = bench.options.gates.iter().any(|gate| gate == unit.name);
            let bound = match (peer.is_gateway(), peer.knows_frames()) {
                (true, _) => Some(unit.bounds[0]),
                (_, true) => Some(unit.bounds[1]),
                _ => None,
            };
            let bound = bound.filter(|_| is_gate);
            let counted = match least(bench, peer, unit.work, bound).await {
                Ok(Some(counted)) => counted,
                Ok(None) => continue,
                Err(error) => {
                    println!("{:<16}{:<17}no number: {error}", peer.name, unit.name);
                    holds &= !is_gate;
                    continue;
                }
            };
            let each = counted.each();
            print!("{:<16}{:<17}{each:8.2}", peer.name, unit.name);
            if let Some(bound) = bound {
                let fits = each <= bound + SLACK;
                print!("  {} {bound}", if fits { "<=" } else { "EXCEEDS" });
                holds &= fits;
            }
            println!("  {}", breakdown(&counted.calls, counted.units));
        }
    }
    Ok(holds)
}

type Calls = BTreeMap<String, u64>;

/// The calls, and how many units of work they were for.
struct Counted {
    calls: Calls,
    units: f64,
}

impl Counted {
    fn each(&self) -> f64 {
        self.calls.values().sum::<u64>() as f64 / self.units
    }
}

/// The least of a few counts where the first ones are beyond the bound. None of a peer that is no process.
async fn least(bench: &Bench, peer: &Peer, unit: Work, bound: Option<f64>) -> io::Result<Option<Counted>> {
    let mut least: Option<Counted> = None;
    for _ in 0..TRIES {
        let directory = bench.directory.path();
        let upstream = Upstream::start()?;
        let certificate = match unit {
            Work::Http2 { .. } | Work::Http2Mebibyte { .. } if !peer.speaks_http2() => return Ok(None),
            Work::Request { .. } if !peer.serves_requests() => return Ok(None),
            Work::Http2 { .. } | Work::Http2Mebibyte { .. } => Some(Certificate::create(directory)?),
            _ => None,
        };
        let around = Around {
            certificate: certificate.as_ref(),
            ..Around::default()
        };
        let (proxy, process) = peer.start(upstream.address, directory, bench.cores, around)?;
        let Some(process) = process else { return Ok(None) };
        let (calls, units) = work(unit, proxy, &process, &upstream, directory, certificate.as_ref()).await?;
        let counted = Counted { calls, units };
        let is_within = bound.is_none_or(|bound| counted.each() <= bound + SLACK);
        if least.as_ref().is_none_or(|least| counted.each() < least.each()) {
            least = Some(counted);
        }
        if is_within {
            break;
        }
    }
    Ok(least)
}

/// Does the work while the calls are counted. Returns them, and how many units there were.
async fn work(
    work: Work,
    proxy: SocketAddr,
    process: &Process,
    upstream: &Upstream,
    directory: &Path,
    certificate: Option<&Certificate>,
) -> io::Result<(Calls, f64)> {
    const LIMIT: Duration = Duration::from_secs(60);
    match work {
        Work::RoundTrip { connections } => {
            let streams = client::open_many(proxy, "/echo?64", connections).await?;
            let (streams, _) = echo::exchange(streams, 64, LIMIT, 20).await?;
            let counter = Counter::attach(process, directory).await?;
            let (_streams, count) =
                echo::exchange(streams, 64, LIMIT, 4000 / connections.min(20) as u64).await?;
            Ok((counter.finish().await?, count as f64))
        }
        Work::Http2 { streams } => {
            let certificate = certificate.ok_or(io::ErrorKind::InvalidInput)?;
            let mut tunnels = Tunnels::open(proxy, certificate, (64, streams)).await?;
            tunnels.exchange(streams as u64 * 20).await?;
            let counter = Counter::attach(process, directory).await?;
            let count = tunnels.exchange(4000).await?;
            Ok((counter.finish().await?, count as f64))
        }
        Work::Mebibyte { streams, direction } => {
            let mut flow = Flow::start(proxy, upstream, streams, direction).await?;
            count_mebibytes(&mut flow, process, directory).await
        }
        Work::Http2Mebibyte { direction } => {
            let certificate = certificate.ok_or(io::ErrorKind::InvalidInput)?;
            let mut running = Http2Flow::start(proxy, certificate, upstream, (1, direction)).await?;
            count_mebibytes(&mut running.flow, process, directory).await
        }
        Work::Request { up, down } => {
            let connections = 1;
            let exchange = Exchange {
                up,
                down,
                connections,
            };
            let streams = requests::connect(proxy, exchange).await?;
            let (streams, _) = requests::run(streams, proxy, exchange, (LIMIT, 20)).await?;
            let counter = Counter::attach(process, directory).await?;
            let (_streams, count) = requests::run(streams, proxy, exchange, (LIMIT, 400)).await?;
            Ok((counter.finish().await?, count as f64))
        }
        Work::Handshake { at_a_time } => {
            idle::shake_hands(proxy, at_a_time, LIMIT, 20).await?;
            process.cpu_when_quiet().await;
            let counter = Counter::attach(process, directory).await?;
            let count = idle::shake_hands(proxy, at_a_time, LIMIT, 1600 / at_a_time as u64).await?;
            process.cpu_when_quiet().await;
            Ok((counter.finish().await?, count as f64))
        }
    }
}

/// The calls of two seconds of bulk, and how many mebibytes they were for.
async fn count_mebibytes(flow: &mut Flow, process: &Process, directory: &Path) -> io::Result<(Calls, f64)> {
    sleep(Duration::from_millis(300)).await;
    let counter = Counter::attach(process, directory).await?;
    let bytes = flow.arrived();
    sleep(Duration::from_secs(2)).await;
    let bytes = flow.arrived() - bytes;
    let calls = counter.finish().await?;
    flow.check()?;
    Ok((calls, bytes as f64 / (1024.0 * 1024.0)))
}

fn breakdown(calls: &Calls, units: f64) -> String {
    let mut calls: Vec<_> = calls
        .iter()
        .map(|(name, count)| (name, *count as f64 / units))
        .collect();
    calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown = calls.iter().filter(|(_, each)| *each >= 0.005);
    shown
        .map(|(name, each)| format!("{name} {each:.2}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// strace, attached to a process.
struct Counter {
    strace: std::process::Child,
    output: std::path::PathBuf,
}

impl Counter {
    async fn attach(process: &Process, directory: &Path) -> io::Result<Counter> {
        let output = directory.join("strace.txt");
        let strace = Command::new("strace")
            .args(["-c", "-f", "-p", &process.id().to_string(), "-o"])
            .arg(&output)
            .stderr(Stdio::null())
            .spawn()?;
        let counter = Counter { strace, output };
        let since = Instant::now();
        while !is_traced(process.id()) {
            if since.elapsed() > Duration::from_secs(5) {
                return Err(io::Error::other("strace does not attach"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        // Traced is not yet running again.
        sleep(Duration::from_millis(100)).await;
        Ok(counter)
    }

    async fn finish(mut self) -> io::Result<Calls> {
        let id = i32::try_from(self.strace.id()).ok().and_then(Pid::from_raw);
        kill_process(id.ok_or(io::ErrorKind::NotFound)?, Signal::INT)?;
        while self.strace.try_wait()?.is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(parse(&fs::read_to_string(&self.output)?))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // Has no effect where it has been waited for.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Whether every thread of the process is.
fn is_traced(id: u32) -> bool {
    process::threads(id).into_iter().all(|thread| {
        let status = fs::read_to_string(format!("/proc/{id}/task/{thread}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    })
}

/// The calls of each name in strace's summary: share, seconds, microseconds, calls, perhaps errors, name.
fn parse(summary: &str) -> Calls {
    let mut calls = Calls::new();
    for line in summary.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [share, _, _, count, .., name] = columns[..] {
            if share.parse::<f64>().is_ok() && name != "total" {
                *calls.entry(name.to_owned()).or_default() += count.parse().unwrap_or(0);
            }
        }
    }
    calls
}

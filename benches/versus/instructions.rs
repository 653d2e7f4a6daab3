//! Instructions per unit of work, outside of the kernel, and bytes of heap per idle tunnel. As system calls, they do not depend on
//! what else the machine is doing.
//!
//! A proxy runs within valgrind, once for so many units and once for twice as many. The difference is the work: what it takes to
//! start and to end is in both.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http2::{Certificate, Tunnels};
use super::http2_upstream::{self, Http2Upstream};
use super::load::Direction;
use super::peers::{Around, Peer};
use super::process::Process;
use super::requests::{self, Exchange};
use super::run::Bench;
use super::upstream::Upstream;
use super::{client, echo, http2_bulk, idle};

/// A unit of work, and the most that a proxy of the crate's may spend on one: what is measured, and a few in a hundred for another
/// compiler.
struct Unit {
    name: &'static str,
    work: Work,
    bounds: &'static [(&'static str, f64)],
}

#[derive(Clone, Copy)]
enum Work {
    /// A message of 64 bytes, there and back.
    RoundTrip,
    /// The same over HTTP/2, on so many tunnels of a connection at once.
    Http2 { streams: usize },
    /// A mebibyte over HTTP/2, on one tunnel.
    Http2Bulk { direction: Direction },
    /// As `Http2`, on so many tunnels to an upstream that speaks HTTP/2.
    Http2Upstream { tunnels: usize },
    /// A request on a kept connection, answered by 100 bytes.
    Request,
    /// From accept to close.
    Handshake,
    /// A tunnel that has carried a message and says nothing: bytes of the heap, as they were asked for, and 8 for each allocation.
    Tunnel,
}

const UNITS: [Unit; 9] = [
    Unit {
        name: "echo",
        work: Work::RoundTrip,
        bounds: &[
            ("gateway", 5_850.0),
            ("axum", 6_850.0),
            ("gateway-frames", 6_390.0),
        ],
    },
    Unit {
        name: "h2-1",
        work: Work::Http2 { streams: 1 },
        bounds: &[("gateway", 21_480.0)],
    },
    Unit {
        name: "h2-64",
        work: Work::Http2 { streams: 64 },
        bounds: &[("gateway", 10_250.0)],
    },
    Unit {
        name: "h2-bulk-down",
        work: Work::Http2Bulk {
            direction: Direction::Down,
        },
        bounds: &[("gateway", 3_640_000.0)],
    },
    Unit {
        name: "h2-bulk-up",
        work: Work::Http2Bulk {
            direction: Direction::Up,
        },
        bounds: &[("gateway", 4_010_000.0)],
    },
    Unit {
        name: "h2-up-64",
        work: Work::Http2Upstream { tunnels: 64 },
        bounds: &[],
    },
    Unit {
        name: "request",
        work: Work::Request,
        bounds: &[("gateway", 33_000.0), ("axum", 46_000.0)],
    },
    Unit {
        name: "handshake",
        work: Work::Handshake,
        bounds: &[("gateway", 62_500.0), ("axum", 92_500.0)],
    },
    Unit {
        name: "idle",
        work: Work::Tunnel,
        bounds: &[("gateway", 1_600.0)],
    },
];

impl Work {
    fn is_for(self, peer: &Peer) -> bool {
        match self {
            Work::Http2 { .. } | Work::Http2Bulk { .. } => peer.speaks_http2(),
            Work::Http2Upstream { .. } => peer.asks_http2(),
            Work::Request => peer.serves_requests(),
            _ => true,
        }
    }

    fn few(self) -> u64 {
        match self {
            Work::Http2 { .. } | Work::Http2Upstream { .. } => FEW_AT_ONCE,
            Work::Http2Bulk { .. } => FEW_MEBIBYTES,
            _ => FEW,
        }
    }
}

/// How many units the shorter run has.
const FEW: u64 = 300;
/// And that of messages on tunnels that share a connection, ten or fifty on each of 64. They come in bunches of other sizes each time.
const FEW_AT_ONCE: u64 = 3200;

const FEW_MEBIBYTES: u64 = 16;

/// Counts for every peer. False if a bound is exceeded that was asked for.
pub(crate) async fn count(bench: &Bench) -> io::Result<bool> {
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if valgrind.is_err() {
        println!("skipped: instructions (valgrind is not installed)");
        return Ok(true);
    }
    let mut holds = true;
    for peer in &bench.peers {
        for unit in UNITS.iter().filter(|unit| bench.options.counts(unit.name)) {
            if !unit.work.is_for(peer) {
                continue;
            }
            let is_gate = bench.options.gates.iter().any(|gate| gate == unit.name);
            let each = match each(bench, peer, unit.work).await {
                Ok(each) => each,
                Err(error) => {
                    println!("{:<16}{:<17}no number: {error}", peer.name, unit.name);
                    holds &= !is_gate;
                    continue;
                }
            };
            print!("{:<16}{:<17}{each:8.0}", peer.name, unit.name);
            let bound = unit.bounds.iter().find(|(name, _)| *name == peer.name);
            if let (Some((_, bound)), true) = (bound, is_gate) {
                let fits = each <= *bound;
                print!("  {} {bound}", if fits { "<=" } else { "EXCEEDS" });
                holds &= fits;
            }
            println!();
        }
    }
    Ok(holds)
}

async fn each(bench: &Bench, peer: &Peer, work: Work) -> io::Result<f64> {
    let units = work.few();
    let few = total(bench, peer, work, units).await?;
    let many = total(bench, peer, work, 2 * units).await?;
    Ok((many - few) / units as f64)
}

/// The instructions of a proxy that has done so many units, or the most that its heap has held.
async fn total(bench: &Bench, peer: &Peer, work: Work, units: u64) -> io::Result<f64> {
    let upstream = Upstream::start()?;
    let http2_upstream = Http2Upstream::start().await?;
    let directory = bench.directory.path();
    let certificate = match work {
        Work::Http2 { .. } | Work::Http2Bulk { .. } => Some(Certificate::create(directory)?),
        _ => None,
    };
    let upstream_speaks_http2 = matches!(work, Work::Http2Upstream { .. });
    let around = Around {
        certificate: certificate.as_ref(),
        upstream_speaks_http2,
    };
    let origin = match upstream_speaks_http2 {
        true => http2_upstream.address,
        false => upstream.address,
    };
    let (address, command) = peer.command(origin, directory, around)?;
    let command = command.ok_or(io::Error::other("there is no proxy"))?;
    let counts = directory.join("counts");
    let mut counted = Command::new("valgrind");
    match work {
        Work::Tunnel => counted.args([
            "--tool=massif",
            "--peak-inaccuracy=0.0",
            &format!("--massif-out-file={}", counts.display()),
        ]),
        _ => counted.args([
            "--tool=callgrind",
            &format!("--callgrind-out-file={}", counts.display()),
        ]),
    };
    counted
        .arg(command.get_program())
        .args(command.get_args())
        // One instruction of a processor's that copies a block would count as one for each byte.
        .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1073741824")
        .stderr(Stdio::null());
    let process = Process::start(counted, address, bench.cores)?;
    let kept = do_units(work, address, (certificate.as_ref(), &upstream), units).await?;
    process.cpu_when_quiet().await;
    drop(kept);
    process.end().await?;
    let report = fs::read_to_string(counts)?;
    let total = match work {
        Work::Tunnel => peak(&report),
        _ => lines(&report, "totals: ").next(),
    };
    total.ok_or(io::Error::other("valgrind has not counted"))
}

/// The numbers behind this word, each on a line of its own.
fn lines(report: &str, word: &'static str) -> impl Iterator<Item = f64> {
    let found = report.lines().filter_map(move |line| line.strip_prefix(word));
    found.filter_map(|number| number.trim().parse().ok())
}

fn peak(report: &str) -> Option<f64> {
    let held = lines(report, "mem_heap_B=").zip(lines(report, "mem_heap_extra_B="));
    held.map(|(asked, more)| asked + more).reduce(f64::max)
}

/// Does the work. Returns the tunnels that are to stay open.
async fn do_units(
    work: Work,
    proxy: SocketAddr,
    (certificate, upstream): (Option<&Certificate>, &Upstream),
    units: u64,
) -> io::Result<Vec<TcpStream>> {
    const LIMIT: Duration = Duration::from_secs(600);
    let mut kept = Vec::new();
    let done = match work {
        Work::RoundTrip => {
            let streams = client::open_many(proxy, "/echo?64", 1).await?;
            echo::exchange(streams, 64, LIMIT, units).await?.1
        }
        Work::Http2 { streams } => {
            let certificate = certificate.ok_or(io::ErrorKind::InvalidInput)?;
            let mut tunnels = Tunnels::open(proxy, certificate, (64, streams)).await?;
            timeout(LIMIT, tunnels.exchange(units)).await??
        }
        Work::Http2Bulk { direction } => {
            let certificate = certificate.ok_or(io::ErrorKind::InvalidInput)?;
            let what = (1, direction, units << 20);
            timeout(LIMIT, http2_bulk::carry(proxy, certificate, upstream, what)).await??;
            units
        }
        Work::Http2Upstream { tunnels } => {
            http2_upstream::settle(proxy).await?;
            let streams = client::open_many(proxy, "/echo?64", tunnels).await?;
            let each = units / tunnels as u64;
            echo::exchange(streams, 64, LIMIT, each).await?.1
        }
        Work::Request => {
            let exchange = Exchange {
                up: 0,
                down: 100,
                connections: 1,
            };
            let streams = requests::connect(proxy, exchange).await?;
            requests::run(streams, proxy, exchange, (LIMIT, units)).await?.1
        }
        Work::Handshake => idle::shake_hands(proxy, 1, LIMIT, units).await?,
        Work::Tunnel => {
            for _ in 0..units {
                kept.extend(idle::carry_one(proxy, 1).await?);
            }
            units
        }
    };
    if done < units {
        return Err(io::Error::other(format!("{done} units within {LIMIT:?}")));
    }
    Ok(kept)
}

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

use super::peers::Peer;
use super::process::Process;
use super::requests::{self, Exchange};
use super::run::Bench;
use super::upstream::Upstream;
use super::{client, echo, idle};

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
    /// A request on a kept connection, answered by 100 bytes.
    Request,
    /// From accept to close.
    Handshake,
    /// A tunnel that has carried a message and says nothing: bytes of the heap, as they were asked for, and 8 for each allocation.
    Tunnel,
}

const UNITS: [Unit; 4] = [
    Unit {
        name: "echo",
        work: Work::RoundTrip,
        bounds: &[
            ("gateway", 5_740.0),
            ("axum", 6_850.0),
            ("gateway-frames", 6_390.0),
        ],
    },
    Unit {
        name: "request",
        work: Work::Request,
        bounds: &[("gateway", 36_300.0), ("axum", 46_000.0)],
    },
    Unit {
        name: "handshake",
        work: Work::Handshake,
        bounds: &[("gateway", 72_500.0), ("axum", 90_100.0)],
    },
    Unit {
        name: "idle",
        work: Work::Tunnel,
        bounds: &[("gateway", 1_600.0)],
    },
];

/// How many units the shorter run has.
const FEW: u64 = 300;

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
    let few = total(bench, peer, work, FEW).await?;
    let many = total(bench, peer, work, 2 * FEW).await?;
    Ok((many - few) / FEW as f64)
}

/// The instructions of a proxy that has done so many units, or the most that its heap has held.
async fn total(bench: &Bench, peer: &Peer, work: Work, units: u64) -> io::Result<f64> {
    let upstream = Upstream::start()?;
    let directory = bench.directory.path();
    let (address, command) = peer.command(upstream.address, directory, None)?;
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
    let kept = do_units(work, address, units).await?;
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
async fn do_units(work: Work, proxy: SocketAddr, units: u64) -> io::Result<Vec<TcpStream>> {
    const LIMIT: Duration = Duration::from_secs(600);
    let mut kept = Vec::new();
    let done = match work {
        Work::RoundTrip => {
            let streams = client::open_many(proxy, "/echo?64", 1).await?;
            echo::exchange(streams, 64, LIMIT, units).await?.1
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

//! The order of things: which load, which proxy, how often, and what becomes of the numbers.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::baseline::Baseline;
use super::http2::Certificate;
use super::http2_bulk::Http2Flow;
use super::http2_upstream::Http2Upstream;
use super::load::{Load, Measured};
use super::machine::{self, Cores};
use super::options::{self, Options};
use super::peers::{self, Around, Peer};
use super::report::{Report, Sample};
use super::upstream::Upstream;
use super::{bulk, echo, fair, http2, http2_upstream, idle, instructions, plot, requests, syscalls, tls};

/// No single measurement takes longer: a proxy that hangs is a failure, not a wait.
const AT_MOST: Duration = Duration::from_secs(120);

/// What all measurements share.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) peers: Vec<Peer>,
    pub(crate) cores: Cores,
    pub(crate) directory: Directory,
}

/// A place for the configurations of the peers, removed at the end.
pub(crate) struct Directory(PathBuf);

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, name, listen, upstream] = &arguments[..] {
        if word == "baseline" {
            return exit(run_baseline(name, listen, upstream));
        }
    }
    match Options::parse(arguments) {
        Ok(options) if options.is_bench => exit(run(options)),
        Ok(_) => {
            println!("versus measures, and tests nothing: cargo bench --bench versus -- --help");
            ExitCode::SUCCESS
        }
        Err(text) if text == options::USAGE => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("versus: {why}");
            ExitCode::from(2)
        }
    }
}

fn exit(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_baseline(name: &str, listen: &str, upstream: &str) -> io::Result<bool> {
    let address = |text: &str| text.parse().map_err(io::Error::other);
    let baseline = Baseline::named(name).ok_or(io::ErrorKind::InvalidInput)?;
    baseline.run(address(listen)?, address(upstream)?).map(|()| true)
}

/// True if every gate that was asked for holds.
fn run(mut options: Options) -> io::Result<bool> {
    let descriptors = machine::raise_descriptor_limit();
    // Both ends of every tunnel are in this process, and both of its connections in the proxy.
    let room = descriptors.saturating_sub(200) / 2;
    if room < options.tunnels {
        println!(
            "{room} idle tunnels instead of {}: {descriptors} descriptors are allowed",
            options.tunnels
        );
        options.tunnels = room;
    }
    if (options.syscalls || options.instructions) && options.proxies.is_empty() {
        options.proxies.push("gateway".to_owned());
    }
    let peers = peers::find(&options);
    let cores = Cores::choose();
    let bench = Bench {
        options,
        peers,
        cores,
        directory: Directory::create()?,
    };
    println!("{}; {}", machine::describe(), cores.describe());
    for peer in &bench.peers {
        println!("  {:<16}{}", peer.name, peer.version);
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let work = async {
            if bench.options.syscalls {
                return syscalls::count(&bench).await;
            }
            if bench.options.instructions {
                return instructions::count(&bench).await;
            }
            let report = bench.measure().await;
            bench.publish(&report).map(|()| true)
        };
        // An interrupted run drops its children too.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(io::ErrorKind::Interrupted.into()),
            _ = terminate.recv() => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

impl Bench {
    async fn measure(&self) -> Report {
        let names = self.peers.iter().map(|peer| peer.name.clone()).collect();
        let ours = self.peers.iter().position(Peer::is_gateway);
        let mut report = Report::new(names, ours);
        for round in 0..self.options.rounds {
            for (turn, load) in self.options.loads.iter().enumerate() {
                let load_name = load.name();
                for place in 0..self.peers.len() {
                    // Nobody always comes first, or always after the same other.
                    let peer = (place + turn + round) % self.peers.len();
                    progress(format_args!(
                        "round {}, {load_name} on {}",
                        round + 1,
                        self.peers[peer].name
                    ));
                    match timeout(AT_MOST, self.run(*load, &self.peers[peer])).await {
                        Ok(Ok(measured)) => report.add(measured.into_iter().map(|(metric, value)| Sample {
                            round,
                            load: load_name.clone(),
                            peer,
                            metric,
                            value,
                        })),
                        Ok(Err(error)) => eprintln!("\n  no number: {error}"),
                        Err(_) => eprintln!("\n  no number: not done after {AT_MOST:?}"),
                    }
                }
            }
        }
        progress(format_args!(""));
        report
    }

    /// One load on one proxy, in a process of its own.
    async fn run(&self, load: Load, peer: &Peer) -> io::Result<Measured> {
        if let Load::Http2Upstream { tunnels } = load {
            return self.run_to_http2(tunnels, peer).await;
        }
        let upstream = Upstream::start()?;
        let directory = self.directory.path();
        let certificate = match load {
            Load::Http2 { .. } | Load::Http2Bulk { .. } if !peer.speaks_http2() => {
                return Ok(Measured::new());
            }
            Load::Tls(_) if !peer.speaks_tls() => return Ok(Measured::new()),
            Load::Requests(_) if !peer.serves_requests() => return Ok(Measured::new()),
            Load::Http2 { .. } | Load::Http2Bulk { .. } | Load::Tls(_) => {
                Some(Certificate::create(directory)?)
            }
            _ => None,
        };
        let around = Around {
            certificate: certificate.as_ref(),
            ..Around::default()
        };
        let (proxy, process) = peer.start(upstream.address, directory, self.cores, around)?;
        let (process, duration) = (process.as_ref(), self.options.duration);
        match load {
            Load::Echo { payload, connections } => {
                echo::measure(proxy, process, payload, connections, duration).await
            }
            Load::Bulk { streams, direction } => {
                bulk::measure(proxy, process, &upstream, (streams, direction), duration).await
            }
            Load::Fair { tunnels } => fair::measure(proxy, tunnels, duration).await,
            Load::Http2 { connections, streams } => match &certificate {
                Some(certificate) => {
                    http2::measure(proxy, process, certificate, (64, connections, streams), duration).await
                }
                None => Ok(Measured::new()),
            },
            Load::Http2Bulk { streams, direction } => match &certificate {
                Some(certificate) => {
                    let what = (streams, direction);
                    let mut running = Http2Flow::start(proxy, certificate, &upstream, what).await?;
                    bulk::measure_flow(&mut running.flow, process, duration).await
                }
                None => Ok(Measured::new()),
            },
            // Above.
            Load::Http2Upstream { .. } => Ok(Measured::new()),
            Load::Tls(work) => match (&certificate, process) {
                (Some(certificate), Some(process)) => {
                    let scene = tls::Scene {
                        proxy,
                        process,
                        upstream: &upstream,
                        client: certificate.http1.clone(),
                        tunnels: self.options.tunnels,
                    };
                    tls::measure(&scene, work, duration).await
                }
                _ => Ok(Measured::new()),
            },
            Load::Requests(exchange) => requests::measure(proxy, process, exchange, duration).await,
            Load::Handshake => idle::measure_handshakes(proxy, process, duration).await,
            Load::Idle => match process {
                Some(process) => idle::measure(proxy, process, self.options.tunnels).await,
                None => Ok(Measured::new()),
            },
        }
    }

    /// Messages on tunnels that are streams of HTTP/2 towards the upstream.
    async fn run_to_http2(&self, tunnels: usize, peer: &Peer) -> io::Result<Measured> {
        if !peer.asks_http2() {
            return Ok(Measured::new());
        }
        let upstream = Http2Upstream::start().await?;
        let around = Around {
            upstream_speaks_http2: true,
            ..Around::default()
        };
        let (proxy, process) = peer.start(upstream.address, self.directory.path(), self.cores, around)?;
        http2_upstream::settle(proxy).await?;
        echo::measure(proxy, process.as_ref(), 64, tunnels, self.options.duration).await
    }

    fn publish(&self, report: &Report) -> io::Result<()> {
        print!("{}", report.table());
        if let Some(path) = &self.options.json {
            let versions = self.peers.iter().map(|peer| peer.version.as_str());
            fs::write(
                path,
                report.json(&machine::describe(), &self.cores.describe(), versions),
            )?;
        }
        if let Some(path) = &self.options.plot {
            fs::write(path, plot::svg(report))?;
        }
        Ok(())
    }
}

/// What is being done now, for the person who watches.
fn progress(what: fmt::Arguments<'_>) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

impl Directory {
    fn create() -> io::Result<Directory> {
        let path = env::temp_dir().join(format!("versus-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Directory(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

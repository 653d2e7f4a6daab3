//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use super::frames;
use super::load::{self, Load};

pub(crate) const USAGE: &str = "\
The gateway beside its peers: processor time and memory for the same work.

  --rounds N            every proxy does every load so many times (3)
  --loads LIST          by name or beginning of a name: echo, echo-64, bulk, bulk-1-down, h2, h2-bulk, h2-up, tls, requests, handshake, idle (all)
  --proxies LIST        gateway, nginx, nginx-64k, haproxy, haproxy-splice, hyper, axum, axum-client, direct (all that are found), and
                        gateway-frames, the gateway with --tunnel-mode websocket and pings; gateway-admin, with --admin; gateway-log,
                        with --log info; tokio-copy and tunnel-alone, relays without HTTP; axum-bare, an upgrade in axum that nobody checks
  --gateway NAME=PATH   one more executable of the gateway, to compare two builds; repeatable
  --seconds S           how long a load lasts (1)
  --connections LIST    connections of the echo loads (1,64,512)
  --tunnels N           tunnels of the idle load (5000)
  --frame-bytes N       payload of a frame of the bulk loads (65536)
  --json FILE           every single measurement
  --plot FILE.svg       the medians as bars
  --syscalls            counts system calls instead, with strace
  --instructions        counts instructions outside of the kernel instead, with valgrind
  --units LIST          with --syscalls or --instructions: these units alone (all)
  --gate LIST           with --syscalls or --instructions: fail if a bound of echo-1, echo-64, h2-1, h2-64, bulk, h2-bulk-down,
                        request-1m, request-up-1m, handshake; or of echo, h2-1, h2-64, h2-bulk-down, h2-bulk-up, request,
                        handshake is exceeded
";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) loads: Vec<Load>,
    /// Empty: whatever is found.
    pub(crate) proxies: Vec<String>,
    pub(crate) gateways: Vec<(String, PathBuf)>,
    pub(crate) duration: Duration,
    pub(crate) tunnels: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
    pub(crate) syscalls: bool,
    pub(crate) instructions: bool,
    /// Empty: all.
    pub(crate) units: Vec<String>,
    pub(crate) gates: Vec<String>,
    /// Cargo says so when it runs benches; without it, it runs tests, and there is nothing to test here.
    pub(crate) is_bench: bool,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: 3,
            loads: Vec::new(),
            proxies: Vec::new(),
            gateways: Vec::new(),
            duration: Duration::from_secs(1),
            tunnels: 5000,
            json: None,
            plot: None,
            syscalls: false,
            instructions: false,
            units: Vec::new(),
            gates: Vec::new(),
            is_bench: false,
        };
        let (mut names, mut connections) = (Vec::new(), vec![1, 64, 512]);
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--bench" => options.is_bench = true,
                "--syscalls" => options.syscalls = true,
                "--instructions" => options.instructions = true,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => {
                    let value = arguments
                        .next()
                        .ok_or(format!("{flag} needs a value; see --help"))?;
                    match flag.as_str() {
                        "--loads" => names = list(&value),
                        "--connections" => {
                            connections = list(&value)
                                .iter()
                                .map(|text| number(text))
                                .collect::<Result<_, _>>()?;
                        }
                        _ => options.set(&flag, &value)?,
                    }
                }
            }
        }
        let all = load::all(&connections);
        options.loads = all
            .iter()
            .copied()
            .filter(|load| is_chosen(*load, &names))
            .collect();
        if let Some(unknown) = names
            .iter()
            .find(|name| !all.iter().any(|load| load.name().starts_with(*name)))
        {
            return Err(format!("there is no load {unknown}; see --help"));
        }
        Ok(options)
    }

    /// Whether a unit of this name is counted.
    pub(crate) fn counts(&self, unit: &str) -> bool {
        self.units.is_empty() || self.units.iter().any(|name| name == unit)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--rounds" => self.rounds = number(value)?,
            "--proxies" => self.proxies = list(value),
            "--gateway" => {
                let (name, path) = value.split_once('=').ok_or("--gateway is NAME=PATH")?;
                self.gateways.push((name.to_owned(), path.into()));
            }
            "--seconds" => {
                let seconds: f64 = value.parse().map_err(|_| "--seconds is a number")?;
                self.duration = Duration::try_from_secs_f64(seconds.clamp(0.1, 60.0)).unwrap_or_default();
            }
            "--tunnels" => self.tunnels = number(value)?,
            "--frame-bytes" => match value.parse() {
                Ok(bytes) if (1..=64 << 20).contains(&bytes) => frames::set_bulk_payload(bytes),
                _ => return Err(format!("{value} is not a number from 1 to {}", 64 << 20)),
            },
            "--json" => self.json = Some(value.into()),
            "--plot" => self.plot = Some(value.into()),
            "--units" => self.units = list(value),
            "--gate" => self.gates = list(value),
            _ => return Err(format!("there is no flag {flag}; see --help")),
        }
        Ok(())
    }
}

fn is_chosen(load: Load, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| load.name().starts_with(name.as_str()))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn number(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=100_000).contains(&number) => Ok(number),
        _ => Err(format!("{text} is not a number from 1 to 100000")),
    }
}

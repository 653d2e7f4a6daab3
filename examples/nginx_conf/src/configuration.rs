//! The whole of a configuration: what is said beside `http`, and what stands in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use switchover::route::PathReading;
use switchover::tunnel::Cap;

use super::access_log::{self, LogFiles};
use super::directives::{self, Context};
use super::findings::{Findings, Place};
use super::flags::Flags;
use super::limiting;
use super::limits::Limits;
use super::listen::Address;
use super::location::Surroundings;
use super::measures;
use super::names::{self, Definition, Names};
use super::proxy::Proxy;
use super::proxy_pass::Groups;
use super::scope::{Reading, Scope};
use super::server::{self, Listener};
use super::sources::Sources;
use super::tree::{self, Directive};
use super::upstreams::Upstream;
use super::user;

/// What a configuration comes to.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) workers: usize,
    /// What is to be said of a process that is root without having been told so.
    pub(crate) of_root: Option<String>,
    /// Where relative paths of passwords begin.
    pub(crate) folder: PathBuf,
    /// How long tunnels may go on when the workers are asked to end; none is for as long as they like.
    pub(crate) shutdown: Option<Duration>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) proxies: Vec<Arc<Proxy>>,
    pub(crate) names: Names,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) groups: Groups,
    pub(crate) logs: LogFiles,
    /// The files it was read from, for `-T`.
    pub(crate) sources: Sources,
}

impl Configuration {
    /// Reads a configuration. It is worth something only if the findings do not forbid it.
    pub(crate) fn read(flags: &Flags, findings: &mut Findings) -> Configuration {
        let (all, sources) = tree::read(&flags.file, findings);
        let main = directives::carried_out(&all, Context::Main, findings);
        once(&main, findings);
        let workers = one(&main, "worker_processes").map_or(1, |line| workers(line, findings));
        let mut configuration = Configuration {
            workers,
            of_root: user::look(one(&main, "user"), findings),
            folder: flags.folder().to_owned(),
            shutdown: one(&main, "worker_shutdown_timeout").and_then(|line| shutdown(line, findings)),
            listeners: Vec::new(),
            proxies: Vec::new(),
            names: Names::default(),
            definitions: Vec::new(),
            groups: Groups::default(),
            logs: LogFiles::default(),
            sources,
        };
        let limits = Limits {
            nginx_heads: flags.nginx_defaults,
            nginx_tls: flags.nginx_tls,
            reading: match flags.nginx_paths {
                true => PathReading::Nginx,
                false => PathReading::Unanimous,
            },
            tunnels: one(&main, "events").and_then(|block| tunnels(block, workers, findings)),
            protocols: flags.protocols.clone(),
        };
        match one(&main, "http") {
            Some(http) => configuration.http(http, &limits, flags, findings),
            // What is wrong has been said.
            None if findings.forbid(false) => {}
            None => {
                let file = flags.file.to_string_lossy();
                let place = Place {
                    file: Arc::from(file),
                    line: 1,
                };
                findings.error(&place, "there is no http in it");
            }
        }
        configuration
    }

    fn http(&mut self, http: &Directive, limits: &Limits, flags: &Flags, findings: &mut Findings) {
        let lines = directives::carried_out(http.lines(), Context::Http, findings);
        let of = |wanted: &[&str]| -> Vec<&Directive> {
            let named = |line: &&Directive| wanted.contains(&&*line.name);
            lines.iter().copied().filter(named).collect()
        };
        // Names first: a variable may be used before it is defined.
        let names = Names::of(http.lines());
        self.definitions = names::definitions(&lines, &names, findings);
        let formats = access_log::formats(&of(&["log_format"]), &names, findings);
        let zones = limiting::zones(&of(&["limit_req_zone", "limit_conn_zone"]), &names, findings);
        let mut reading = Reading {
            names: &names,
            zones: &zones,
            formats: &formats,
            findings,
        };
        let scope = Scope::default().within(&lines, &mut reading);
        for block in of(&["upstream"]) {
            let servers = directives::carried_out(block.lines(), Context::Upstream, findings);
            let upstream = Upstream::read(block, &servers, &scope, &names, findings);
            if !self.groups.add(block.first(), upstream) {
                let text = format!("upstream {} is there already", block.first());
                findings.error(&block.place, text);
            }
        }
        let mut around = Surroundings {
            names: &names,
            formats: &formats,
            zones: &zones,
            groups: &mut self.groups,
            limits,
            version: flags.version,
            proxies: &mut self.proxies,
            findings,
            prefix: &flags.prefix,
            folder: flags.folder(),
        };
        self.listeners = server::read(&of(&["server"]), &scope, &mut around);
        self.names = names;
        if self.listeners.is_empty() && !findings.forbid(false) {
            findings.error(&http.place, "there is no server in it");
        }
    }

    /// Whether the port of an address is that of another one too.
    pub(crate) fn shares_a_port(&self, address: &Address) -> bool {
        let others = self.listeners.iter().map(|listener| &listener.address);
        address.port().is_some() && others.filter(|other| other.port() == address.port()).count() > 1
    }

    /// Opens the files of the logs.
    pub(crate) fn open_logs(&mut self, prefix: &Path) -> std::io::Result<()> {
        let servers = self.listeners.iter().flat_map(|listener| listener.servers());
        for server in servers {
            let of_locations = server.locations.all().flat_map(|location| location.logs());
            for log in of_locations.chain(server.own.logs()) {
                let named =
                    |why: std::io::Error| std::io::Error::new(why.kind(), format!("{}: {why}", log.path()));
                self.logs.open(log, prefix).map_err(named)?;
            }
        }
        Ok(())
    }
}

fn one<'a>(lines: &[&'a Directive], name: &str) -> Option<&'a Directive> {
    lines.iter().find(|line| line.name == name).copied()
}

/// Of all that is said beside `http` there is one line, but for logs.
fn once(lines: &[&Directive], findings: &mut Findings) {
    for (index, line) in lines.iter().enumerate() {
        let is_again = lines[..index].iter().any(|before| before.name == line.name);
        if is_again && line.name != "error_log" {
            findings.error(&line.place, format!("{} is there already", line.name));
        }
    }
}

fn workers(line: &Directive, findings: &mut Findings) -> usize {
    let number = match line.first() {
        "auto" => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        number => measures::number(number),
    };
    match number {
        Ok(number @ 1..) => number,
        _ => {
            findings.error(
                &line.place,
                format!("{}: expected auto, or a number above zero", line.shown()),
            );
            1
        }
    }
}

fn shutdown(line: &Directive, findings: &mut Findings) -> Option<Duration> {
    let time = measures::time(line.first());
    time.map_err(|why| findings.error(&line.place, why)).ok()
}

/// A tunnel has two connections.
fn tunnels(block: &Directive, workers: usize, findings: &mut Findings) -> Option<Cap> {
    let lines = directives::carried_out(block.lines(), Context::Events, findings);
    let line = one(&lines, "worker_connections")?;
    match measures::number(line.first()) {
        Ok(connections) => Some(Cap::new(connections.saturating_mul(workers) / 2)),
        Err(why) => {
            findings.error(&line.place, why);
            None
        }
    }
}

//! `--to-rust`: a program on the library that does the same, for what has an equivalent there. What has none is named in a comment;
//! where that may keep somebody out, the location is closed.
//!
//! The frame is the same for every configuration (`frame.txt`, `serving.txt`); the tables of it are made of the lines.

mod guards;
mod listener;
mod location;
mod names;
mod proxy;
mod rules;
mod server;
mod upstream;
mod zones;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::findings::Findings;
use super::flags::Flags;
use super::measures;
use super::tree::{self, Directive};
use zones::Zones;

/// What is the same in every program.
const FRAME: &str = include_str!("frame.txt");

/// How it serves a request.
const SERVING: &str = include_str!("serving.txt");

/// The lines that hold on a level: its own, and those of the outer one whose names it does not have.
#[derive(Clone, Debug, Default)]
pub(super) struct Level<'a>(Vec<&'a Directive>);

impl<'a> Level<'a> {
    pub(super) fn within(&self, lines: &'a [Directive]) -> Level<'a> {
        let is_same = |one: &str, other: &str| match one {
            // They are one list.
            "allow" | "deny" => matches!(other, "allow" | "deny"),
            one => one == other,
        };
        let outer = self.0.iter().copied();
        let kept = outer.filter(|line| !lines.iter().any(|own| is_same(&own.name, &line.name)));
        Level(kept.chain(lines.iter()).collect())
    }

    /// The first line of a name.
    pub(super) fn one(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        let name = name.to_owned();
        let lines: Vec<&Directive> = self.0.iter().copied().filter(|line| line.name == name).collect();
        lines.into_iter()
    }
}

/// The text of a program, as it grows.
#[derive(Debug, Default)]
pub(super) struct Program {
    text: String,
    /// By the name under which locations take them.
    upstreams: BTreeMap<String, String>,
}

/// What stands around a location.
pub(super) struct Around<'a> {
    /// `$server_name`.
    pub(super) server_name: &'a str,
    /// Those of `upstream`.
    pub(super) blocks: &'a [&'a Directive],
    pub(super) zones: &'a Zones,
}

impl Program {
    pub(super) fn line(&mut self, depth: usize, text: &str) {
        for line in text.lines() {
            let depth = if line.is_empty() { 0 } else { depth };
            let _ = writeln!(self.text, "{}{line}", "    ".repeat(depth));
        }
    }

    /// Names a line that is not done, with what the library has in its place.
    pub(super) fn without(&mut self, depth: usize, line: &Directive, why: &str) {
        let lost = names::without(&line.name);
        let text = format!("// {}: {} {lost}{why}", line.place, shown(line));
        self.line(depth, &text);
    }
}

/// A directive on one line, in a comment.
pub(super) fn shown(line: &Directive) -> String {
    commented(&line.shown())
}

/// A text on one line, in a comment.
pub(super) fn commented(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().filter(|sign| !sign.is_control()).take(120).collect()
}

/// A text as a literal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            ' '..='~' => out.push(sign),
            other => out.extend(other.escape_unicode()),
        }
    }
    out + "\""
}

/// `worker_connections`, of which a tunnel has two, for all workers: the cap, as an expression.
fn tunnels(all: &[Directive], program: &mut Program) -> String {
    let workers = all.iter().find(|line| line.name == "worker_processes");
    if let Some(line) = workers.filter(|line| line.first() != "auto") {
        program.line(
            0,
            &format!(
                "// {}: {}, and here a thread for each processor",
                line.place,
                shown(line)
            ),
        );
    }
    let is_auto = workers.is_some_and(|line| line.first() == "auto");
    let workers = workers
        .and_then(|line| line.first().parse::<usize>().ok())
        .unwrap_or(1);
    let events = all.iter().find(|line| line.name == "events");
    let connections = events.iter().flat_map(|events| events.lines());
    let mut connections = connections.filter(|line| line.name == "worker_connections");
    let connections = connections
        .next()
        .and_then(|line| line.first().parse::<usize>().ok());
    match connections {
        Some(connections) if is_auto => {
            format!(
                "Cap::new({connections} * std::thread::available_parallelism().map_or(1, usize::from) / 2)"
            )
        }
        Some(connections) => format!("Cap::new({})", connections.saturating_mul(workers) / 2),
        None => "Cap::unlimited()".to_owned(),
    }
}

/// `worker_shutdown_timeout`, as a constant.
fn shutdown(all: &[Directive]) -> String {
    let line = all.iter().find(|line| line.name == "worker_shutdown_timeout");
    let said = line.and_then(|line| measures::time(line.first()).ok());
    match said.filter(|time| !time.is_zero()) {
        Some(time) => format!(
            "/// `worker_shutdown_timeout`.\nconst SHUTDOWN: Duration = {};",
            upstream::duration(time)
        ),
        None => "/// As nginx without `worker_shutdown_timeout`: as long as it takes.\n\
                 const SHUTDOWN: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);"
            .to_owned(),
    }
}

/// The function that makes what all listeners share.
fn shared(tunnels: &str, zones: &Zones, program: &mut Program) {
    program.line(0, "\npub(crate) fn shared() -> Result<Shared, Failure> {");
    program.line(1, "Ok(Shared {");
    program.line(2, "upstreams: upstreams()?,");
    program.line(2, &format!("tunnels: {tunnels},"));
    program.line(2, &format!("zones: {},", zones.table()));
    program.line(2, "drain: Drain::new(),\nconnections: Cap::unlimited(),");
    program.line(1, "})");
    program.line(0, "}");
}

/// The program of a configuration that has no errors.
pub(super) fn program(flags: &Flags) -> String {
    let (all, _) = tree::read(&flags.file, &mut Findings::default());
    let mut tables = Program::default();
    let file = commented(&flags.file.file_name().unwrap_or_default().to_string_lossy());
    let http = all.iter().find(|line| line.name == "http");
    for line in all.iter().filter(|line| names::is_lost(line)) {
        tables.without(0, line, "");
    }
    let tunnels = tunnels(&all, &mut tables);
    let zones = http.map(Zones::of).unwrap_or_default();
    tables.line(0, &shutdown(&all));
    if let Some(http) = http {
        server::listeners(http, &zones, &mut tables);
    }
    shared(&tunnels, &zones, &mut tables);
    let mut upstreams = Program::default();
    upstream::table(&tables, &mut upstreams);
    format!(
        "//! Written by nginx_conf --to-rust from {file}: what the configuration says, on the crate `switchover`.\n\
         //!\n\
         //! Lines that have no equivalent are named in comments. Locations that such lines may guard are closed.\n\
         //!\n\
         //! ```toml\n\
         //! http = \"1.4\"\n\
         //! http-body-util = \"0.1\"\n\
         //! socket2 = \"0.6\"\n\
         //! switchover = {{ version = \"0.1\", features = [\"http2\", \"hyper\", \"ring\"] }}\n\
         //! tokio = {{ version = \"1.50\", features = [\"macros\", \"net\", \"rt-multi-thread\", \"signal\", \"time\"] }}\n\
         //! tower-service = \"0.3\"\n\
         //! ```\n\
         #![allow(unused_imports, unused_mut, unused_variables, dead_code, reason = \"not every configuration wants all of it\")]\n\n\
         {FRAME}\n{SERVING}\n{}\n{}",
        upstreams.text, tables.text
    )
}

//! `upstream`: what it says of its servers, and which of them the next request goes to.
//!
//! The seam: everything beside this file knows a [`Group`] by [`Group::asking`], which connects for an upgrade and says
//! whom it has asked, and by [`Group::destination`], where an ordinary request goes. What a group was made of is in
//! [`Description`], whole, also what taking turns has no use for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::head::validate_host;
use switchover::service::Destination;
use switchover::tls::{TlsClientConfig, TlsConnect};
use switchover::tunnel::AnyStream;

use super::findings::Findings;
use super::measures;
use super::tree::Directive;

/// A group as the configuration describes it.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) servers: Vec<ServerDescription>,
}

/// A `server` of a group.
#[derive(Clone, Debug)]
pub(crate) struct ServerDescription {
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) weight: usize,
    pub(crate) backup: bool,
    pub(crate) down: bool,
    pub(crate) max_fails: usize,
    pub(crate) fail_timeout: Duration,
}

impl Description {
    /// What `upstream NAME { … }` says.
    pub(crate) fn read(block: &Directive, lines: &[&Directive], findings: &mut Findings) -> Description {
        let mut servers = Vec::new();
        for line in lines {
            match &*line.name {
                "server" => servers.extend(server(line, findings)),
                "least_conn" | "ip_hash" | "hash" | "random" => {
                    let text = format!("{}: the servers take turns here", line.shown());
                    findings.warning(&line.place, text);
                }
                // Connections that are idle are kept anyway.
                _ => {}
            }
        }
        if servers.is_empty() {
            let text = format!("there are no servers in upstream {}", block.first());
            findings.error(&block.place, text);
        }
        Description {
            name: block.first().to_owned(),
            servers,
        }
    }

    /// The one server that a URL names.
    pub(crate) fn of_one(authority: &str) -> Description {
        let server = ServerDescription {
            authority: authority.to_owned(),
            weight: 1,
            backup: false,
            down: false,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
        };
        Description {
            name: authority.to_owned(),
            servers: vec![server],
        }
    }
}

fn server(line: &Directive, findings: &mut Findings) -> Option<ServerDescription> {
    let place = &line.place;
    let Some(authority) = with_port(line.first(), 80) else {
        findings.error(
            place,
            format!("{:?} is not the address of a server", line.first()),
        );
        return None;
    };
    let mut server = Description::of_one(&authority).servers.remove(0);
    for parameter in line.arguments.iter().skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let read = match name {
            "weight" => measures::number(value).map(|weight| server.weight = weight.max(1)),
            "max_fails" => measures::number(value).map(|fails| server.max_fails = fails),
            "fail_timeout" => measures::time(value).map(|time| server.fail_timeout = time),
            "backup" => {
                server.backup = true;
                Ok(())
            }
            "down" => {
                server.down = true;
                Ok(())
            }
            _ => {
                findings.warning(place, format!("{parameter} is not carried out"));
                Ok(())
            }
        };
        if let Err(why) = read {
            findings.error(place, why);
        }
    }
    Some(server)
}

/// A host with its port, or with this one where it has none. None for what is neither.
pub(crate) fn with_port(text: &str, default: u16) -> Option<String> {
    if validate_host(text.as_bytes()).is_err() {
        return None;
    }
    let has_port = matches!(text.rsplit_once(':'), Some((_, port)) if !port.ends_with(']'));
    Some(match has_port {
        true => text.to_owned(),
        false => format!("{text}:{default}"),
    })
}

/// How TLS is spoken with the servers of a group.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: TlsClientConfig,
    /// The name that certificates have to be for; each server's own host where it is not said.
    pub(crate) name: Option<String>,
}

/// Servers that take turns, each as often as its weight says. The next one steps in where a connection fails, the backups
/// last.
#[derive(Debug)]
pub(crate) struct Group {
    /// By turns: a server stands here as often as its weight says.
    turns: Vec<TcpConnect>,
    backups: Vec<TcpConnect>,
    turn: AtomicUsize,
}

impl Group {
    pub(crate) fn new(description: &Description) -> Arc<Group> {
        let up = || description.servers.iter().filter(|server| !server.down);
        let connect = |server: &ServerDescription| TcpConnect::to(&server.authority);
        let regular = up().filter(|server| !server.backup);
        Arc::new(Group {
            turns: regular
                .flat_map(|server| std::iter::repeat_n(connect(server), server.weight))
                .collect(),
            backups: up().filter(|server| server.backup).map(connect).collect(),
            turn: AtomicUsize::new(0),
        })
    }

    /// For one request.
    pub(crate) fn asking<'a>(&'a self, tls: Option<&'a Tls>) -> Asking<'a> {
        Asking {
            group: self,
            tls,
            asked: Mutex::default(),
        }
    }

    /// The server whose turn it is, for an ordinary request. None where all are down.
    pub(crate) fn destination(&self, tls: Option<&Tls>) -> Option<(Destination, String)> {
        let server = self.in_turn().first()?.name().to_owned();
        let destination = Destination::new(server.parse().ok()?);
        match tls {
            None => Some((destination, server)),
            Some(_) => Some((destination.over_tls(), server)),
        }
    }

    /// The servers in the order in which they are tried now, each once.
    fn in_turn(&self) -> Vec<&TcpConnect> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.turns.len().max(1);
        let (before, after) = self.turns.split_at(first.min(self.turns.len()));
        let mut servers: Vec<&TcpConnect> = Vec::new();
        for server in after.iter().chain(before).chain(&self.backups) {
            if !servers.iter().any(|other| other.name() == server.name()) {
                servers.push(server);
            }
        }
        servers
    }
}

/// Connects for one request, and remembers to whom.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    group: &'a Group,
    tls: Option<&'a Tls>,
    asked: Mutex<Vec<String>>,
}

impl Asking<'_> {
    fn note(&self, server: &TcpConnect) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(server.name().to_owned());
    }

    /// The servers that were asked, in order; the last of them is the one that has answered, if any has.
    pub(crate) fn servers(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.join(", ")
    }
}

impl Connect for Asking<'_> {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        let mut failed = ConnectError::NoUpstream;
        for server in self.group.in_turn() {
            self.note(server);
            let connected = match self.tls {
                None => server.connect(request).await.map(AnyStream::from),
                Some(tls) => Box::pin(secured(server, tls, request)).await,
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

async fn secured(
    server: &TcpConnect,
    tls: &Tls,
    request: ConnectRequest<'_>,
) -> Result<AnyStream, ConnectError> {
    let host = server.name().rsplit_once(':').map_or("", |(host, _)| host);
    let name = tls.name.as_deref().unwrap_or(host);
    let unsuited = |error| ConnectError::Unsuited(Box::new(error));
    let connect = TlsConnect::new(server.clone(), name, tls.config.clone()).map_err(unsuited)?;
    connect.connect(request).await.map(AnyStream::new)
}

//! `server` of an `upstream`: where it is, and how much of the requests it gets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::http1::validate_host;
use switchover::tunnel::AnyStream;
use switchover::upstream::{Builder, Server};
use tokio::net::{TcpSocket, UnixStream};

use super::findings::Findings;
use super::measures;
use super::resolver::Resolver;
use super::tree::Directive;
use super::tries;

/// After this time a name is asked again where its servers are.
const RESOLVED_EVERY: Duration = Duration::from_secs(30);

/// After this time a resolver is asked again, which remembers what it has found for as long as that holds.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// The addresses of a name with a port.
async fn looked_up(resolver: Arc<Resolver>, name: String, limit: Duration) -> io::Result<Vec<SocketAddr>> {
    let wrong = || io::Error::other(format!("{name} has no port"));
    let (host, port) = name.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let found = resolver.addresses(host, limit).await;
    let found = found.map_err(|why| io::Error::other(format!("{host} could not be resolved: {why}")))?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// A server, as it is connected to.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Tcp(TcpConnect),
    Unix(Arc<Path>),
}

impl Peer {
    pub(crate) fn name(&self) -> String {
        match self {
            Peer::Tcp(connect) => connect.name().to_owned(),
            Peer::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl Peer {
    /// From an address of this host.
    async fn connect_from(&self, from: SocketAddr) -> Result<AnyStream, ConnectError> {
        let failed = |source| ConnectError::Failed {
            name: self.name(),
            error: source,
        };
        let connecting = async {
            let addresses = tokio::net::lookup_host(self.name()).await?;
            let mut fitting = addresses.filter(|address| address.is_ipv4() == from.is_ipv4());
            let to = fitting.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            let socket = match from.ip() {
                IpAddr::V4(_) => TcpSocket::new_v4()?,
                IpAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // As nginx: a port that was used a moment ago may be used again.
            socket.set_reuseaddr(from.port() != 0)?;
            socket.bind(from)?;
            let stream = socket.connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        connecting.await.map(AnyStream::from).map_err(failed)
    }
}

impl Connect for Peer {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        match self {
            Peer::Tcp(connect) => match tries::bound() {
                None => connect.connect(request).await.map(AnyStream::from),
                Some(from) => Box::pin(self.connect_from(from)).await,
            },
            Peer::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                let failed = |source| ConnectError::Failed {
                    name: self.name(),
                    error: source,
                };
                stream.map(AnyStream::from).map_err(failed)
            }
        }
    }
}

/// Where a `server` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    At(SocketAddr),
    /// A name and a port.
    Named(String),
    Unix(Arc<Path>),
}

impl Address {
    pub(crate) fn read(text: &str, default_port: u16) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(Address::Unix(Arc::from(Path::new(path)))).filter(|_| !path.is_empty());
        }
        let authority = with_port(text, default_port)?;
        Some(match authority.parse() {
            Ok(address) => Address::At(address),
            Err(_) => Address::Named(authority),
        })
    }
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

/// A `server` line.
#[derive(Clone, Debug)]
pub(crate) struct OneServer {
    address: Address,
    /// As its line calls it.
    pub(crate) written: String,
    weight: u32,
    max_conns: Option<usize>,
    max_fails: u32,
    fail_timeout: Duration,
    backup: bool,
    pub(crate) down: bool,
    /// By what `sticky` knows it.
    pub(crate) route: Option<String>,
    /// `resolve`: asked where its name is while this is served, and not only at the start.
    pub(crate) is_resolved: bool,
    /// `resolver` of its group, of whom it is asked, and for how long; the system where there is none.
    pub(crate) resolver: Option<(Arc<Resolver>, Duration)>,
}

impl OneServer {
    pub(crate) fn at(address: Address) -> OneServer {
        OneServer {
            address,
            written: String::new(),
            weight: 1,
            max_conns: None,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            backup: false,
            down: false,
            route: None,
            is_resolved: false,
            resolver: None,
        }
    }

    /// Whatever fails there, it is asked again.
    pub(crate) fn never_out(self) -> OneServer {
        OneServer { max_fails: 0, ..self }
    }

    pub(crate) fn read(line: &Directive, has_backups: bool, findings: &mut Findings) -> Option<OneServer> {
        let place = &line.place;
        let Some(address) = Address::read(line.first(), 80) else {
            let text = format!("{:?} is not the address of a server", line.first());
            findings.error(place, text);
            return None;
        };
        let mut server = OneServer::at(address);
        line.first().clone_into(&mut server.written);
        for parameter in line.arguments.iter().skip(1) {
            if let Err(why) = server.parameter(parameter, has_backups, line, findings) {
                findings.error(place, format!("{}: {why}", line.shown()));
            }
        }
        Some(server)
    }

    fn parameter(
        &mut self,
        parameter: &str,
        has_backups: bool,
        line: &Directive,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let place = &line.place;
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let small = |value| measures::number(value).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        match name {
            "weight" => match small(value)? {
                0 => return Err("a weight is at least 1".to_owned()),
                weight => self.weight = weight,
            },
            "max_fails" => self.max_fails = small(value)?,
            "fail_timeout" => self.fail_timeout = measures::time(value)?,
            "max_conns" => {
                // No limit is written as 0.
                self.max_conns = Some(measures::number(value)?).filter(|limit| *limit > 0);
            }
            "backup" if has_backups => self.backup = true,
            "backup" => return Err("the rule above has no backups".to_owned()),
            "down" => self.down = true,
            // Without a resolver of the group, the system is asked in any case.
            "resolve" => self.is_resolved = true,
            "service" => {
                let text =
                    format!("{parameter} is not carried out: SRV records are not looked up, only addresses");
                findings.warning(place, text);
            }
            "route" | "sid" if !value.is_empty() => self.route = Some(value.to_owned()),
            "drain" | "slow_start" => {
                findings.warning(place, format!("{parameter} is not carried out"));
            }
            _ => return Err(format!("there is no parameter {parameter}")),
        }
        Ok(())
    }

    /// Whether it has to be looked up.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.address, Address::Named(_))
    }

    /// What its group calls it: the name of the one server, or that of the source of several.
    pub(crate) fn name(&self) -> String {
        match &self.address {
            Address::At(address) => address.to_string(),
            Address::Named(name) => name.clone(),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    pub(crate) fn added_to(self, group: Builder<Peer>) -> Builder<Peer> {
        match self.address.clone() {
            Address::At(address) => group.server(self.server_at(address)),
            Address::Unix(path) => group.server(self.server(self.name(), Peer::Unix(path))),
            // As nginx does: each address of a name is a server.
            Address::Named(name) => match self.resolver.clone() {
                None => group.resolve(name, RESOLVED_EVERY, move |address| self.server_at(address)),
                Some((resolver, limit)) => {
                    let asked = name.clone();
                    let find = move || looked_up(resolver.clone(), asked.clone(), limit);
                    group.discover(name, find, ASKED_EVERY, move |address| self.server_at(address))
                }
            },
        }
    }

    fn server_at(&self, address: SocketAddr) -> Server<Peer> {
        let name = address.to_string();
        self.server(name.clone(), Peer::Tcp(TcpConnect::to(name)))
    }

    fn server(&self, name: String, peer: Peer) -> Server<Peer> {
        let server = Server::new(name, peer)
            .weight(self.weight)
            .max_fails(self.max_fails)
            .fail_timeout(self.fail_timeout)
            .keep_failures()
            // Not longer each time.
            .max_ejection(self.fail_timeout);
        let server = match self.max_conns {
            Some(limit) => server.max_tunnels(limit),
            None => server,
        };
        match self.backup {
            true => server.backup(),
            false => server,
        }
    }
}

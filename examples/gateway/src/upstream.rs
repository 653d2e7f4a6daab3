//! Where a route leads: a group of servers, each over plain TCP, TLS or a Unix socket, with or without a PROXY protocol header.

use std::io;

use switchover::connect::{
    AnyConnect, Connect, ConnectError, ConnectRequest, Pooling, TcpConnect, UnixConnect,
};
use switchover::header::{Forwarding, HeaderRules};
use switchover::proxy_protocol::{ProxyProtocolConnect, Version};
use switchover::route::RoutePattern;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::tls::{TlsClientConfig, TlsConnect};
use switchover::tunnel::AnyStream;
use switchover::upstream::{self, Evacuation, Group};

use super::flags::Flags;
use super::target::{Address, ServerUrl, Share, Target};

/// Where a route leads.
pub(crate) struct Upstream {
    /// Its number among all: each worker has a relay for it.
    pub(crate) index: usize,
    /// The pattern of the route.
    pub(crate) pattern: String,
    pub(crate) group: Group<Server>,
    /// What replaces the matched prefix.
    pub(crate) path: Option<String>,
    /// What an origin is sent beside the client's own fields.
    pub(crate) forwarding: Forwarding,
    /// The rules among it, if there are any.
    pub(crate) rules: Option<HeaderRules>,
    /// For clients that speak HTTP/2.
    pub(crate) upgrades: UpgradeService<Group<Server>>,
}

impl Upstream {
    pub(crate) fn new(
        index: usize,
        pattern: &RoutePattern,
        target: Target,
        flags: &Flags,
        tls: Option<&TlsClientConfig>,
        service: &ServiceConfig,
        evacuation: Option<Evacuation>,
    ) -> io::Result<Self> {
        let rules = flags.header_rules.clone().upstream(&target.host());
        let mut group = Group::builder()
            .name(pattern.to_string())
            .evacuation(evacuation)
            .balance(flags.balance.clone());
        for url in target.servers {
            let access = Access::new(&url, flags, tls)?;
            let (name, share) = (url.address.to_string(), url.share);
            group = match (url.address, share.resolve) {
                (Address::Unix(path), _) => group.server(sharing(&name, access.to_socket(path), share)),
                (Address::Tcp(_), None) => group.server(sharing(&name, access.to(&name), share)),
                (Address::Tcp(_), Some(every)) => group.resolve(name, every, move |address| {
                    let address = address.to_string();
                    sharing(&address, access.to(&address), share)
                }),
            };
        }
        let group = group.build();
        let forwarding = Forwarding::default().header_rules(rules.clone());
        let service = service.clone().forwarding(forwarding.clone());
        let upgrades = UpgradeService::new(group.clone()).config(service);
        Ok(Upstream {
            forwarding,
            rules: Some(rules).filter(|_| flags.header_rules != HeaderRules::default()),
            index,
            pattern: pattern.to_string(),
            group,
            path: target.path,
            upgrades,
        })
    }
}

impl Upstream {
    /// Whether there is anything to do for its group where nobody asks it for anything.
    pub(crate) fn is_maintained(&self, flags: &Flags) -> bool {
        flags.evacuates() || !self.group.sources().is_empty()
    }
}

/// How one server is connected to.
pub(crate) enum Server {
    Plain(TcpConnect),
    PlainProxied(ProxyProtocolConnect<TcpConnect>),
    Tls(TlsConnect),
    TlsProxied(TlsConnect<ProxyProtocolConnect<TcpConnect>>),
    Unix(AnyConnect),
}

/// How the servers of a URL are connected to, whatever their addresses.
struct Access {
    tls: Option<TlsConnect>,
    proxied: Option<Version>,
}

impl Access {
    fn new(url: &ServerUrl, flags: &Flags, tls: Option<&TlsClientConfig>) -> io::Result<Self> {
        let authority = url.address.to_string();
        let tls = tls.filter(|_| url.tls).cloned();
        let tls = tls.map(|tls| TlsConnect::to(&authority, tls)).transpose();
        Ok(Access {
            tls: tls.map_err(|error| io::Error::other(format!("--route to https://{authority}: {error}")))?,
            proxied: flags.send_proxy_protocol,
        })
    }

    fn to_socket(&self, path: String) -> Server {
        let socket = UnixConnect::to(path);
        Server::Unix(match self.proxied {
            None => AnyConnect::new(socket),
            Some(version) => AnyConnect::new(ProxyProtocolConnect::new(socket, version)),
        })
    }

    fn to(&self, address: &str) -> Server {
        let tcp = TcpConnect::to(address);
        match (&self.tls, self.proxied) {
            (None, None) => Server::Plain(tcp),
            (None, Some(version)) => Server::PlainProxied(ProxyProtocolConnect::new(tcp, version)),
            (Some(tls), None) => Server::Tls(tls.over(tcp)),
            (Some(tls), Some(version)) => {
                Server::TlsProxied(tls.over(ProxyProtocolConnect::new(tcp, version)))
            }
        }
    }
}

/// A server with its share of the requests.
fn sharing(name: &str, connect: Server, share: Share) -> upstream::Server<Server> {
    let mut server = upstream::Server::new(name, connect).weight(share.weight);
    if let Some(limit) = share.max_tunnels {
        server = server.max_tunnels(limit);
    }
    if share.backup {
        server = server.backup();
    }
    server
}

impl Connect for Server {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        match self {
            Server::Plain(connect) => connect.connect(request).await.map(AnyStream::from),
            // Boxed: connecting in plain text must not cost what these do.
            Server::PlainProxied(connect) => Box::pin(connect.connect(request)).await.map(AnyStream::from),
            Server::Tls(connect) => Box::pin(connect.connect(request)).await.map(AnyStream::new),
            Server::TlsProxied(connect) => Box::pin(connect.connect(request)).await.map(AnyStream::new),
            Server::Unix(connect) => connect.connect(request).await,
        }
    }

    fn pooling(&self) -> Pooling {
        match self {
            Server::Plain(connect) => connect.pooling(),
            Server::PlainProxied(connect) => connect.pooling(),
            Server::Tls(connect) => connect.pooling(),
            Server::TlsProxied(connect) => connect.pooling(),
            Server::Unix(connect) => connect.pooling(),
        }
    }
}

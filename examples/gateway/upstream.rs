//! Where a route leads: a group of servers, each over plain TCP or TLS, with or without a PROXY protocol header.

use std::io;

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::proxied::ProxyProtocolConnect;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::tls::{TlsClientConfig, TlsConnect};
use switchover::tunnel::AnyStream;
use switchover::upstream::{self, Group};

use super::flags::Flags;
use super::target::{ServerUrl, Target};

/// Where a route leads.
pub(crate) struct Upstream {
    /// Its number among all: each worker has a relay for it.
    pub(crate) index: usize,
    pub(crate) group: Group<Server>,
    /// What replaces the matched prefix.
    pub(crate) path: Option<String>,
    /// For clients that speak HTTP/2.
    pub(crate) upgrades: UpgradeService<Group<Server>>,
}

impl Upstream {
    pub(crate) fn new(
        index: usize,
        target: Target,
        flags: &Flags,
        tls: Option<&TlsClientConfig>,
        service: &ServiceConfig,
    ) -> io::Result<Self> {
        let mut group = Group::builder().balance(flags.balance.clone());
        for url in &target.servers {
            let connect = Server::new(url, flags, tls)?;
            let mut server = upstream::Server::new(url.authority.as_str(), connect).weight(url.share.weight);
            if let Some(limit) = url.share.max_tunnels {
                server = server.max_tunnels(limit);
            }
            if url.share.backup {
                server = server.backup();
            }
            group = group.server(server);
        }
        let group = group.build();
        let upgrades = UpgradeService::new(group.clone()).config(service.clone());
        Ok(Upstream {
            index,
            group,
            path: target.path,
            upgrades,
        })
    }
}

/// How one server is connected to.
pub(crate) enum Server {
    Plain(TcpConnect),
    PlainProxied(ProxyProtocolConnect<TcpConnect>),
    Tls(TlsConnect),
    TlsProxied(TlsConnect<ProxyProtocolConnect<TcpConnect>>),
}

impl Server {
    fn new(url: &ServerUrl, flags: &Flags, tls: Option<&TlsClientConfig>) -> io::Result<Self> {
        let authority = url.authority.as_str();
        let tcp = TcpConnect::to(authority);
        let proxied = flags
            .send_proxy_protocol
            .map(|version| ProxyProtocolConnect::new(tcp.clone(), version));
        let named = |error| io::Error::other(format!("--route to https://{authority}: {error}"));
        match (tls.filter(|_| url.tls).cloned(), proxied) {
            (None, None) => Ok(Server::Plain(tcp)),
            (None, Some(proxied)) => Ok(Server::PlainProxied(proxied)),
            (Some(tls), None) => TlsConnect::to(authority, tls).map(Server::Tls).map_err(named),
            (Some(tls), Some(proxied)) => TlsConnect::new(proxied, url.authority.host(), tls)
                .map(Server::TlsProxied)
                .map_err(named),
        }
    }
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
        }
    }

    fn is_uniform(&self) -> bool {
        match self {
            Server::Plain(connect) => connect.is_uniform(),
            Server::PlainProxied(connect) => connect.is_uniform(),
            Server::Tls(connect) => connect.is_uniform(),
            Server::TlsProxied(connect) => connect.is_uniform(),
        }
    }
}

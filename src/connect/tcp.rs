//! How a host and port become a TCP connection: resolved for each connection, all addresses tried, none of them for too long
//! alone.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::dial::dial;
use super::{AddressError, Connect, ConnectError, ConnectRequest, Pooling, Shortage, address, staggered};

/// Connects over TCP, with `TCP_NODELAY` set: a tunnel carries messages, and must not hold one back for the next.
///
/// A name is resolved for each connection. Its addresses are tried in turn, IPv6 and IPv4 alternating; each has 250
/// milliseconds before the next is tried beside it, and the first to accept is taken (RFC 8305). A name that resolves no
/// longer is an error from the next connection on. A literal address is not resolved at all.
///
/// An address that a person has written is parsed: `"chat.internal:9000".parse::<TcpConnect>()`.
///
/// A source address, options of the socket, and a resolver of the caller's belong to the connector, wherever it goes: into a
/// [`Server`](crate::upstream::Server), into TLS, into an [`AnyConnect`](super::AnyConnect), or out of a
/// [`UrlConnector`](crate::upstream::UrlConnector). The [manual](crate::manual::recipes) has an example of each.
#[derive(Clone)]
pub struct TcpConnect {
    name: Arc<str>,
    address: Option<SocketAddr>,
    // Boxed: most connectors have none.
    options: Option<Arc<Options>>,
}

/// How its sockets differ from others.
#[derive(Clone, Default)]
struct Options {
    /// At most one of each family.
    sources: Vec<IpAddr>,
    socket: Option<Arc<OnSocket>>,
    resolver: Option<Arc<Resolver>>,
}

type OnSocket = dyn Fn(&TcpSocket) -> io::Result<()> + Send + Sync;
type Resolver = dyn Fn(&str) -> Resolving + Send + Sync;
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

impl FromStr for TcpConnect {
    type Err = AddressError;

    fn from_str(name: &str) -> Result<Self, AddressError> {
        Ok(TcpConnect {
            address: address::check(name)?,
            name: Arc::from(name),
            options: None,
        })
    }
}

impl TcpConnect {
    /// To a host and port: `127.0.0.1:9000`, `[::1]:9000`, `chat.internal:9000`.
    ///
    /// # Panics
    ///
    /// If this is no host and port: a URL, a path, a name without a port. What is not written in the program is parsed
    /// instead ([`FromStr`]), which is an [`AddressError`] then.
    #[track_caller]
    pub fn to(name: impl AsRef<str>) -> Self {
        match name.as_ref().parse() {
            Ok(connect) => connect,
            Err(error) => panic!("TcpConnect::to: {error}"),
        }
    }

    /// Connects from this address of the host, instead of one that the system chooses. Called again with an address of the other
    /// family, adds to it: each is used for upstream addresses of its own family. Default: the system chooses.
    ///
    /// Upstream addresses of a family for which there is none are connected to as before. Danger: an address that the host does
    /// not have is [`Shortage::LocalAddress`] for each connection. So is a source address without a free port: each of its
    /// connections has a port that no other has, whatever the upstream, of 28,232 on Linux
    /// (`net.ipv4.ip_local_port_range`).
    #[must_use]
    pub fn local_address(self, source: IpAddr) -> Self {
        self.with(|options| {
            options
                .sources
                .retain(|other| other.is_ipv4() != source.is_ipv4());
            options.sources.push(source);
        })
    }

    /// Calls this for each socket before it is bound and connects: for options such as a mark, a device, or keep-alive. It must not
    /// block. Default: nothing is called.
    ///
    /// # Errors
    ///
    /// An error of it is [`ConnectError::Socket`]. It says nothing about the upstream: no other is tried, and none is ejected.
    ///
    /// ```
    /// use switchover::TcpConnect;
    ///
    /// let connect = TcpConnect::to("chat.internal:9000").on_socket(|socket| {
    ///     socket.set_keepalive(true)?;
    ///     socket.set_send_buffer_size(256 * 1024)
    /// });
    /// ```
    #[must_use]
    pub fn on_socket(self, prepare: impl Fn(&TcpSocket) -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.with(|options| options.socket = Some(Arc::new(prepare)))
    }

    /// Resolves names by this instead of the system's resolver. It receives host and port as configured, and is called for each
    /// connection: what it keeps, and for how long, is its own decision. A literal address is not resolved. Default: the system's.
    ///
    /// The addresses are tried as those of the system are, each with its head start. The time for connecting includes the
    /// resolver's: at the deadline its future is dropped.
    ///
    /// # Errors
    ///
    /// An error of it, or no address, is [`ConnectError::Resolve`].
    ///
    /// ```
    /// use std::io;
    /// use std::net::SocketAddr;
    /// use switchover::TcpConnect;
    ///
    /// let connect = TcpConnect::to("chat.internal:9000").resolver(|name| {
    ///     let name = name.to_owned();
    ///     async move {
    ///         println!("resolving {name}");
    ///         io::Result::Ok(vec![SocketAddr::from(([10, 0, 0, 7], 9000))])
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn resolver<F, Fut>(self, resolve: F) -> Self
    where
        F: Fn(&str) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.with(|options| options.resolver = Some(Arc::new(move |name| Box::pin(resolve(name)))))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(self.options.get_or_insert_default()));
        self
    }

    /// Host and port as given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects, whatever the request.
    ///
    /// # Errors
    ///
    /// The name does not resolve, or no address accepts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the attempt.
    pub async fn stream(&self) -> Result<TcpStream, ConnectError> {
        let connected = match (self.address, &self.options) {
            (Some(address), None) => dial(address).await,
            // Boxed: a literal address must not cost what these do.
            (Some(address), Some(options)) => Box::pin(options.connect(address)).await,
            (None, _) => Box::pin(self.resolved()).await?,
        };
        let connected = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        connected.map_err(|error| {
            let name = self.name.to_string();
            match error.downcast::<Unprepared>() {
                Ok(Unprepared(error)) => ConnectError::Socket { name, error },
                Err(error) => ConnectError::Failed { name, error },
            }
        })
    }

    async fn resolved(&self) -> Result<io::Result<TcpStream>, ConnectError> {
        let resolver = self
            .options
            .as_ref()
            .and_then(|options| options.resolver.as_ref());
        let addresses = match resolver {
            None => resolve(&self.name).await?,
            Some(resolver) => resolved(&self.name, resolver(&self.name).await)?,
        };
        let connect = |address| async move {
            match &self.options {
                None => dial(address).await,
                Some(options) => options.connect(address).await,
            }
        };
        Ok(match addresses[..] {
            [address] => connect(address).await,
            _ => staggered::connect(addresses, connect).await,
        })
    }
}

impl Options {
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        self.prepare(&socket, address).map_err(Unprepared::wrap)?;
        socket.connect(address).await
    }

    fn prepare(&self, socket: &TcpSocket, address: SocketAddr) -> io::Result<()> {
        if let Some(prepare) = &self.socket {
            prepare(socket)?;
        }
        let mut sources = self.sources.iter();
        match sources.find(|source| source.is_ipv4() == address.is_ipv4()) {
            Some(source) => socket.bind(SocketAddr::new(*source, 0)),
            None => Ok(()),
        }
    }
}

/// What the caller's settings of a socket have failed with, on its way past what the upstream does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unprepared(io::Error);

impl Unprepared {
    /// A shortage of this host is distinguished from the settings by its error, and keeps it.
    fn wrap(error: io::Error) -> io::Error {
        match Shortage::of(&error) {
            Some(_) => error,
            None => io::Error::other(Unprepared(error)),
        }
    }
}

/// The addresses of a host and port, by the system's resolver: one at least.
pub(crate) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = lookup_host(name).await;
    resolved(name, found.map(Iterator::collect))
}

fn resolved(name: &str, found: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = found.and_then(|addresses| match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(addresses),
    });
    found.map_err(|source| ConnectError::Resolve {
        name: name.to_owned(),
        error: Shortage::behind(source),
    })
}

impl Connect for TcpConnect {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.stream().await
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }

    fn authority(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl fmt::Debug for TcpConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpConnect").field(&self.name).finish()
    }
}

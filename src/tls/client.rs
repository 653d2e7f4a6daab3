//! A connection to an upstream is not used before the upstream has proved the name that was asked for and agreed to the protocol.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;

use super::failure::{NoCommonProtocol, TlsFailure};
use super::stream::shake_hands;
use super::{ClientStream, HTTP_1_1, HTTP_2, TlsClientConfig, TlsConfigError};
use crate::connect::{Connect, ConnectError, ConnectRequest, PoolKey, Pooling, TcpConnect};

/// Connects with another connector, and speaks TLS on the connection.
///
/// The caller's deadline for connecting covers the handshake too.
///
/// ```
/// use switchover::connect::TcpConnect;
/// use switchover::tls::{TlsClientConfig, TlsConnect};
///
/// # fn doc(tls: TlsClientConfig) -> Result<(), switchover::tls::TlsConfigError> {
/// // The name of the certificate is the host connected to...
/// let connect = TlsConnect::to("chat.example:443", tls.clone())?;
/// // ... unless it is said to be another.
/// let connect = TlsConnect::new(TcpConnect::to("10.0.0.7:8443"), "chat.example", tls)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConnect<C = TcpConnect> {
    connect: C,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    protocol: &'static [u8],
}

impl TlsConnect<TcpConnect> {
    /// To a host and port, as [`TcpConnect::to`]: `chat.example:443`, `[::1]:8443`. The certificate has to be for the
    /// host.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::Address`]: it is no host and port, but a URL, for example. [`TlsConfigError::Name`]: the host is neither a name
    /// nor an address.
    pub fn to(authority: impl AsRef<str>, config: TlsClientConfig) -> Result<Self, TlsConfigError> {
        let authority = authority.as_ref();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        TlsConnect::new(authority.parse::<TcpConnect>()?, host, config)
    }

    /// Connects, whatever the request.
    ///
    /// # Errors
    ///
    /// As [`TcpConnect::stream`], and [`ConnectError::Tls`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the attempt.
    pub async fn stream(&self) -> Result<ClientStream<TcpStream>, ConnectError> {
        self.handshake(self.connect.stream().await?).await
    }
}

impl<C> TlsConnect<C> {
    /// Over the connections that another connector makes. `name` is what the upstream is asked for (SNI) and what its
    /// certificate has to be for: a host name, or an IP address, in brackets or not.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::Name`]: the name is neither of them.
    pub fn new(connect: C, name: impl AsRef<str>, config: TlsClientConfig) -> Result<Self, TlsConfigError> {
        let name = name.as_ref();
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let invalid = |_| TlsConfigError::Name {
            name: name.to_owned(),
        };
        Ok(TlsConnect {
            connect,
            name: ServerName::try_from(bare.to_owned()).map_err(invalid)?,
            config: config.asking(HTTP_1_1),
            protocol: HTTP_1_1,
        })
    }

    /// The same, over the connections of another connector: for servers at several addresses that share a name.
    #[must_use]
    pub fn over<D>(&self, connect: D) -> TlsConnect<D> {
        TlsConnect {
            connect,
            name: self.name.clone(),
            config: self.config.clone(),
            protocol: self.protocol,
        }
    }

    /// Asks for HTTP/2 by ALPN, and for nothing else: an upstream that does not agree to it is an error. Default:
    /// HTTP/1.1, which an upstream without ALPN has agreed to as well.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.protocol = HTTP_2;
        Arc::make_mut(&mut self.config).alpn_protocols = vec![HTTP_2.to_vec()];
        self
    }

    async fn handshake<S>(&self, mut stream: S) -> Result<ClientStream<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connection = UnbufferedClientConnection::new(self.config.clone(), self.name.clone());
        let connection = connection.map_err(|error| self.failed(io::Error::other(error)))?;
        // Boxed: it is ten times as large as anything beside it, and gone after the handshake.
        let shaking = Box::pin(shake_hands(&mut stream, connection, BytesMut::new()));
        let established = shaking.await.map_err(|error| self.failed(error))?;
        let stream = ClientStream::new(stream, established);
        let agreed = stream.get_ref().1.alpn_protocol();
        match agreed {
            Some(agreed) if agreed == self.protocol => Ok(stream),
            None if self.protocol == HTTP_1_1 => Ok(stream),
            agreed => {
                let (asked, agreed) = (self.protocol, agreed.map(<[u8]>::to_vec));
                Err(self.failed(io::Error::other(NoCommonProtocol { asked, agreed })))
            }
        }
    }

    fn failed(&self, source: io::Error) -> ConnectError {
        ConnectError::Tls {
            name: self.name.to_str().into_owned(),
            hint: TlsFailure::of_handshake(&source).hint(),
            error: source,
        }
    }
}

impl<C: fmt::Debug> fmt::Debug for TlsConnect<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnect")
            .field("connect", &self.connect)
            .field("name", &self.name)
            .field("protocol", &self.protocol.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

impl<C: Connect> Connect for TlsConnect<C> {
    type Stream = ClientStream<C::Stream>;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Self::Stream, ConnectError> {
        self.handshake(self.connect.connect(request).await?).await
    }

    fn pooling(&self) -> Pooling {
        self.connect.pooling()
    }

    fn authority(&self) -> Option<&str> {
        self.connect.authority()
    }

    async fn pool_key(&self, request: ConnectRequest<'_>) -> Option<PoolKey> {
        self.connect.pool_key(request).await
    }
}

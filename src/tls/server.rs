//! A client completes its handshake within the deadline, or is sent the reason. A client that speaks plain HTTP is answered in plain
//! HTTP.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::server::{Accepted, ClientHello, UnbufferedServerConnection};

use super::stream::{Established, read_hello, shake_hands};
use super::{ServerStream, TlsFailure, TlsServerConfig};
use crate::clock::After;
use crate::token;
use crate::wire;

/// How long a client may take to receive the reason of a refusal.
const LAST_WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The answer to a client that speaks plain HTTP (RFC 9110, section 15.5.1).
const SPEAKS_TLS: &str = "This port speaks TLS.\nUse https:// or wss:// for it.\n";

/// Does the TLS handshake with clients. Cheap to clone.
///
/// The module has an [example](crate::tls).
#[derive(Clone)]
pub struct TlsAcceptor {
    configs: Configs,
    handshake_timeout: Duration,
}

/// The configuration, or what chooses it.
#[derive(Clone)]
enum Configs {
    One(TlsServerConfig),
    ByHello(Arc<Choose>),
}

type Choose = dyn Fn(&ClientHello<'_>) -> Option<TlsServerConfig> + Send + Sync;

/// A fatal alert: `unrecognized_name` (RFC 6066, section 3), as it stands on the wire before any key is agreed on.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why a client's connection has not come to speak TLS. The reason was sent, as far as it can be, and the connection is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsAcceptError {
    /// The handshake was not done within the deadline.
    #[error("no TLS handshake within {0:?}")]
    TimedOut(Duration),
    /// The client speaks plain HTTP. It has been answered 400.
    #[error("plain HTTP on a port that speaks TLS. The client should use https:// or wss://")]
    PlainHttp,
    /// The client has closed its connection before it has said anything. Nothing is wrong with that.
    #[error("closed without a byte")]
    Closed,
    /// There is no configuration for the client's hello ([`TlsAcceptor::by_client_hello`]). It has been sent the alert.
    #[error(
        "no TLS for the server name in the client's hello. The client should ask for a name that is served here"
    )]
    UnknownName,
    /// The handshake has failed. [`TlsFailure::of_handshake`] distinguishes the kinds.
    #[error("the TLS handshake has failed: {error}. {hint}")]
    Handshake {
        /// What rustls said, or the stream.
        error: io::Error,
        /// What to change: [`TlsFailure::hint`].
        hint: &'static str,
    },
}

impl TlsAcceptError {
    /// In a word, for logs and metrics: `timed-out`, `plain-http`, `closed`, `unknown-name`, `handshake`. None of them changes in a minor
    /// version.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            TlsAcceptError::TimedOut(_) => "timed-out",
            TlsAcceptError::PlainHttp => "plain-http",
            TlsAcceptError::Closed => "closed",
            TlsAcceptError::UnknownName => "unknown-name",
            TlsAcceptError::Handshake { .. } => "handshake",
        }
    }
}

impl TlsAcceptor {
    /// An acceptor with this configuration.
    #[must_use]
    pub fn new(config: TlsServerConfig) -> Self {
        Self::with(Configs::One(config))
    }

    /// An acceptor whose configuration is chosen for each client by its hello, by the server name in it for example: with
    /// certificates and roots of clients of each name's own. Where none is chosen, the handshake is refused by the alert
    /// `unrecognized_name` (RFC 6066, section 3).
    ///
    /// A client with a session of one configuration is not known to another. The name in the hello is what the client says: that
    /// a request is for the same name is the caller's to check, where a configuration keeps anyone out (RFC 9110, section
    /// 15.5.20).
    ///
    /// ```
    /// use switchover::tls::{TlsAcceptor, TlsServerConfig};
    ///
    /// # fn doc(everyone: TlsServerConfig, members: TlsServerConfig) {
    /// let acceptor = TlsAcceptor::by_client_hello(move |hello| match hello.server_name() {
    ///     Some("members.example") => Some(members.clone()),
    ///     Some("chat.example") => Some(everyone.clone()),
    ///     _ => None,
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn by_client_hello(
        choose: impl Fn(&ClientHello<'_>) -> Option<TlsServerConfig> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Configs::ByHello(Arc::new(choose)))
    }

    fn with(configs: Configs) -> Self {
        TlsAcceptor {
            configs,
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// How long a client may take from the connection to the end of its handshake; then it is closed. Default 10
    /// seconds.
    ///
    /// The deadline for its request head starts after that.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Does the handshake with a client that has just connected.
    ///
    /// # Errors
    ///
    /// [`TlsAcceptError`]. A client gets two seconds beyond the deadline to receive the reason, and up to twelve as long as it goes
    /// on sending.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn accept<S>(&self, mut stream: S) -> impl Future<Output = Result<ServerStream<S>, TlsAcceptError>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = Instant::now().after(self.handshake_timeout);
        // No `async fn`, which would hold the stream twice: a client that says nothing is as small as this wait.
        async move {
            let mut first = BytesMut::new();
            match timeout_at(deadline, wire::read_some(&mut stream, &mut first, usize::MAX)).await {
                Ok(Ok(count)) if count > 0 => {}
                // In order or not: it has not said anything.
                Ok(_) => return Err(TlsAcceptError::Closed),
                Err(_) => return Err(TlsAcceptError::TimedOut(self.handshake_timeout)),
            }
            // Boxed: large, and gone after the handshake.
            Box::pin(self.accept_begun(stream, first, deadline)).await
        }
    }

    /// Goes on with a client whose first bytes have been read.
    async fn accept_begun<S>(
        &self,
        mut stream: S,
        first: BytesMut,
        deadline: Instant,
    ) -> Result<ServerStream<S>, TlsAcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout_at(deadline, self.handshake(&mut stream, first)).await {
            Ok(Ok((established, server_name))) => Ok(ServerStream::new(stream, established, server_name)),
            Ok(Err(error)) => {
                take_leave(&mut stream, &error).await;
                Err(error)
            }
            Err(_) => Err(TlsAcceptError::TimedOut(self.handshake_timeout)),
        }
    }

    async fn handshake<S>(
        &self,
        stream: &mut S,
        mut received: BytesMut,
    ) -> Result<(Established<UnbufferedServerConnection>, Option<Box<str>>), TlsAcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if speaks_http(&received) {
            return Err(TlsAcceptError::PlainHttp);
        }
        let hello = read_hello(stream, &mut received).await.map_err(failed)?;
        let Some((config, server_name)) = self.configs.choose(hello) else {
            // That it arrives is all that could be hoped for.
            let _ = wire::write_all(stream, &UNRECOGNIZED_NAME, LAST_WRITE_LIMIT).await;
            return Err(TlsAcceptError::UnknownName);
        };
        let connection = UnbufferedServerConnection::new(config.rustls());
        let connection = connection.map_err(|error| failed(io::Error::other(error)))?;
        let established = shake_hands(stream, connection, received).await;
        Ok((established.map_err(failed)?, server_name))
    }
}

impl Configs {
    /// The configuration for a client, and the name that it has asked for.
    fn choose(&self, hello: Accepted) -> Option<(TlsServerConfig, Option<Box<str>>)> {
        let hello = hello.client_hello();
        let config = match self {
            Configs::One(config) => config.clone(),
            Configs::ByHello(choose) => choose(&hello)?,
        };
        Some((config, hello.server_name().map(Box::from)))
    }
}

fn failed(error: io::Error) -> TlsAcceptError {
    let hint = TlsFailure::of_handshake(&error).hint();
    TlsAcceptError::Handshake { error, hint }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// Whether these are the first bytes of an HTTP request: a method, or the empty line that may stand before it (RFC 9112,
/// section 2.2). Nothing that begins a handshake of TLS, of any version, is such a byte.
fn speaks_http(first: &[u8]) -> bool {
    first
        .first()
        .is_some_and(|byte| token::is_tchar(*byte) || matches!(byte, b'\r' | b'\n'))
}

/// Sends what there is to send, and closes so that it can be received. The alert of a failed handshake is on its way already.
async fn take_leave<S>(stream: &mut S, error: &TlsAcceptError)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(error, TlsAcceptError::PlainHttp) {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\r\n{SPEAKS_TLS}",
            SPEAKS_TLS.len(),
        );
        if wire::write_all(stream, answer.as_bytes(), LAST_WRITE_LIMIT)
            .await
            .is_err()
        {
            return;
        }
    }
    wire::close(stream).await;
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;

    use super::*;
    use crate::tls::provider;

    #[tokio::test]
    async fn a_client_that_has_not_said_anything_is_small() {
        let config = ServerConfig::builder_with_provider(provider::chosen(None).unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let acceptor = TlsAcceptor::new(TlsServerConfig::from_rustls(config));
        let (stream, _peer) = tokio::io::duplex(1);
        let rest = size_of_val(&acceptor.accept(stream)) - size_of::<tokio::io::DuplexStream>();
        assert!(rest <= 256, "{rest} bytes");
    }
}

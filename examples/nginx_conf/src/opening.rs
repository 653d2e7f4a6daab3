//! What comes before the first request of a connection: whose it is, by the header of the PROXY protocol, and TLS.

use bytes::Bytes;
use switchover::header::Hop;
use switchover::proxy_protocol::ProxyHeader;
use switchover::proxy_protocol::{ProxyAcceptError, ProxyProtocolAcceptor};
use switchover::tls::{TlsAcceptError, TlsAcceptor};
use switchover::tunnel::{AnyStream, Drain, Rewind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::told;
use super::real_ip::Proxied;
use super::server::Listener;

/// A connection on which requests come.
pub(crate) struct Opened {
    /// With what has been read of the first request.
    pub(crate) stream: Rewind<AnyStream>,
    pub(crate) hop: Hop,
    pub(crate) proxied: Proxied,
}

/// Opens a connection. None if it has ended over it.
pub(crate) async fn opened(
    stream: AnyStream,
    hop: Hop,
    listener: &Listener,
    drain: &Drain,
) -> Option<Opened> {
    let (stream, proxied) = match &listener.proxied {
        None => (unread(stream), Proxied::default()),
        Some(acceptor) => heard(acceptor, stream, hop, drain).await?,
    };
    let Some(tls) = &listener.tls else {
        return Some(Opened { stream, hop, proxied });
    };
    let stream = match stream.front().is_empty() {
        true => secured(tls, stream.into_parts().0, hop, drain).await?,
        false => secured(tls, stream, hop, drain).await?,
    };
    Some(Opened {
        stream: unread(stream),
        hop: hop.tls(true),
        proxied,
    })
}

fn unread(stream: AnyStream) -> Rewind<AnyStream> {
    Rewind::new(stream, Bytes::new())
}

/// Hears from a balancer whose connection it is.
async fn heard(
    acceptor: &ProxyProtocolAcceptor,
    stream: AnyStream,
    hop: Hop,
    drain: &Drain,
) -> Option<(Rewind<AnyStream>, Proxied)> {
    let accepted = tokio::select! {
        biased;
        accepted = acceptor.accept(stream, hop) => accepted,
        () = drain.started() => return None,
    };
    match accepted {
        Ok(accepted) => {
            let header = accepted.header.as_ref();
            let proxied = Proxied {
                client: header.and_then(ProxyHeader::source),
                server: header.and_then(ProxyHeader::destination),
            };
            Some((accepted.stream, proxied))
        }
        Err(ProxyAcceptError::Closed) => None,
        Err(why) => {
            told(hop, why.to_string());
            None
        }
    }
}

/// Does the TLS handshake. A client that has not done its part when the drain starts has not asked for anything yet.
async fn secured<S>(tls: &TlsAcceptor, stream: S, hop: Hop, drain: &Drain) -> Option<AnyStream>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = tokio::select! {
        biased;
        accepted = tls.accept(stream) => accepted,
        () = drain.started() => return None,
    };
    match accepted {
        Ok(stream) => Some(AnyStream::new(stream)),
        Err(TlsAcceptError::Closed) => None,
        Err(why) => {
            told(hop, why.to_string());
            None
        }
    }
}

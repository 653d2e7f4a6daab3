//! What comes before the first request of a connection: whose it is, by the header of the PROXY protocol, and TLS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchover::header::Hop;
use switchover::proxy_protocol::{ProxyAcceptError, ProxyHeader, ProxyProtocolAcceptor};
use switchover::tls::TlsAcceptError;
use switchover::tunnel::{AnyStream, Drain, Rewind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::connection::report;
use super::real_ip::Proxied;
use super::server::{Listener, Secured};
use super::tls_variables::TlsFacts;

/// How long a client may wait before it says anything.
const FIRST_BYTE: Duration = Duration::from_secs(60);

/// What is known of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `$connection`.
    pub(crate) number: u64,
    /// `$connection_requests`.
    pub(crate) requests: u64,
    /// `$realip_remote_port`: of whoever has connected.
    pub(crate) port: Option<u16>,
    /// `$server_addr`.
    pub(crate) server: Option<IpAddr>,
    /// None in plain text.
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// It speaks plain HTTP where TLS is spoken.
    pub(crate) lacks_tls: bool,
}

/// A connection on which requests come.
pub(crate) struct Opened {
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// With what has been read of the first request.
    pub(crate) stream: Rewind<AnyStream>,
    pub(crate) hop: Hop,
    pub(crate) proxied: Proxied,
    /// It speaks plain HTTP where TLS is spoken: there is a page for that.
    pub(crate) lacks_tls: bool,
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
        Some(acceptor) => announced(acceptor, stream, hop, drain).await?,
    };
    let Some(tls) = &listener.tls else {
        return Some(Opened {
            tls: None,
            stream,
            hop,
            proxied,
            lacks_tls: false,
        });
    };
    let stream = match listener.has_page_for_plain {
        false => stream,
        true => match looked_at(stream, drain).await? {
            (stream, true) => {
                return Some(Opened {
                    tls: None,
                    stream,
                    hop,
                    proxied,
                    lacks_tls: true,
                });
            }
            (stream, false) => stream,
        },
    };
    let (stream, facts) = match stream.front().is_empty() {
        true => secured(tls, stream.into_parts().0, hop, drain).await?,
        false => secured(tls, stream, hop, drain).await?,
    };
    Some(Opened {
        tls: Some(Arc::new(facts)),
        stream: unread(stream),
        hop: hop.tls(true),
        proxied,
        lacks_tls: false,
    })
}

/// Whether a client speaks plain HTTP: a method begins with a letter, and no record of TLS does.
async fn looked_at(stream: Rewind<AnyStream>, drain: &Drain) -> Option<(Rewind<AnyStream>, bool)> {
    let (mut stream, front) = stream.into_parts();
    let mut read = front.to_vec();
    if read.is_empty() {
        let mut first = [0];
        let reading = tokio::time::timeout(FIRST_BYTE, stream.read(&mut first));
        let count = tokio::select! {
            biased;
            count = reading => count.ok()?.ok()?,
            () = drain.started() => return None,
        };
        read.extend_from_slice(&first[..count]);
    }
    let is_plain = read.first()?.is_ascii_alphabetic();
    Some((Rewind::new(stream, read.into()), is_plain))
}

fn unread(stream: AnyStream) -> Rewind<AnyStream> {
    Rewind::new(stream, Bytes::new())
}

/// Learns from a balancer whose connection it is.
async fn announced(
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
            report(hop, why.to_string());
            None
        }
    }
}

/// Does the TLS handshake. A client that has not done its part when the drain starts has not asked for anything yet.
async fn secured<S>(tls: &Secured, stream: S, hop: Hop, drain: &Drain) -> Option<(AnyStream, TlsFacts)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = tokio::select! {
        biased;
        accepted = tls.acceptor.accept(stream) => accepted,
        () = drain.started() => return None,
    };
    match accepted {
        Ok(stream) => {
            let facts = TlsFacts::of(&stream, &tls.certificates);
            Some((AnyStream::new(stream), facts))
        }
        Err(TlsAcceptError::Closed) => None,
        Err(why) => {
            report(hop, why.to_string());
            None
        }
    }
}

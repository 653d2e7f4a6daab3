//! What stands before HTTP on a connection: whose it is, if a balancer says so, and TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http::StatusCode;
use switchover::header::Hop;
use switchover::proxy_protocol::{ProxyAcceptError, ProxyProtocolAcceptor};
use switchover::tls::{TlsAcceptError, TlsAcceptor};
use switchover::tunnel::{AnyStream, Rewind};
use tokio::net::TcpStream;

use super::settings::Settings;
use super::visit::Visit;
use super::worker::Worker;

/// A connection on which HTTP is next.
pub(crate) struct Opened {
    pub(crate) stream: AnyStream,
    /// What has been read of it already.
    pub(crate) front: Bytes,
    pub(crate) hop: Hop,
    pub(crate) is_http2: bool,
}

/// A connection on which nothing stands before HTTP.
pub(crate) fn plain(stream: TcpStream, hop: Hop, worker: &Worker) -> Result<Opened, TcpStream> {
    let Settings { proxied, tls, .. } = &*worker.settings;
    if proxied.is_some() || tls.is_some() || worker.settings.flags.send_proxy_protocol.is_some() {
        return Err(stream);
    }
    Ok(Opened {
        stream: AnyStream::from(stream),
        front: Bytes::new(),
        hop,
        is_http2: false,
    })
}

/// Opens a connection that has just been accepted. None if it has ended, or has been closed.
pub(crate) async fn open(
    stream: TcpStream,
    mut hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Option<Opened> {
    let settings = &worker.settings;
    if settings.flags.send_proxy_protocol.is_some() {
        hop = hop.at(stream.local_addr().ok()?);
    }
    // Boxed, as all that is gone before the request is read.
    let (stream, hop) = match &settings.proxied {
        None => (Rewind::new(stream, Bytes::new()), hop),
        Some(proxied) => Box::pin(handed_on(proxied, stream, hop, peer, visit, worker)).await?,
    };
    let Some(tls) = &settings.tls else {
        let (stream, front) = stream.into_parts();
        return Some(Opened {
            stream: AnyStream::from(stream),
            front,
            hop,
            is_http2: false,
        });
    };
    let hop = hop.tls(true);
    let (stream, is_http2) = Box::pin(secured(tls, stream, hop, peer, visit, worker)).await?;
    Some(Opened {
        stream,
        front: Bytes::new(),
        hop,
        is_http2,
    })
}

/// Learns from a balancer whose connection it is.
async fn handed_on(
    proxied: &ProxyProtocolAcceptor,
    stream: TcpStream,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Option<(Rewind<TcpStream>, Hop)> {
    // Boxed: it would have its place in this future twice.
    let mut accepting = Box::pin(proxied.accept(stream, hop));
    let accepted = tokio::select! {
        biased;
        accepted = &mut accepting => accepted,
        () = worker.drain.started() => return None,
    };
    match accepted {
        Ok(proxied) => Some((proxied.stream, proxied.hop)),
        Err(ProxyAcceptError::Closed) => None,
        Err(error) => {
            worker.settings.report(peer, || error.to_string());
            if let Some(visit) = visit {
                visit.unopened(hop, None, ("proxy-protocol", error.name()), &error);
            }
            None
        }
    }
}

/// Does the TLS handshake, and says whether HTTP/2 is spoken behind it. A client that has not done its part when the drain
/// starts has not asked for anything yet.
async fn secured(
    tls: &TlsAcceptor,
    stream: Rewind<TcpStream>,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Option<(AnyStream, bool)> {
    let mut accepting = Box::pin(tls.accept(stream));
    let accepted = tokio::select! {
        biased;
        accepted = &mut accepting => accepted,
        () = worker.drain.started() => return None,
    };
    match accepted {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Some((AnyStream::new(stream), is_http2))
        }
        Err(TlsAcceptError::Closed) => None,
        Err(error) => {
            worker.settings.report(peer, || error.to_string());
            if let Some(visit) = visit {
                let status = matches!(error, TlsAcceptError::PlainHttp).then_some(StatusCode::BAD_REQUEST);
                visit.unopened(hop, status, ("tls", error.name()), &error);
            }
            None
        }
    }
}

//! The listener of the administration: HTTP/1.1 on a thread of its own, with limits on all that a client may hold.
//!
//! Must not know what is asked for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{Admin, refused};

/// Connections at a time. The oldest is closed when there is one more, so that none can keep an operator out.
const CONNECTIONS: usize = 64;
/// For a head, for a body, and between two requests.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a body, and of a head.
const BODY: usize = 16 * 1024;
const HEAD: usize = 16 * 1024;

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("--admin {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener, admin: Arc<Admin>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS {
                    open.pop_front().inspect(AbortHandle::abort);
                }
                open.push_back(tokio::spawn(connection(stream, admin.clone())).abort_handle());
            }
            // Out of descriptors or memory.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, admin: Arc<Admin>) {
    let answers = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(request, &admin).await) }
    });
    // What has failed is the client's connection, which it sees itself.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), answers)
        .await;
}

async fn answer(request: Request<Incoming>, admin: &Admin) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // Before a byte of the body is read.
    if let Err(refusal) = admin.check(&head) {
        return refused(refusal);
    }
    match timeout(TIMEOUT, Limited::new(body, BODY).collect()).await {
        Ok(Ok(body)) => admin.answer(&head, &body.to_bytes()),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => {
            let why = format!("a body has {BODY} bytes at most");
            refused((StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Ok(Err(why)) => refused((StatusCode::BAD_REQUEST, format!("the body cannot be read: {why}"))),
        Err(_) => {
            let why = format!("the body has not come within {TIMEOUT:?}");
            refused((StatusCode::REQUEST_TIMEOUT, why))
        }
    }
}

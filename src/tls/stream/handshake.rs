//! A handshake on a stream, up to the last record that belongs to it.
//!
//! The caller has the deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::server::{Accepted, Acceptor};

use super::connection::Connection;
use super::driven::Handshake;
use super::outgoing::Outgoing;
use super::{JOINED, Protection, failure, too_much};
use crate::tls::TlsSession;
use crate::wire;

/// A fatal alert (RFC 8446, section 6.2), as it stands on the wire before any key is agreed on: for what is no hello, which rustls reports
/// without one.
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

/// What a handshake has come to.
pub(in crate::tls) struct Established<C: Connection> {
    pub(super) protection: Protection<C>,
    pub(super) session: TlsSession,
    /// What has been received behind it.
    pub(super) received: BytesMut,
}

/// Reads a whole hello of a client, with whatever comes in one read with it. It is read again in the handshake.
pub(in crate::tls) async fn read_hello<S>(stream: &mut S, received: &mut BytesMut) -> io::Result<Accepted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut acceptor, mut seen) = (Acceptor::default(), 0);
    loop {
        let mut unseen = &received[seen..];
        while !unseen.is_empty() {
            acceptor.read_tls(&mut unseen)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    // Into memory: it does not fail.
                    let _ = alert.write_all(&mut bytes);
                    if bytes.is_empty() {
                        bytes.extend_from_slice(&UNEXPECTED_MESSAGE);
                    }
                    let mut outgoing = Outgoing::default();
                    outgoing.push(bytes);
                    return Err(refuse(stream, outgoing, &error).await);
                }
            }
        }
        seen = received.len();
        read(stream, received).await?;
    }
}

/// Does the handshake. `received` is what has been read before.
pub(in crate::tls) async fn shake_hands<S, C>(
    stream: &mut S,
    connection: C,
    mut received: BytesMut,
    payload: usize,
    server_name: Option<Box<str>>,
) -> io::Result<Established<C>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    let mut handshake = Handshake::new(connection);
    let (mut outgoing, mut is_flushed) = (Outgoing::default(), true);
    loop {
        let is_done = match handshake.advance(&mut received, &mut outgoing) {
            Ok(is_done) => is_done,
            Err(error) => return Err(refuse(stream, outgoing, &error).await),
        };
        is_flushed &= outgoing.is_empty();
        if is_done {
            poll_fn(|cx| poll_send(cx, stream, &mut outgoing, &mut is_flushed)).await?;
            break;
        }
        if received.len() > JOINED {
            return Err(too_much());
        }
        // Read also while it is written: a peer that writes reads nothing meanwhile.
        poll_fn(|cx| {
            if let Poll::Ready(sent) = poll_send(cx, stream, &mut outgoing, &mut is_flushed) {
                sent?;
            }
            pin!(read(stream, &mut received)).poll(cx)
        })
        .await?;
    }
    let session = TlsSession::of(&handshake.connection, server_name);
    let protection = Protection::of(handshake.connection, payload).map_err(|error| failure(&error))?;
    Ok(Established {
        protection,
        session,
        // Copied: a few bytes must not hold on to a buffer of kilobytes.
        received: BytesMut::from(&received[..]),
    })
}

fn poll_send<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    outgoing: &mut Outgoing,
    is_flushed: &mut bool,
) -> Poll<io::Result<()>> {
    if !*is_flushed {
        ready!(outgoing.poll_write(cx, stream))?;
        ready!(Pin::new(stream).poll_flush(cx))?;
        *is_flushed = true;
    }
    Poll::Ready(Ok(()))
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, received: &mut BytesMut) -> io::Result<()> {
    match wire::read_some(stream, received, usize::MAX).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the peer has closed the connection in the middle of the TLS handshake",
        )),
        _ => Ok(()),
    }
}

/// Sends the alert, as far as there is room for it now: the error itself must not wait for it.
async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, mut outgoing: Outgoing, error: &Error) -> io::Error {
    poll_fn(|cx| {
        if let Poll::Ready(Ok(())) = outgoing.poll_write(cx, stream) {
            let _ = Pin::new(&mut *stream).poll_flush(cx);
        }
        Poll::Ready(())
    })
    .await;
    failure(error)
}

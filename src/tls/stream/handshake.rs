//! A handshake on a stream.
//!
//! The caller has the deadline. Which records rustls is shown, and how often, is `progress.rs`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::server::{Accepted, Acceptor};

use super::connection::Connection;
use super::failure;
use super::outgoing::Outgoing;
use super::progress::Handshake;
use crate::wire;

/// Fatal alerts (RFC 8446, section 6.2), as they stand on the wire before any key is agreed on: for what is no hello, and for a hello that
/// is too long, which rustls reports without one.
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// What a handshake has come to.
pub(in crate::tls) struct Established<C> {
    pub(super) connection: C,
    /// What has been received behind it, and what has been opened of that.
    pub(super) received: BytesMut,
    pub(super) opened: BytesMut,
    /// The peer sends no more, and has said so.
    pub(super) is_closed: bool,
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
            if let Err(error) = acceptor.read_tls(&mut unseen) {
                // It is in memory: what fails is the limit of a hello.
                let mut outgoing = Outgoing::default();
                outgoing.push(&DECODE_ERROR);
                send_now(stream, &mut outgoing).await;
                return Err(error);
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    // Into memory: it does not fail.
                    let _ = alert.write_all(&mut bytes);
                    let mut outgoing = Outgoing::default();
                    outgoing.push(match bytes.is_empty() {
                        true => &UNEXPECTED_MESSAGE,
                        false => &bytes,
                    });
                    send_now(stream, &mut outgoing).await;
                    return Err(failure(&error));
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
    received: BytesMut,
) -> io::Result<Established<C>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    let mut handshake = Handshake::new(connection, received);
    let (mut outgoing, mut is_flushed) = (Outgoing::default(), true);
    loop {
        let is_done = match handshake.advance(&mut outgoing) {
            Ok(is_done) => is_done,
            Err(error) => {
                send_now(stream, &mut outgoing).await;
                return Err(failure(&error));
            }
        };
        is_flushed &= outgoing.is_empty();
        if is_done {
            poll_fn(|cx| poll_send(cx, stream, &mut outgoing, &mut is_flushed)).await?;
            return Ok(handshake.into_established());
        }
        // Read also while it is written: a peer that writes reads nothing meanwhile.
        poll_fn(|cx| {
            if let Poll::Ready(sent) = poll_send(cx, stream, &mut outgoing, &mut is_flushed) {
                sent?;
            }
            pin!(read(stream, &mut handshake.received)).poll(cx)
        })
        .await?;
    }
}

fn poll_send<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    outgoing: &mut Outgoing,
    is_flushed: &mut bool,
) -> Poll<io::Result<()>> {
    if !*is_flushed {
        ready!(outgoing.poll_write(cx, stream))?;
        let flushed = Pin::new(stream).poll_flush(cx);
        ready!(wire::again(cx, flushed))?;
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
async fn send_now<S: AsyncWrite + Unpin>(stream: &mut S, outgoing: &mut Outgoing) {
    poll_fn(|cx| {
        if let Poll::Ready(Ok(())) = outgoing.poll_write(cx, stream) {
            let _ = Pin::new(&mut *stream).poll_flush(cx);
        }
        Poll::Ready(())
    })
    .await;
}

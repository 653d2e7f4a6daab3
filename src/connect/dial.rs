//! How a TCP socket is connected: with one system call less than tokio makes.
//!
//! Knows one address. It must not know names, nor what a socket is prepared with.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Connects to this address.
///
/// tokio asks each socket that has become writable for its error. By then epoll has said whether there is one (`EPOLLERR`), and
/// nearly never there is.
#[cfg(all(target_os = "linux", feature = "splice"))]
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    use std::future::poll_fn;

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    use tokio::io::Interest;

    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from_std(socket.into())?;
    poll_fn(|cx| stream.poll_write_ready(cx)).await?;
    // At once: it is writable.
    let ready = stream.ready(Interest::WRITABLE | Interest::ERROR).await?;
    match ready.is_error() {
        true => stream.take_error()?.map_or(Ok(stream), Err),
        false => Ok(stream),
    }
}

/// Connects to this address.
#[cfg(not(all(target_os = "linux", feature = "splice")))]
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_accepts_and_one_that_refuses() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has both.
            let Ok(listener) = TcpListener::bind(loopback).await else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let mut stream = dial(address).await.unwrap();
            let (mut accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.local_addr().unwrap(), peer);
            accepted.write_all(b"a").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'a');
            drop(listener);
            let refused = dial(address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{loopback}");
        }
    }
}

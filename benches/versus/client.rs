//! The client: a tunnel through the proxy, opened as a browser would.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frames;

/// Opens a tunnel: returns once the 101 has been read and checked.
pub(crate) async fn open(proxy: SocketAddr, path: &str) -> io::Result<TcpStream> {
    match timeout(Duration::from_secs(10), handshake(proxy, path)).await {
        Ok(opened) => opened,
        Err(_) => Err(io::Error::other("no answer to an upgrade within 10 s")),
    }
}

async fn handshake(proxy: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    switch(stream, proxy, path).await
}

/// Asks for the tunnel on a connection.
pub(crate) async fn switch<S>(mut stream: S, proxy: SocketAddr, path: &str) -> io::Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = frames::key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {proxy}\r\nUser-Agent: versus/1\r\nOrigin: http://{proxy}\r\n\
         Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCache-Control: no-cache\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;

    // What comes with the head is forgotten: only `/source` sends any, and there nobody counts from the start.
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("closed before the response head was whole"));
        }
    }
    check(&head, key.accept().as_str()).map(|()| stream)
}

fn check(head: &[u8], accept: &str) -> io::Result<()> {
    let holds = |wanted: &str| head.windows(wanted.len()).any(|part| part == wanted.as_bytes());
    if head.starts_with(b"HTTP/1.1 101") && holds(accept) {
        return Ok(());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Err(io::Error::other(format!(
        "not a switch: {}",
        String::from_utf8_lossy(line)
    )))
}

/// Opens so many tunnels, some of them at a time.
pub(crate) async fn open_many(proxy: SocketAddr, path: &str, count: usize) -> io::Result<Vec<TcpStream>> {
    many(count, || {
        let path = path.to_owned();
        async move { open(proxy, &path).await }
    })
    .await
}

/// As many as `count`, some of them at a time.
pub(crate) async fn many<S, F>(count: usize, open: impl Fn() -> F) -> io::Result<Vec<S>>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    const AT_A_TIME: usize = 32;
    let mut opened = Vec::with_capacity(count);
    let mut opening = JoinSet::new();
    let mut begun = 0;
    while opened.len() < count {
        while begun < count && opening.len() < AT_A_TIME {
            opening.spawn(open());
            begun += 1;
        }
        match opening.join_next().await {
            Some(Ok(stream)) => opened.push(stream?),
            Some(Err(_)) | None => return Err(io::Error::other("a client has panicked")),
        }
    }
    Ok(opened)
}

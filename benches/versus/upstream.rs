//! The upstream: says 101 to everything, and then does what the path asks for. As cheap as it can be made, because
//! it shares its core with the clients.
//!
//! - `/echo?N` answers every message of N bytes of payload with one of the same length
//! - `/body?N` answers every request, whatever its body, with N bytes
//! - `/sink` reads, `/source` writes, `/both` does both

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use switchover::websocket::SecWebSocketKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::frames;

/// An upstream of one measurement. Dropping it ends what it accepts, not what it has accepted.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// Bytes that `/sink` and `/both` have read.
    pub(crate) received: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub(crate) fn start() -> io::Result<Upstream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(4096)?;
        let received = Arc::new(AtomicU64::new(0));
        Ok(Upstream {
            address: listener.local_addr()?,
            received: received.clone(),
            accepting: tokio::spawn(accept(listener, received)),
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, received: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, received.clone()));
    }
}

async fn serve(mut stream: TcpStream, received: Arc<AtomicU64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A buffer that is gone when the tunnel begins: thousands of these wait at once.
    let path = {
        let mut head = Vec::with_capacity(1024);
        // A body may come with the head.
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let path = path(&head);
        if let Some(("/body", length)) = path.split_once('?') {
            return answer(stream, head, length.parse().unwrap_or(100)).await;
        }
        stream.write_all(switching(&head)?.as_bytes()).await?;
        path
    };
    let frame = frames::from_server(frames::bulk_payload());
    match path.split_once('?').unwrap_or((&path, "")) {
        ("/echo", payload) => echo(stream, payload.parse().unwrap_or(64)).await,
        ("/sink", _) => sink(&mut stream.split().0, &received).await,
        ("/source", _) => source(&mut stream, &frame).await,
        ("/both", _) => {
            let (mut reader, mut writer) = stream.split();
            tokio::try_join!(sink(&mut reader, &received), source(&mut writer, &frame)).map(|_| ())
        }
        _ => Ok(()),
    }
}

fn path(head: &[u8]) -> String {
    let line = String::from_utf8_lossy(head);
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Answers requests until the connection ends. The first head is there already.
async fn answer(mut stream: TcpStream, mut head: Vec<u8>, length: usize) -> io::Result<()> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: versus\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    answer.extend(std::iter::repeat_n('x', length));
    loop {
        // A request of at most one body that its head announces; none is sent ahead.
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        };
        let mut left = content_length(&head[..end]).saturating_sub(head.len() - end);
        while left > 0 {
            match read_and_forget(&mut stream).await? {
                0 => return Ok(()),
                count => left = left.saturating_sub(count),
            }
        }
        head.clear();
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn content_length(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = text.split("\r\ncontent-length:").nth(1);
    let digits = value.and_then(|value| value.split('\r').next());
    digits.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

/// The 101 that the key in `head` asks for.
fn switching(head: &[u8]) -> io::Result<String> {
    let missing = || io::Error::other("an upgrade request without a key");
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let key = lines.find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        name.eq_ignore_ascii_case(b"sec-websocket-key")
            .then(|| value[1..].trim_ascii())
    });
    let key = SecWebSocketKey::parse(key.ok_or_else(missing)?).map_err(io::Error::other)?;
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        key.accept()
    ))
}

async fn echo(mut stream: TcpStream, payload: usize) -> io::Result<()> {
    let message = frames::from_client(payload).len();
    let answer = frames::from_server(payload);
    let mut unanswered = 0;
    loop {
        match read_and_forget(&mut stream).await? {
            0 => return Ok(()),
            count => unanswered += count,
        }
        while unanswered >= message {
            stream.write_all(&answer).await?;
            unanswered -= message;
        }
    }
}

/// Reads what there is, with no system call more than that takes. Zero is the end of the stream.
pub(crate) async fn read_and_forget<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    thread_local! {
        static SPACE: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
    }
    poll_fn(|cx| {
        SPACE.with_borrow_mut(|space| {
            let mut buffer = ReadBuf::new(space);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}

/// Reads to the end without looking: on a TCP socket `MSG_TRUNC` throws bytes away uncopied, so that the reader costs
/// a fraction of the proxy in front of it.
pub(crate) async fn sink(stream: &mut ReadHalf<'_>, received: &AtomicU64) -> io::Result<()> {
    let mut space = vec![0; 256 * 1024];
    loop {
        stream.readable().await?;
        let stream: &TcpStream = stream.as_ref();
        let read = stream.try_io(Interest::READABLE, || {
            let (_, count) = rustix::net::recv(stream, &mut space[..], rustix::net::RecvFlags::TRUNC)?;
            Ok(count)
        });
        match read {
            Ok(0) => return Ok(()),
            Ok(count) => {
                received.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        // `try_io` knows no budget: without this a fast sender would keep everyone else from running.
        tokio::task::coop::consume_budget().await;
    }
}

/// Writes `frame` again and again.
pub(crate) async fn source<W: AsyncWrite + Unpin>(stream: &mut W, frame: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(frame).await?;
    }
}

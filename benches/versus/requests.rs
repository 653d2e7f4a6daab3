//! Ordinary requests on kept connections: a client sends the next when it has the whole answer to the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::echo::quiet;
use super::load::{Measured, Metric};
use super::process::Process;
use super::upstream;

/// What is asked, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Bytes of the request's body.
    pub(crate) up: usize,
    /// Bytes of the answer's body.
    pub(crate) down: usize,
    pub(crate) connections: usize,
}

impl Exchange {
    /// The head of the request, with fields such as a browser sends.
    fn head(self, proxy: SocketAddr) -> String {
        let (method, length) = match self.up {
            0 => ("GET", String::new()),
            up => ("PUT", format!("Content-Length: {up}\r\n")),
        };
        format!(
            "{method} /body?{} HTTP/1.1\r\nHost: {proxy}\r\nUser-Agent: versus/1\r\nAccept: */*\r\n\
             Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n{length}\r\n",
            self.down
        )
    }
}

/// Runs for `duration`, after a fifth of that to warm up.
pub(crate) async fn measure(
    proxy: SocketAddr,
    process: Option<&Process>,
    exchange: Exchange,
    duration: Duration,
) -> io::Result<Measured> {
    let streams = connect(proxy, exchange).await?;
    let (streams, _) = run(streams, proxy, exchange, (duration / 5, u64::MAX)).await?;
    let before = quiet(process).await;
    let since = Instant::now();
    let (_streams, count) = run(streams, proxy, exchange, (duration, u64::MAX)).await?;
    let took = since.elapsed();
    let mut measured = vec![(Metric::Requests, count as f64 / took.as_secs_f64())];
    if let (Some(before), Some(after)) = (before, quiet(process).await) {
        let each = (after - before).as_secs_f64() * 1e6 / count as f64;
        measured.push((Metric::RequestCpu, each));
    }
    Ok(measured)
}

pub(crate) async fn connect(proxy: SocketAddr, exchange: Exchange) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(exchange.connections);
    for _ in 0..exchange.connections {
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Until the time is up, or each of the clients has asked so often.
pub(crate) async fn run(
    streams: Vec<TcpStream>,
    proxy: SocketAddr,
    exchange: Exchange,
    (duration, at_most): (Duration, u64),
) -> io::Result<(Vec<TcpStream>, u64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut request = exchange.head(proxy).into_bytes();
    request.resize(request.len() + exchange.up, b'x');
    let request: Arc<[u8]> = request.into();
    let mut clients = JoinSet::new();
    for stream in streams {
        clients.spawn(ask(
            stream,
            request.clone(),
            exchange.down,
            (stop.clone(), at_most),
        ));
    }
    let alarm = tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    });
    let (mut streams, mut count) = (Vec::with_capacity(clients.len()), 0);
    while let Some(client) = clients.join_next().await {
        let (stream, asked) = client.map_err(io::Error::other)??;
        streams.push(stream);
        count += asked;
    }
    alarm.abort();
    Ok((streams, count))
}

async fn ask(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    length: usize,
    (stop, at_most): (Arc<AtomicBool>, u64),
) -> io::Result<(TcpStream, u64)> {
    let mut asked = 0;
    let mut head = Vec::with_capacity(4096);
    while asked < at_most && !stop.load(Ordering::Relaxed) {
        stream.write_all(&request).await?;
        head.clear();
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::Error::other("closed before the response head was whole"));
            }
        };
        if !head.starts_with(b"HTTP/1.1 200") {
            let line = String::from_utf8_lossy(&head[..end]).into_owned();
            return Err(io::Error::other(format!("no answer: {line}")));
        }
        let mut left = length - (head.len() - end);
        while left > 0 {
            match upstream::read_and_forget(&mut stream).await? {
                0 => return Err(io::Error::other("closed in the middle of an answer")),
                count => left -= count,
            }
        }
        asked += 1;
    }
    Ok((stream, asked))
}

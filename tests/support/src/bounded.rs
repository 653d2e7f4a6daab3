//! No test waits for ever: each wait has a limit, and what fails there names what was waited for.
//!
//! The limits are far beyond what a busy machine needs. A test that holds passes long before them.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub use switchover::test_util::TIMEOUT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a program may run that is to end by itself: a browser with all its pages.
pub const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);

/// What is awaited, on tokio's clock.
pub async fn within<T>(awaited: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out after {TIMEOUT:?} waiting for {awaited}"),
    }
}

/// Waits until something is so that can only be looked at. The task gives way in between.
pub async fn until(awaited: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(awaited, looking).await;
}

/// What arrives on a connection while these bytes are sent, up to `end`. The other side need not take them all.
pub async fn received_while_sending(stream: &mut tokio::net::TcpStream, bytes: &[u8], end: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let _ = writer.write_all(bytes).await;
    };
    let mut received = Vec::new();
    let receiving = async {
        while !received.ends_with(end) {
            let count = reader
                .read_buf(&mut received)
                .await
                .expect("a connection that holds");
            assert!(count > 0, "the end after {}", String::from_utf8_lossy(&received));
        }
    };
    let both = async {
        tokio::pin!(sending, receiving);
        tokio::select! {
            () = &mut receiving => {}
            () = &mut sending => receiving.await,
        }
    };
    within("an answer to bytes that are being sent", both).await;
    received
}

/// As [`until`], where there is no runtime.
pub fn blocking_until(awaited: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "timed out after {TIMEOUT:?} waiting for {awaited}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A connection where there is no runtime. Each read and each write of it has a limit.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT);
    limited(stream.unwrap_or_else(|error| panic!("no connection to {address}: {error}")))
}

/// A connection whose reads and writes have a limit from now on.
pub fn limited(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(TIMEOUT))
        .expect("a timeout can be set");
    stream
        .set_write_timeout(Some(TIMEOUT))
        .expect("a timeout can be set");
    stream
}

/// What a program prints that ends by itself.
pub fn output(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let what = format!("{:?}", child.get_program());
    let child = child
        .spawn()
        .unwrap_or_else(|error| panic!("{what} does not start: {error}"));
    output_of(child, &what)
}

/// What a program has printed at its end, as far as its outputs are piped. One that does not end is killed.
pub fn output_of(mut child: Child, what: &str) -> Output {
    let (stdout, stderr) = (gathered(child.stdout.take()), gathered(child.stderr.take()));
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    let ended = loop {
        match child.try_wait().expect("a child can be asked") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    // A child of its own may keep them open.
    let [stdout, stderr] = [stdout, stderr].map(|output| output.recv_timeout(TIMEOUT).unwrap_or_default());
    let Some(status) = ended else {
        let [stdout, stderr] = [stdout, stderr].map(|output| String::from_utf8_lossy(&output).into_owned());
        panic!("{what} has not ended after {PROGRAM_TIMEOUT:?}: {stdout}\n{stderr}");
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

/// All of an output, once it has ended.
fn gathered(output: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, gathered) = channel();
    if let Some(mut output) = output {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
    }
    gathered
}

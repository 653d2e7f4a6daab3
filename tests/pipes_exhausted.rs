//! Where the kernel gives no pipe, or none of the size wanted, bulk is copied and nobody notices. Alone in its process,
//! because it takes from all of it what the others need.
#![cfg(target_os = "linux")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::bounded::within;
use switchover::tunnel::{SpliceConfig, Traffic, Tunnel, TunnelConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BULK: usize = 32 << 20;
/// Tells the test, run again as another user, what to do.
const AS_NOBODY: &str = "SWITCHOVER_TEST_AS_NOBODY";

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

/// Bulk through one tunnel, after `exhaust` has run.
async fn bulk(pipe_size: u32, exhaust: impl FnOnce()) -> Traffic {
    let (mut near_peer, near) = tcp_pair().await;
    let (far, mut far_peer) = tcp_pair().await;
    exhaust();
    let config = TunnelConfig::default().splice(SpliceConfig::default().pipe_size(pipe_size));
    let tunnel = tokio::spawn(Tunnel::new(near, far).config(config).run());
    let sent: Vec<u8> = (0..BULK).map(|at| (at % 251) as u8).collect();
    let mut received = vec![0; BULK];
    let moving = async { tokio::join!(near_peer.write_all(&sent), far_peer.read_exact(&mut received)) };
    let (sending, receiving) = within("the bulk to arrive", moving).await;
    sending.unwrap();
    receiving.unwrap();
    assert!(sent == received, "other bytes than were sent");
    drop((near_peer, far_peer));
    within("the tunnel to end", tunnel).await.unwrap().unwrap()
}

#[tokio::test]
async fn bulk_is_copied_where_there_is_no_pipe() {
    if std::env::var_os(AS_NOBODY).is_some() {
        return beyond_the_limit_of_pages().await;
    }
    let spliced = bulk(512 * 1024, || {}).await;
    assert!(spliced.spliced_from_downstream() > 0, "{spliced}");

    // As another user first: descriptors are needed for that.
    let program = std::env::current_exe().unwrap();
    let run = Command::new(program)
        .env(AS_NOBODY, "1")
        .uid(65_534)
        .gid(65_534)
        .output();
    match run {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        // Not the superuser, or a place that others may not read.
        Err(error) => println!("skipped: the limit of pages, as another user: {error}"),
    }

    let before = getrlimit(Resource::Nofile);
    // Another size, so that no pipe of the first tunnel's serves.
    let copied = bulk(128 * 1024, || {
        // The three that every process has: not one more is to be had.
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(3),
                maximum: before.maximum,
            },
        )
        .unwrap();
    })
    .await;
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(
        (copied.from_downstream(), copied.spliced_from_downstream()),
        (BULK as u64, 0),
        "{copied}"
    );
}

/// An unprivileged user has 64 MiB of pipes (`fs.pipe-user-pages-soft`). Beyond that they cannot grow.
async fn beyond_the_limit_of_pages() {
    let mut pipes = Vec::new();
    loop {
        let pipe = pipe_with(PipeFlags::CLOEXEC).unwrap();
        if fcntl_setpipe_size(&pipe.1, 512 * 1024).is_err() {
            break;
        }
        pipes.push(pipe);
        assert!(pipes.len() < 4096, "the kernel has no such limit");
    }
    let traffic = bulk(512 * 1024, || {}).await;
    assert_eq!(
        (traffic.from_downstream(), traffic.spliced_from_downstream()),
        (BULK as u64, 0),
        "{traffic}"
    );
}

//! What a connection costs that has not said anything.

use std::time::{Duration, Instant};

use support::tls_files::Files;
use tokio::net::TcpStream;

use crate::program::Program;

/// Memory of its own that a process has in use, in bytes.
fn memory(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

fn descriptors(program: &Program) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", program.id()))
        .unwrap()
        .count()
}

async fn silent(program: &Program, count: usize) -> Vec<TcpStream> {
    let before = descriptors(program);
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(TcpStream::connect(program.address).await.unwrap());
    }
    let since = Instant::now();
    while descriptors(program) < before + count {
        assert!(since.elapsed() < Duration::from_secs(10), "it does not accept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Descriptors are there before what is made for them.
    tokio::time::sleep(Duration::from_millis(100)).await;
    clients
}

#[tokio::test]
async fn a_silent_connection_is_small() {
    let files = Files::new("silent");
    let listener = files.listener();
    let tls = listener.iter().map(String::as_str).collect();
    for (arguments, most) in [(vec![], 2048), (tls, 2560)] {
        let arguments = [vec!["--listen", "127.0.0.1:0"], arguments].concat();
        let program = Program::start("gateway", &arguments).await;
        let warm = silent(&program, 100).await;
        let before = memory(&program);
        let clients = silent(&program, 600).await;
        let all = memory(&program).saturating_sub(before);
        // What grows in steps, such as the runtime's own tables, may have grown in between.
        let most = most * clients.len() as u64 + 128 * 1024;
        assert!(all <= most, "{all} bytes, at most {most}, with {arguments:?}");
        drop(warm);
    }
}

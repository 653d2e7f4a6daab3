//! The tunnel beside `tokio::io::copy_bidirectional`, each on a thread of its own between two loopback sockets.
//!
//! `cargo bench --bench tunnel`. The peers are blocking threads, so all the time that is not the kernel's is the pump's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use divan::Bencher;
use divan::counter::BytesCount;
use switchover::tunnel::{Listing, Tunnel, Tunnels};

const MESSAGE: usize = 64;
const BULK: usize = 64 * 1024 * 1024;

fn main() {
    divan::main();
}

#[derive(Clone, Copy, Debug)]
enum Pump {
    Tunnel,
    CopyBidirectional,
}

const PUMPS: [Pump; 2] = [Pump::Tunnel, Pump::CopyBidirectional];

/// One message there and back.
#[divan::bench(args = PUMPS, sample_count = 5000, sample_size = 1)]
fn echo_64_bytes(bencher: Bencher, pump: Pump) {
    let (mut client, mut origin) = relayed(pump);
    thread::spawn(move || {
        let mut message = [0; MESSAGE];
        while origin.read_exact(&mut message).is_ok() {
            origin.write_all(&message).unwrap();
        }
    });
    let mut message = [7; MESSAGE];
    bencher.bench_local(|| {
        client.write_all(&message).unwrap();
        client.read_exact(&mut message).unwrap();
    });
}

/// One direction, as fast as it goes.
#[divan::bench(args = PUMPS, sample_count = 20, sample_size = 1)]
fn bulk_64_mebibytes(bencher: Bencher, pump: Pump) {
    let (mut client, mut origin) = relayed(pump);
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        let mut received = 0;
        while let Ok(count @ 1..) = origin.read(&mut buffer) {
            received += count;
            if received % BULK == 0 {
                origin.write_all(&[1]).unwrap();
            }
        }
    });
    let piece = vec![7; 256 * 1024];
    bencher.counter(BytesCount::new(BULK)).bench_local(|| {
        for _ in 0..BULK / piece.len() {
            client.write_all(&piece).unwrap();
        }
        client.read_exact(&mut [0]).unwrap();
    });
}

/// A client's and an origin's socket with the pump between them. The pump's thread ends when they are closed.
fn relayed(pump: Pump) -> (TcpStream, TcpStream) {
    let ((client, downstream), (upstream, origin)) = (pair(), pair());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let [mut downstream, mut upstream] = [downstream, upstream].map(|stream| {
                stream.set_nonblocking(true).unwrap();
                tokio::net::TcpStream::from_std(stream).unwrap()
            });
            match pump {
                Pump::Tunnel => drop(Tunnel::new(downstream, upstream).run().await),
                Pump::CopyBidirectional => {
                    drop(tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await);
                }
            }
        });
    });
    (client, origin)
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    for stream in [&connected, &accepted] {
        stream.set_nodelay(true).unwrap();
    }
    (connected, accepted)
}

/// All of a registry's tunnels are looked at, as a page of them does: at most 50 ms are allowed for 100,000.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn list_100_000_tunnels(bencher: Bencher) {
    let tunnels = Tunnels::new();
    let open: Vec<_> = (0..100_000)
        .map(|_| {
            let (downstream, upstream) = tokio::io::duplex(1);
            let mut tunnel = Tunnel::new(downstream, upstream);
            tunnel.list_in(&tunnels, Listing::default());
            tunnel
        })
        .collect();
    bencher.bench_local(|| {
        let bytes = tunnels
            .iter()
            .map(|tunnel| tunnel.from_downstream() + tunnel.from_upstream());
        (tunnels.len(), bytes.sum::<u64>())
    });
    drop(open);
}

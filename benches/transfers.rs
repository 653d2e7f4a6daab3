//! Where splicing pays: the tunnel beside a relay that copies and one that splices, over sizes of transfers and numbers of streams.
//!
//! ```text
//! cargo bench --bench transfers
//! cargo bench --bench transfers -- --rounds 5 --seconds 0.2 --kib 4,16,64 --streams 1,16
//! ```
//!
//! Each relay has a thread and a core of its own; the peers are blocking threads on the other core. All bytes go down. A sender
//! writes pieces of one size, either as fast as they are taken, or, paced, the next one when its receiver has all of the last. What
//! counts is the processor time of the relay's thread for each MiB. The relays take turns within a round; what is printed are
//! medians over rounds, and the median of the tunnel's time divided by that of the better relay of the same round. Linux only.

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}

#[cfg(target_os = "linux")]
#[path = "relay_thread/mod.rs"]
mod relay_thread;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use switchover::tunnel::Tunnel;
    use tokio::io::Interest;
    use tokio::net::TcpStream as AsyncStream;
    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::relay_thread::{median, option, pair, processor_time};

    const KIB: usize = 1024;
    const SIZES: [usize; 9] = [4, 8, 16, 32, 48, 64, 128, 256, 1024];
    const STREAMS: [usize; 4] = [1, 4, 16, 64];
    /// As large as the tunnel's.
    const PIPE: usize = 512 * KIB;

    #[derive(Clone, Copy, Debug)]
    enum Relay {
        Copy,
        Splice,
        Tunnel,
    }

    const RELAYS: [Relay; 3] = [Relay::Copy, Relay::Splice, Relay::Tunnel];

    impl Relay {
        async fn run(self, downstream: AsyncStream, upstream: AsyncStream) {
            // Whatever ends a stream ends its relay; a load that stops early is found by who counts it.
            let _ = match self {
                Relay::Copy => copy(&upstream, &downstream).await,
                Relay::Splice => splice_all(&upstream, &downstream).await,
                Relay::Tunnel => {
                    drop(Tunnel::new(downstream, upstream).run().await);
                    Ok(())
                }
            };
        }
    }

    async fn copy(from: &AsyncStream, to: &AsyncStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 * KIB];
        loop {
            from.readable().await?;
            let count = match from.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let mut written = 0;
            while written < count {
                match to.try_write(&buffer[written..count]) {
                    Ok(more) => written += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn splice_all(from: &AsyncStream, to: &AsyncStream) -> io::Result<()> {
        let (read_end, write_end): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&write_end, PIPE)?;
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        loop {
            let into = || Ok(splice(from, None, &write_end, None, PIPE, flags)?);
            let mut left = from.async_io(Interest::READABLE, into).await?;
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                let out = || Ok(splice(&read_end, None, to, None, left, flags)?);
                left -= to.async_io(Interest::WRITABLE, out).await?;
            }
        }
    }

    /// Writes pieces; paced, each one after the receiver has said that it has the last.
    fn send(mut stream: TcpStream, size: usize, received: Option<mpsc::Receiver<()>>) {
        let piece = vec![b'.'; size];
        while stream.write_all(&piece).is_ok() && received.as_ref().is_none_or(|last| last.recv().is_ok()) {}
    }

    /// Until there is nothing more, or `stop`: what is dropped with bytes unread resets its relay, and that its sender.
    fn receive(
        mut stream: TcpStream,
        size: usize,
        (arrived, stop): (&AtomicU64, &AtomicBool),
        has_piece: Option<mpsc::Sender<()>>,
    ) {
        let (mut buffer, mut of_piece) = (vec![0; 256 * KIB], 0);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            arrived.fetch_add(count as u64, Ordering::Relaxed);
            of_piece += count;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Some(has_piece) = &has_piece
                && of_piece >= size
            {
                of_piece -= size;
                let _ = has_piece.send(());
            }
        }
    }

    /// The first core that this process may use for the relay, the second for everything else.
    fn pin(place: usize) {
        let Ok(allowed) = sched_getaffinity(None) else {
            return;
        };
        if let Some(core) = (0..CpuSet::MAX_CPU)
            .filter(|core| allowed.is_set(*core))
            .nth(place)
        {
            let mut set = CpuSet::new();
            set.set(core);
            let _ = sched_setaffinity(None, &set);
        }
    }

    /// Microseconds of the relay's processor time for each MiB.
    fn measure(relay: Relay, (size, streams, paced): (usize, usize, bool), time: Duration) -> f64 {
        let arrived = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut seats, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..streams {
            let ((client, downstream), (upstream, origin)) = (pair(), pair());
            seats.push([downstream, upstream]);
            let (has_piece, received) = mpsc::channel();
            let (has_piece, received) = (paced.then_some(has_piece), paced.then_some(received));
            let (arrived, stop) = (Arc::clone(&arrived), Arc::clone(&stop));
            peers.push(spawn_pinned(move || {
                receive(client, size, (&arrived, &stop), has_piece)
            }));
            peers.push(spawn_pinned(move || send(origin, size, received)));
        }
        let (name, named) = mpsc::channel();
        let relaying = thread::spawn(move || {
            pin(0);
            let task = std::fs::read_link("/proc/thread-self").unwrap();
            name.send(task.to_str().unwrap().to_owned()).unwrap();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                let relays = seats.into_iter().map(|seat| {
                    let [downstream, upstream] = seat.map(|stream| {
                        stream.set_nonblocking(true).unwrap();
                        AsyncStream::from_std(stream).unwrap()
                    });
                    tokio::task::spawn_local(relay.run(downstream, upstream))
                });
                for relay in relays.collect::<Vec<_>>() {
                    relay.await.unwrap();
                }
            });
        });
        let task = named.recv().unwrap();
        // A moment to reach the transfer mode that it stays in, and the socket buffers that the kernel ends with.
        let time = time * u32::try_from(streams).unwrap_or(u32::MAX).isqrt();
        thread::sleep(time / 2);
        let (used, bytes, start) = (
            processor_time(&task),
            arrived.load(Ordering::Relaxed),
            Instant::now(),
        );
        while start.elapsed() < time {
            thread::sleep(time / 10);
        }
        let used = processor_time(&task) - used;
        let bytes = arrived.load(Ordering::Relaxed) - bytes;
        stop.store(true, Ordering::Relaxed);
        for peer in peers {
            peer.join().unwrap();
        }
        relaying.join().unwrap();
        used as f64 / 1000.0 / (bytes as f64 / 1048576.0)
    }

    fn spawn_pinned(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            pin(1);
            work();
        })
    }

    fn list(name: &str, default: &[usize]) -> Vec<usize> {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        let Some(values) = arguments.nth(1) else {
            return default.to_vec();
        };
        values
            .split(',')
            .map(|value| value.parse().expect("numbers"))
            .collect()
    }

    pub(super) fn main() {
        // `cargo test --benches` runs it too: one point is enough there.
        let is_test = !std::env::args().any(|argument| argument == "--bench");
        let rounds = if is_test {
            1
        } else {
            option("--rounds", 5.0) as usize
        };
        let time = Duration::from_secs_f64(if is_test { 0.01 } else { option("--seconds", 0.2) });
        let (sizes, counts) = if is_test {
            (SIZES[..1].to_vec(), STREAMS[..1].to_vec())
        } else {
            (list("--kib", &SIZES), list("--streams", &STREAMS))
        };
        println!(
            "CPU us of the relay for a MiB: copy, splice, the tunnel (divided by the better of the two)"
        );
        for paced in [false, true] {
            println!("\n{}", if paced { "paced" } else { "as fast as it goes" });
            print!("| written at a time |");
            counts.iter().for_each(|streams| print!(" {streams} streams |"));
            println!();
            for size in &sizes {
                print!("| {size} KiB |");
                for streams in &counts {
                    let point = (size * KIB, *streams, paced);
                    let mut results: [Vec<f64>; 3] = Default::default();
                    for _ in 0..rounds {
                        for (relay, results) in RELAYS.into_iter().zip(&mut results) {
                            results.push(measure(relay, point, time));
                        }
                    }
                    let [copy, splice, tunnel] = &results;
                    let best = copy.iter().zip(splice).map(|(copy, splice)| copy.min(*splice));
                    let ratios = tunnel.iter().zip(best).map(|(tunnel, best)| tunnel / best);
                    let ratio = median(ratios.collect());
                    let [copy, splice, tunnel] = results.map(median);
                    print!(" {copy:.0}, {splice:.0}, {tunnel:.0} ({ratio:.2}) |");
                    let _ = io::stdout().flush();
                }
                println!();
            }
        }
    }
}

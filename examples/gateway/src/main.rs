//! A gateway for HTTP and its upgrades, WebSocket above all; over TLS for HTTP/2 as well. `--help` lists its flags;
//! without `--route` it is a demo with an echo, a chat room and a page to try them.
//!
//! ```text
//! cargo run --release --bin gateway
//! cargo run --release --bin gateway -- --listen 0.0.0.0:80 --route /chat=http://127.0.0.1:9000
//! ```

mod access_log;
mod admin;
mod connection;
mod decimal;
mod demo;
mod failures;
mod flags;
mod health;
mod http2;
mod log;
mod log_spans;
mod moment;
mod opening;
mod record;
mod reported_body;
mod settings;
mod story;
mod target;
mod tls;
mod upstream;
mod visit;
mod worker;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use switchover::tunnel::{Drain, Schedule};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use access_log::AccessLog;
use flags::Flags;
use settings::Settings;
use target::{Address, ServerUrl, Share, Target};

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(text) if [flags::USAGE, flags::VERSION].contains(&&*text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("gateway: {why}");
            return ExitCode::from(2);
        }
    };
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("gateway: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut flags: Flags) -> io::Result<()> {
    for what in flags.unused() {
        // `eprintln!` would panic where nobody reads that.
        let _ = writeln!(io::stderr(), "gateway: {what}");
    }
    let is_demo = flags.routes.is_empty();
    let runtime = worker::runtime()?;
    if is_demo {
        let upstream = TcpListener::bind("127.0.0.1:0")?;
        upstream.set_nonblocking(true)?;
        let authority = upstream
            .local_addr()?
            .to_string()
            .parse()
            .map_err(io::Error::other)?;
        let everything = "/".parse().map_err(io::Error::other)?;
        flags.routes.push((
            everything,
            Target {
                servers: vec![ServerUrl {
                    address: Address::Tcp(authority),
                    tls: false,
                    share: Share::default(),
                }],
                path: None,
            },
        ));
        runtime.spawn(async move {
            if let Ok(upstream) = tokio::net::TcpListener::from_std(upstream) {
                demo::serve_upstream(upstream).await;
            }
        });
    }

    let drain = Drain::new();
    let (log, writing) = flags.access_log()?.unzip();
    let logging = flags.log.map(log::start).transpose()?;
    let settings = Arc::new(Settings::new(flags, is_demo, log, &drain)?);
    // Every listening socket of every worker, before any of them accepts.
    let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
    for address in &settings.flags.listen {
        let shared = settings.flags.workers > 1;
        let first = listen(*address, shared)?;
        let address = first.local_addr()?;
        let mut of_address = vec![first];
        for _ in 1..settings.flags.workers {
            of_address.push(listen(address, shared)?);
        }
        addresses.push(address);
        sockets.push(of_address);
    }
    if let Some(address) = settings.flags.health {
        health::start(address, settings.clone())?;
    }
    let admin = settings
        .flags
        .admin
        .map(|address| admin::start(address, &settings, &drain));
    let admin = admin.transpose()?;
    // The first worker runs here: a process with one thread spares the kernel and the allocator some locking.
    let mut of_worker = || sockets.iter_mut().filter_map(Vec::pop).collect::<Vec<_>>();
    let of_first = of_worker();
    let (running, mut all_ended) = mpsc::channel::<Infallible>(1);
    let workers: Vec<_> = (1..settings.flags.workers)
        .map(|_| {
            let (listeners, settings, drain) = (of_worker(), settings.clone(), drain.clone());
            let running = running.clone();
            std::thread::spawn(move || {
                let _running = running;
                worker::runtime()?.block_on(worker::run(listeners, settings, drain))
            })
        })
        .collect();
    drop(running);

    // Before anyone can know that the gateway is there, and end it.
    let signals = {
        let _context = runtime.enter();
        // Caught without a log too: a rule that moves the logs of all instances must not end one that has none.
        tokio::spawn(rotated(
            signal(SignalKind::user_defined1())?,
            settings.log.clone(),
        ));
        signals()?
    };
    let mut output = io::stdout().lock();
    for address in addresses {
        writeln!(output, "listening on {address}")?;
        if is_demo {
            let scheme = if settings.tls.is_some() { "https" } else { "http" };
            eprintln!("open {scheme}://{address}/ in a browser");
        }
    }
    if let Some(address) = admin {
        writeln!(output, "administration on http://{address}/")?;
    }
    output.flush()?;
    drop(output);

    runtime.block_on(async {
        tokio::spawn(terminated(signals, drain.clone(), settings.clone()));
        for upstream in settings.upstreams() {
            if upstream.is_maintained(&settings.flags) {
                let group = upstream.group.clone();
                tokio::spawn(async move { group.maintain().await });
            }
        }
        let ended = worker::run(of_first, settings, drain).await;
        // Signals are noticed here, also by the tunnels that another worker still has.
        all_ended.recv().await;
        ended
    })?;
    for worker in workers {
        worker
            .join()
            .map_err(|_| io::Error::other("a worker has panicked"))??;
    }
    // What has not ended by now ends with it, and leaves its lines.
    drop(runtime);
    for writing in writing.into_iter().chain(logging) {
        writing.finish();
    }
    Ok(())
}

/// At each of the signals, opens the access log again, if there is one.
async fn rotated(mut moved: Signal, log: Option<AccessLog>) {
    while moved.recv().await.is_some() {
        if let Some(log) = &log {
            log.reopen();
        }
    }
}

/// A listening socket of one worker. The kernel spreads the connections over those that share an address. One that need
/// not share it does not, so that a second gateway on the same address fails with an error.
fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // What it accepts inherits this on Linux, which saves a call for each connection.
    socket.set_tcp_nodelay(true)?;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("--listen {address}: {error}"));
    socket.bind(&address.into()).map_err(named)?;
    socket.listen(4096).map_err(named)?;
    Ok(socket.into())
}

/// The signals that ask the gateway to end, caught from the call on. SIGQUIT is what images made for nginx are stopped with. SIGHUP is
/// left as it is: where a terminal is closed the process ends with it, and behind `nohup` it goes on.
fn signals() -> io::Result<[Signal; 3]> {
    let [terminate, interrupt, quit] = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ]
    .map(signal);
    Ok([terminate?, interrupt?, quit?])
}

/// Starts the drain some time after the first of the signals, and ends it at the second. A drain that an operator has started by
/// the administration goes on at the first one: who supervises the process sends that without knowing of the drain.
async fn terminated(
    [mut terminate, mut interrupt, mut quit]: [Signal; 3],
    drain: Drain,
    settings: Arc<Settings>,
) {
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    };
    signalled().await;
    // The load balancer notices first, and sends clients until then.
    settings.leave();
    let flags = &settings.flags;
    let spread = flags.drain_spread;
    let schedule = Schedule::default()
        .grace(flags.drain_timeout - spread)
        .spread(spread);
    let is_asked_for = drain.has_started();
    if is_asked_for || timeout(flags.drain_delay, signalled()).await.is_err() {
        if !is_asked_for {
            drain.start(schedule);
        }
        signalled().await;
    }
    settings.hurry.complete_now();
    drain.complete_now();
}

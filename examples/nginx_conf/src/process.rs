//! The process: its listening sockets, its workers, and what signals make of both.
//!
//! A configuration has its own generation of workers. The next one takes the same sockets over, and the one before is drained: its
//! tunnels go on.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use switchover::tunnel::{Drain, Schedule};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::configuration::Configuration;
use super::flags::Flags;
use super::listen::Address;
use super::sockets::Sockets;
use super::{read, said, worker};

/// Nobody waits for longer than that for a tunnel to end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves until a signal says that it is over.
pub(crate) fn run(flags: &Flags, configuration: Configuration) -> io::Result<()> {
    let mut process = Process {
        flags,
        sockets: Vec::new(),
        generations: Vec::new(),
    };
    let runtime = worker::runtime()?;
    // Before anyone can know that it is there, and end it.
    let signals = {
        let _context = runtime.enter();
        Signals::caught()?
    };
    process.serve(configuration)?;
    let mut output = io::stdout().lock();
    for (_, sockets) in &process.sockets {
        let _ = writeln!(output, "listening on {}", sockets.address());
    }
    let _ = output.flush();
    drop(output);
    runtime.block_on(process.obey(signals));
    process.join()
}

struct Process<'a> {
    flags: &'a Flags,
    /// By the address as it is written.
    sockets: Vec<(Address, Sockets)>,
    /// The last one serves; the others have tunnels left.
    generations: Vec<Generation>,
}

/// The workers of one configuration.
struct Generation {
    configuration: Arc<Configuration>,
    drain: Drain,
    workers: Vec<JoinHandle<io::Result<()>>>,
}

impl Process<'_> {
    /// Starts workers with a configuration. What fails leaves all as it was.
    fn serve(&mut self, mut configuration: Configuration) -> io::Result<()> {
        configuration.open_logs(&self.flags.prefix)?;
        // All that is to be listened to, before any worker accepts.
        let mut added = Vec::new();
        for listener in &configuration.listeners {
            let address = &listener.address;
            if self.sockets.iter().any(|(known, _)| known == address) {
                continue;
            }
            let is_shared = configuration.shares_a_port(address);
            let bound = Sockets::bind(address, listener.is_dual, is_shared, configuration.workers)?;
            added.push((address.clone(), bound));
        }
        self.sockets.extend(added);
        let listeners = configuration
            .listeners
            .iter()
            .map(|listener| listener.address.clone());
        let wanted: Vec<Address> = listeners.collect();
        let configuration = Arc::new(configuration);
        let mut generation = Generation {
            configuration: configuration.clone(),
            drain: Drain::new(),
            workers: Vec::new(),
        };
        for number in 0..configuration.workers {
            let of_it = wanted.iter().map(|address| {
                let mut known = self.sockets.iter();
                let found = known.find(|(known, _)| known == address);
                let (_, sockets) = found.ok_or_else(|| io::Error::other("a socket for each address"))?;
                sockets.of(number)
            });
            let of_it = of_it.collect::<io::Result<Vec<_>>>()?;
            let (configuration, drain) = (configuration.clone(), generation.drain.clone());
            let work = move || worker::runtime()?.block_on(worker::run(of_it, configuration, drain));
            generation.workers.push(std::thread::spawn(work));
        }
        self.sockets.retain(|(known, _)| wanted.contains(known));
        self.generations.push(generation);
        Ok(())
    }

    /// nginx: HUP is another configuration, USR1 opens the logs again, USR2 is another program, QUIT is a graceful shutdown, TERM and INT a
    /// fast one.
    async fn obey(&mut self, mut signals: Signals) {
        loop {
            tokio::select! {
                _ = signals.reload.recv() => self.reload(),
                _ = signals.reopen.recv() => self.reopen(),
                _ = signals.replace.recv() => {
                    said("nginx_conf: SIGUSR2: the program is not replaced while it runs, and all goes on");
                }
                _ = signals.quit.recv() => break,
                _ = signals.terminate.recv() => return self.end_now(),
                _ = signals.interrupt.recv() => return self.end_now(),
            }
        }
        self.sockets.clear();
        self.generations.iter().for_each(Generation::drain);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return self.end_now(),
                _ = signals.interrupt.recv() => return self.end_now(),
                _ = signals.reopen.recv() => self.reopen(),
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    if self.generations.iter().all(Generation::has_ended) {
                        return;
                    }
                }
            }
        }
    }

    fn reload(&mut self) {
        self.generations.retain(|generation| !generation.has_ended());
        let served = match read(self.flags) {
            Some(configuration) => self.serve(configuration),
            None => Err(io::Error::other("it has errors")),
        };
        if let Err(why) = served {
            let file = self.flags.file.display();
            return said(&format!(
                "nginx_conf: {file} is not served, and the one before is still: {why}"
            ));
        }
        let before = self.generations.len() - 1;
        self.generations[..before].iter().for_each(Generation::drain);
    }

    fn reopen(&self) {
        for generation in &self.generations {
            if let Err(why) = generation.configuration.logs.reopen(&self.flags.prefix) {
                said(&format!("nginx_conf: {why}"));
            }
        }
    }

    fn end_now(&mut self) {
        self.sockets.clear();
        self.generations
            .iter()
            .for_each(|generation| generation.drain.complete_now());
    }

    fn join(self) -> io::Result<()> {
        for worker in self
            .generations
            .into_iter()
            .flat_map(|generation| generation.workers)
        {
            let ended = worker.join();
            ended.map_err(|_| io::Error::other("a worker has panicked"))??;
        }
        Ok(())
    }
}

impl Generation {
    /// Nobody is let in any more; tunnels go on for as long as `worker_shutdown_timeout`.
    fn drain(&self) {
        let grace = self.configuration.shutdown.unwrap_or(FOR_EVER);
        self.drain.start(Schedule::default().grace(grace));
    }

    fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }
}

struct Signals {
    reload: Signal,
    reopen: Signal,
    replace: Signal,
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn caught() -> io::Result<Signals> {
        Ok(Signals {
            reload: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            replace: signal(SignalKind::user_defined2())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

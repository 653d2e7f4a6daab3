//! Runs a configuration of nginx: what it says of proxying, of upgrades above all. `--help` lists the flags.
//!
//! ```text
//! cargo run --release --bin nginx_conf -- -t /etc/nginx/nginx.conf
//! cargo run --release --bin nginx_conf -- site.conf
//! ```
//!
//! What is not carried out is told, with file and line, and so are the lines that do not do what they are commonly thought to
//! do. The manual of the library goes through the directives, under "from nginx".

mod access;
mod access_log;
mod answer;
mod asking;
mod clock;
mod condition;
mod configuration;
mod connection;
mod cookies;
mod directives;
mod error_page;
mod explain;
mod fields;
mod files;
mod findings;
mod flags;
mod geo;
mod guards;
mod handling;
mod harmless;
mod hints;
mod known;
mod left_out;
mod limiting;
mod limits;
mod listen;
mod location;
mod locations;
mod maps;
mod mask;
mod measures;
mod names;
mod next_upstream;
mod opening;
mod password;
mod peer;
mod phases;
mod proxy;
mod proxy_pass;
mod real_ip;
mod redirects;
mod referer;
mod regex;
mod replies;
mod request;
mod rewrite;
mod route;
mod scope;
mod server;
mod serving;
mod sockets;
mod split;
mod state;
mod text;
mod tls;
mod tree;
mod tries;
mod upstreams;
mod uri;
mod variables;
mod version;
mod words;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use switchover::tunnel::{Drain, Schedule};
use tokio::signal::unix::{Signal, SignalKind, signal};

use configuration::Configuration;
use findings::Findings;
use flags::Flags;
use sockets::Sockets;

/// Nobody waits for longer than that for a tunnel to end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(text) if text == flags::USAGE => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            said(&format!("nginx_conf: {why}"));
            return ExitCode::from(2);
        }
    };
    let mut findings = Findings::default();
    let configuration = Configuration::read(&flags, &mut findings);
    for line in findings.lines(flags.hints) {
        said(&line);
    }
    if findings.forbid(flags.strict) {
        said(&format!("nginx_conf: {} is not served", flags.file.display()));
        return ExitCode::FAILURE;
    }
    if flags.only_tests {
        return ExitCode::SUCCESS;
    }
    match run(&flags, configuration) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            said(&format!("nginx_conf: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// On standard error, which nobody has to read.
fn said(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(flags: &Flags, mut configuration: Configuration) -> io::Result<()> {
    configuration.open_logs(&flags.prefix)?;
    // All that is to be listened to, before any worker accepts.
    let mut sockets = configuration
        .listeners
        .iter()
        .map(|listener| {
            let (address, is_dual) = (&listener.address, listener.is_dual);
            let is_shared = configuration.shares_a_port(address);
            Sockets::bind(address, is_dual, is_shared, configuration.workers)
        })
        .collect::<io::Result<Vec<_>>>()?;
    let configuration = Arc::new(configuration);
    let drain = Drain::new();
    let runtime = worker::runtime()?;
    let mut of_worker = || {
        sockets
            .iter_mut()
            .map(Sockets::take)
            .collect::<io::Result<Vec<_>>>()
    };
    let of_first = of_worker()?;
    let mut workers = Vec::new();
    for _ in 1..configuration.workers {
        let (sockets, configuration, drain) = (of_worker()?, configuration.clone(), drain.clone());
        let work = move || worker::runtime()?.block_on(worker::run(sockets, configuration, drain));
        workers.push(std::thread::spawn(work));
    }

    // Before anyone can know that it is there, and end it.
    let signals = {
        let _context = runtime.enter();
        Signals::caught()?
    };
    let mut output = io::stdout().lock();
    for sockets in &sockets {
        let _ = writeln!(output, "listening on {}", sockets.address());
    }
    let _ = output.flush();
    drop(output);

    runtime.block_on(async {
        let grace = configuration.shutdown.unwrap_or(FOR_EVER);
        tokio::spawn(signals.obey(drain.clone(), Schedule::default().grace(grace)));
        worker::run(of_first, configuration, drain).await
    })?;
    for worker in workers {
        let ended = worker.join();
        ended.map_err(|_| io::Error::other("a worker has panicked"))??;
    }
    Ok(())
}

struct Signals {
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn caught() -> io::Result<Signals> {
        Ok(Signals {
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// nginx: QUIT is a graceful shutdown, TERM and INT a fast one.
    async fn obey(mut self, drain: Drain, schedule: Schedule) {
        tokio::select! {
            _ = self.quit.recv() => drain.start(schedule),
            _ = self.terminate.recv() => return drain.complete_now(),
            _ = self.interrupt.recv() => return drain.complete_now(),
        }
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        drain.complete_now();
    }
}

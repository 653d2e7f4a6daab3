//! Why does my upgrade fail, and at which hop? Tries the same WebSocket at one URL or more, from outside to inside, and says
//! what is wrong, where, and what to change. `--help` lists the flags; the README has the fields of `--json`.
//!
//! ```text
//! cargo run --bin doctor -- wss://chat.example/ws
//! cargo run --bin doctor -- wss://chat.example/ws http://10.0.0.7:8080/ws http://10.0.0.9:9000/ws
//! ```
//!
//! With `--listen` it is an origin, to be put behind the proxies in place of the application: it reports to the other end which
//! request arrived, so that each field that a hop lost, changed or added can be named.
//!
//! ```text
//! cargo run --bin doctor -- --listen 127.0.0.1:9000
//! ```
//!
//! Exit status: 0 where nothing is wrong, 1 where a fault was found, 2 for wrong flags.

mod clock;
mod evidence;
mod examination;
mod exchange;
mod flags;
mod frames;
mod json;
mod listen;
mod network;
mod output;
mod protocol;
mod request;
mod secrets;
mod shown;
mod talk;
mod unverified;
mod url;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use switchover::diagnose::{Attempt, Chain};

use clock::Clock;
use examination::{Asking, Examination, OF_THE_HOP_WITHIN};
use flags::{Flags, Wish};
use network::Network;
use secrets::Secrets;
use shown::Report;

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args_os().skip(1)) {
        Ok(Wish::Examine(flags)) => flags,
        Ok(Wish::Text(text)) => {
            let _ = output::print(&text);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            output::complain(&why);
            return ExitCode::from(2);
        }
    };
    run(flags).unwrap_or_else(|why| {
        output::complain(&why.to_string());
        ExitCode::from(2)
    })
}

fn run(flags: Flags) -> io::Result<ExitCode> {
    if let Some(what) = flags.unused() {
        output::complain(what);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match flags.listen {
            Some(address) => listen::run(address).await.map(|()| ExitCode::SUCCESS),
            None => examine(flags).await,
        }
    });
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    done
}

async fn examine(flags: Flags) -> io::Result<ExitCode> {
    let clock = Clock::start(
        flags.timeout,
        flags.deadline.saturating_add(flags.idle.unwrap_or_default()),
    );
    let (network, flags) = (Arc::new(Network::new(&flags)?), Arc::new(flags));
    // Beside each other, for the sake of --idle.
    let running = flags.urls.iter().cloned().map(|url| {
        let (network, flags) = (network.clone(), flags.clone());
        tokio::spawn(async move {
            let (url, network) = (&url, &*network);
            examination::of(Asking { url, network, clock }, &flags).await
        })
    });
    let running: Vec<_> = running.collect();
    let mut examinations = Vec::new();
    for examination in running {
        examinations.push(examination.await?);
    }
    let mut chain = chain_of(&examinations);
    if let Some((_, inner)) = chain.lost_between() {
        let (url, network) = (&flags.urls[inner], &*network);
        let asking = Asking { url, network, clock };
        asking.vary(&mut examinations[inner], &OF_THE_HOP_WITHIN).await;
        chain = chain_of(&examinations);
    }
    let report = Report {
        urls: &flags.urls,
        examinations: &examinations,
        chain: &chain,
        secrets: &Secrets::of(&flags),
    };
    output::print(&match flags.json {
        true => json::of(&report),
        false => report.as_text(),
    })?;
    Ok(match report.has_a_fault() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn chain_of(examinations: &[Examination]) -> Chain {
    let attempts: Vec<Attempt> = examinations.iter().map(|one| one.attempt.clone()).collect();
    Chain::new(&attempts)
}

//! Why does my upgrade fail, and at which hop? Tries the same WebSocket at one URL or more, from outside to inside, and says
//! what is wrong, where, and what to change. `--help` lists the flags.
//!
//! ```text
//! cargo run --bin doctor -- wss://chat.example/ws
//! cargo run --bin doctor -- wss://chat.example/ws http://10.0.0.7:8080/ws http://10.0.0.9:9000/ws
//! ```
//!
//! With `--listen` it is an origin, to be put behind the proxies in place of the application: it tells the other end which
//! request has arrived, so that each field that a hop has lost, changed or added can be named.
//!
//! ```text
//! cargo run --bin doctor -- --listen 127.0.0.1:9000
//! ```
//!
//! Exit status: 0 where all is well, 1 where something was found, 2 for flags that are wrong.

mod evidence;
mod examination;
mod exchange;
mod flags;
mod frames;
mod json;
mod listen;
mod network;
mod protocol;
mod request;
mod shown;
mod talk;
mod unverified;
mod url;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use switchover::diagnose::{Chain, Severity};

use flags::Flags;
use network::Network;

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(text) if text == flags::USAGE => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("doctor: {why}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match flags.listen {
                Some(address) => listen::run(address).await.map(|()| ExitCode::SUCCESS),
                None => examine(flags).await,
            }
        })
    });
    done.unwrap_or_else(|why| {
        eprintln!("doctor: {why}");
        ExitCode::from(2)
    })
}

async fn examine(flags: Flags) -> io::Result<ExitCode> {
    let (network, flags) = (Arc::new(Network::new(&flags)?), Arc::new(flags));
    // Beside each other, for the sake of --idle.
    let examinations = flags.urls.iter().cloned().map(|url| {
        let (network, flags) = (network.clone(), flags.clone());
        tokio::spawn(async move { examination::of(&url, &flags, &network).await })
    });
    let examinations: Vec<_> = examinations.collect();
    let (mut attempts, mut notes) = (Vec::new(), Vec::new());
    for examination in examinations {
        let (attempt, noted) = examination.await?;
        attempts.push(attempt);
        notes.push(noted);
    }
    let mut chain = Chain::new(&attempts);
    if let Some((_, inner)) = chain.lost_between() {
        let works = attempts[inner].clone();
        attempts[inner] = examination::without_upgrade(works, &flags.urls[inner], &flags, &network).await;
        chain = Chain::new(&attempts);
    }
    let text = match flags.json {
        true => json::of(&flags.urls, &attempts, &notes, &chain),
        false => shown::as_text(&flags.urls, &attempts, &notes, &chain),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    let mut findings = chain.findings().iter().flatten();
    Ok(
        match findings.any(|finding| finding.severity() < Severity::Notice) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    )
}

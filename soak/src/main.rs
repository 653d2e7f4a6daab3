//! A soak: holds thousands of tunnels through both doors of the library, plain, over TLS and over HTTP/2, under resets, stalls,
//! half-closes, drains, pings and servers that leave and come back. It checks every byte, and at the end every descriptor.
//!
//! ```text
//! cargo run --release -p soak -- [--seconds N] [--tunnels N] [--seed N] [--patience N] [--fault KIND]
//! ```
//!
//! It ends with a table. The exit code is 1 where a byte was lost, changed or repeated, where a tunnel ended without a cause, or
//! where a descriptor is left. `--fault` puts a relay in front of the first door that does one thing wrong, which has to be noticed.

mod client;
mod count;
mod doors;
mod fault;
mod origin;
mod pattern;
mod process;
mod run;
mod stream;

use std::process::ExitCode;
use std::time::Duration;

use fault::Fault;

/// A tunnel has two sockets of the proxy, one of its client and one of its origin, all of this process; in the HTTP/2 chain the
/// proxy's ends are shared.
const DESCRIPTORS_OF_A_TUNNEL: u64 = 4;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
struct Settings {
    tunnels: u64,
    time: Duration,
    seed: u64,
    /// How long a tunnel may take that has something to do, and how long its end.
    patience: Duration,
    fault: Option<Fault>,
}

fn settings() -> Result<Settings, String> {
    let mut settings = Settings {
        tunnels: 4000,
        time: Duration::from_secs(60),
        seed: 1,
        patience: Duration::from_secs(60),
        fault: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value.parse::<u64>().ok();
        match (&*argument, number) {
            ("--seconds", Some(number)) => settings.time = Duration::from_secs(number),
            ("--tunnels", Some(number)) => settings.tunnels = number,
            ("--seed", Some(number)) => settings.seed = number,
            ("--patience", Some(number)) => settings.patience = Duration::from_secs(number),
            ("--fault", _) => settings.fault = Some(Fault::named(&value).ok_or_else(usage)?),
            _ => return Err(usage()),
        }
    }
    let limit = process::descriptor_limit()
        .map_err(|error| format!("the limits of this process cannot be read: {error}"))?;
    let most = limit.saturating_sub(500) / DESCRIPTORS_OF_A_TUNNEL;
    settings.tunnels = settings.tunnels.min(most);
    Ok(settings)
}

fn usage() -> String {
    let faults = Fault::ALL.map(|(name, _)| name).join("|");
    format!(
        "soak [--seconds N (60)] [--tunnels N (as many as descriptors allow, at most 4000)] [--seed N] \
         [--patience SECONDS (60)] [--fault {faults}]"
    )
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match run::run(settings).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

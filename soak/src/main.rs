//! A soak: holds thousands of tunnels through both doors of the library, plain, over TLS and over HTTP/2, under resets, stalls,
//! half-closes, drains, pings and servers that leave and come back. It checks every byte, and at the end every descriptor.
//!
//! ```text
//! cargo run --release -p soak -- [--seconds N] [--tunnels N] [--seed N]
//! ```
//!
//! It ends with a table. The exit code is 1 where a byte was lost, changed or repeated, where a tunnel ended without a cause, or
//! where a descriptor is left.

mod client;
mod count;
mod doors;
mod origin;
mod pattern;
mod process;
mod run;
mod stream;

use std::process::ExitCode;
use std::time::Duration;

/// A tunnel has two sockets of the proxy, one of its client and one of its origin, all of this process; in the HTTP/2 chain the
/// proxy's ends are shared.
const DESCRIPTORS_OF_A_TUNNEL: u64 = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let (mut seconds, mut tunnels, mut seed) = (60, None, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (&*argument, number) {
            ("--seconds", Some(number)) => seconds = number,
            ("--tunnels", Some(number)) => tunnels = Some(number),
            ("--seed", Some(number)) => seed = number,
            _ => {
                println!(
                    "soak [--seconds N (60)] [--tunnels N (as many as descriptors allow, at most 4000)] [--seed N]"
                );
                return ExitCode::from(2);
            }
        }
    }
    let most = match process::descriptor_limit() {
        Ok(limit) => limit.saturating_sub(500) / DESCRIPTORS_OF_A_TUNNEL,
        Err(error) => {
            eprintln!("the limits of this process cannot be read: {error}");
            return ExitCode::from(2);
        }
    };
    let tunnels = tunnels.unwrap_or(4000).min(most);
    match run::run(tunnels, Duration::from_secs(seconds), seed).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

//! Runs fuzz targets on a stable compiler.
//!
//! ```text
//! cargo run --release -p fuzz -- [--seconds N] [--seed N] [TARGET …]
//! ```
//!
//! Without a target all of them run, each for the time given (10 seconds). A failure prints the input and the seed.

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let (mut seconds, mut seed, mut names) = (10, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse::<u64>().ok());
        match &*argument {
            "--seconds" => seconds = number().unwrap_or(seconds),
            "--seed" => seed = number(),
            "--help" => {
                println!("fuzz [--seconds N] [--seed N] [TARGET …]");
                return ExitCode::SUCCESS;
            }
            _ => names.push(argument),
        }
    }
    if let Some(unknown) = names
        .iter()
        .find(|name| fuzz::TARGETS.iter().all(|(target, _)| target != name))
    {
        eprintln!(
            "there is no target {unknown:?}; there are: {:?}",
            fuzz::TARGETS.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        return ExitCode::from(2);
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = seed.unwrap_or_else(|| clock.map_or(1, |now| now.as_secs()));
    for (name, target) in fuzz::TARGETS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let report = fuzz::run(name, *target, seed, Duration::from_secs(seconds), u64::MAX);
        println!("{name}: {} inputs, seed {seed}", report.inputs);
    }
    ExitCode::SUCCESS
}

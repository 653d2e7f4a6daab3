//! `--log`: the spans and events of the library, a line on standard error for each event.
//!
//! The lines wait in a queue as those of the access log do: a reader of standard error that has stopped reading holds up no worker.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::access_log::{AccessLog, Writing};

/// From now on, until the process ends. What hyper and others have to say is left out.
pub(crate) fn start(level: LevelFilter) -> io::Result<Writing> {
    let (queue, writing) = AccessLog::on_standard_error()?;
    let lines = fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || Line(queue.clone()));
    // Spans at every level: they say which request or tunnel a line is about.
    let of_the_library =
        filter_fn(move |of| of.target() == "switchover" && (of.is_span() || *of.level() <= level))
            .with_max_level_hint(level.max(LevelFilter::INFO));
    let subscriber = tracing_subscriber::registry().with(of_the_library).with(lines);
    subscriber.try_init().map_err(io::Error::other)?;
    Ok(writing)
}

pub(crate) fn level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        _ => Err("expected warn, info or debug".to_owned()),
    }
}

/// Takes one line, with its end, in one call.
struct Line(AccessLog);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.leave(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

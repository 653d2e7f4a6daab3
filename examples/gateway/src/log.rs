//! `--log`: the spans and events of the library, a line on standard error for each event.
//!
//! A span keeps its fields as text, written once. A line is put together in a buffer that its thread has already, and waits in a
//! queue as those of the access log do: a reader of standard error that has stopped reading holds up no worker.

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Write};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing_core::dispatcher::{self, Dispatch};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, Level, LevelFilter, Metadata, Subscriber};

use super::access_log::{AccessLog, Writing};
use super::log_spans::Spans;
use super::record::{MOST_OF_A_TEXT, is_plain, start_of};
use super::{decimal, moment};

/// From now on, until the process ends. What hyper and others have to say is left out.
pub(crate) fn start(level: LevelFilter) -> io::Result<Writing> {
    let (queue, writing) = AccessLog::on_standard_error()?;
    let lines = Lines {
        level,
        queue,
        spans: Mutex::default(),
    };
    dispatcher::set_global_default(Dispatch::new(lines)).map_err(io::Error::other)?;
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

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// The buffer of its lines.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Makes lines of events.
struct Lines {
    level: LevelFilter,
    queue: AccessLog,
    spans: Mutex<Spans>,
}

impl Lines {
    /// Spans at every level: they say which request or tunnel a line is about.
    fn wants(&self, of: &Metadata<'_>) -> bool {
        of.target() == "switchover" && (of.is_span() || *of.level() <= self.level)
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        // Nothing in here panics halfway.
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The innermost span of this thread; none while the thread ends.
fn entered() -> Option<u64> {
    ENTERED
        .try_with(|entered| entered.borrow().last().copied())
        .ok()
        .flatten()
}

/// The span that something belongs to: the one that is named, or else the innermost, unless it wants to have none.
fn belongs_to(named: Option<&Id>, is_contextual: bool) -> Option<u64> {
    match named {
        Some(id) => Some(id.into_u64()),
        None if is_contextual => entered(),
        None => None,
    }
}

impl Subscriber for Lines {
    fn register_callsite(&self, of: &'static Metadata<'static>) -> Interest {
        match self.wants(of) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, of: &Metadata<'_>) -> bool {
        self.wants(of)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.max(LevelFilter::INFO))
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let parent = belongs_to(span.parent(), span.is_contextual());
        let mut spans = self.spans();
        let id = spans.open(span.metadata(), parent);
        spans.write_fields(id, |fields| span.record(&mut Fields::of(fields)));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.spans()
            .write_fields(span.into_u64(), |fields| values.record(&mut Fields::of(fields)));
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        moment::write(SystemTime::now(), &mut line);
        line.push_str(match *event.metadata().level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        });
        if let Some(span) = belongs_to(event.parent(), event.is_contextual()) {
            self.spans().write(span, &mut line);
            line.push(' ');
        }
        event.record(&mut Fields {
            begin: line.len(),
            text: &mut line,
        });
        line.push('\n');
        self.queue.leave(line.as_bytes());
        let _ = LINE.try_with(|kept| kept.set(line));
    }

    fn enter(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(at) = entered.iter().rposition(|other| *other == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.spans().refer_to(span.into_u64());
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        self.spans().release(span.into_u64())
    }

    fn current_span(&self) -> Current {
        let found = entered().and_then(|id| Some((id, self.spans().metadata(id)?)));
        match found {
            Some((id, metadata)) => Current::new(Id::from_u64(id), metadata),
            None => Current::none(),
        }
    }
}

/// Writes fields as `name=value`, and a message by itself.
struct Fields<'a> {
    text: &'a mut String,
    /// Where the first of them stands.
    begin: usize,
}

impl<'a> Fields<'a> {
    fn of(text: &'a mut String) -> Self {
        Fields { text, begin: 0 }
    }

    fn name(&mut self, field: &Field) -> &mut String {
        if self.text.len() > self.begin {
            self.text.push(' ');
        }
        if field.name() != "message" {
            self.text.push_str(field.name());
            self.text.push('=');
        }
        self.text
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = self.name(field);
        match is_plain(value) {
            true => {
                text.push('"');
                text.push_str(value);
                text.push('"');
            }
            false => {
                // A span keeps it for as long as its tunnel is open.
                let written = start_of(value, MOST_OF_A_TEXT);
                let _ = write!(text, "{written:?}");
                if written.len() < value.len() {
                    text.pop();
                    text.push_str("...\"");
                }
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        decimal::push(value, self.name(field));
    }

    /// All of them are seconds.
    fn record_f64(&mut self, field: &Field, value: f64) {
        let microseconds = (value * 1e6).round() as u64;
        let text = self.name(field);
        decimal::push(microseconds / 1_000_000, text);
        text.push('.');
        decimal::push_padded(microseconds % 1_000_000, 6, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.name(field), "{value:?}");
    }
}

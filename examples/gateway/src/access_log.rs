//! Where the access log goes: lines to a file or to standard output, in the order in which they come.
//!
//! A worker leaves its line in a queue and goes on; a thread of its own writes. Where it cannot keep up, lines are lost
//! rather than anyone held up: they are counted, and the log says so.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::moment;

/// How many bytes wait to be written, at most.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// How long the thread rests when it has written: one line is written at once, many are written together.
const REST: Duration = Duration::from_millis(5);

/// How long the end of the process waits for what is still to be written.
const LAST_WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Where lines go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
    pub(crate) keeps_query: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    connections: AtomicU64,
    requests: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    lost: u64,
    reopens: bool,
    ends: bool,
    /// The thread sleeps until it is woken.
    sleeps: bool,
}

/// Waits until all is written.
pub(crate) struct Writing {
    log: AccessLog,
    ended: Receiver<()>,
}

impl AccessLog {
    /// Opens the file, to append to it; `-` is standard output.
    pub(crate) fn open(place: &str, keeps_query: bool) -> io::Result<(AccessLog, Writing)> {
        let output = Output::open(place)
            .map_err(|error| io::Error::new(error.kind(), format!("--access-log {place}: {error}")))?;
        AccessLog::on(output, keeps_query)
    }

    /// Lines of another log, on standard error.
    pub(crate) fn on_standard_error() -> io::Result<(AccessLog, Writing)> {
        AccessLog::on(Output::Error(Health::default()), false)
    }

    fn on(output: Output, keeps_query: bool) -> io::Result<(AccessLog, Writing)> {
        let name = match output {
            Output::Error(_) => "log",
            _ => "access log",
        };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let log = AccessLog {
            shared: shared.clone(),
            keeps_query,
        };
        let (ending, ended) = channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write(&shared, output, &ending))?;
        let writing = Writing {
            log: log.clone(),
            ended,
        };
        Ok((log, writing))
    }

    /// The number of one more connection.
    pub(crate) fn connection(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of one more request.
    pub(crate) fn request(&self) -> u64 {
        self.shared.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Leaves a line, which ends with a line feed.
    pub(crate) fn leave(&self, line: &[u8]) {
        let mut queue = self.shared.queue();
        if queue.lines.len() + line.len() > MOST_WAITING {
            queue.lost += 1;
            return;
        }
        queue.lines.extend_from_slice(line);
        // Otherwise it has been woken already, or is about to look.
        let wakes = std::mem::take(&mut queue.sleeps);
        drop(queue);
        if wakes {
            self.shared.filled.notify_one();
        }
    }

    /// Opens the file again at its path: what was there has been moved away.
    pub(crate) fn reopen(&self) {
        self.shared.queue().reopens = true;
        self.shared.filled.notify_one();
    }
}

impl Writing {
    /// Returns when all that was left is written. A reader of standard output that has stopped reading is not waited for.
    pub(crate) fn finish(self) {
        self.log.shared.queue().ends = true;
        self.log.shared.filled.notify_one();
        let _ = self.ended.recv_timeout(LAST_WRITE_LIMIT);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do. `lines` is empty.
    fn take(&self, lines: &mut Vec<u8>) -> Queue {
        let idle = |queue: &mut Queue| {
            queue.sleeps = queue.lines.is_empty() && !queue.reopens && !queue.ends;
            queue.sleeps
        };
        let queue = self.filled.wait_while(self.queue(), idle);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        Queue {
            lines: std::mem::replace(&mut queue.lines, std::mem::take(lines)),
            lost: std::mem::take(&mut queue.lost),
            reopens: std::mem::take(&mut queue.reopens),
            ends: queue.ends,
            sleeps: false,
        }
    }
}

fn write(shared: &Shared, mut output: Output, ending: &Sender<()>) {
    let mut lines = Vec::new();
    let mut reopening = None;
    loop {
        let queue = shared.take(&mut lines);
        lines = queue.lines;
        output.write(&lines, queue.lost);
        lines.clear();
        // What a burst has needed is not kept.
        lines.shrink_to(64 * 1024);
        if queue.reopens {
            reopening = Some(Reopening::Asked);
        }
        reopening = reopening.and_then(|reopening| output.reopen(reopening));
        if queue.ends {
            let _ = ending.send(());
            return;
        }
        std::thread::sleep(REST);
    }
}

/// The file is to be opened again.
enum Reopening {
    Asked,
    /// And could not be, which has been reported.
    Failed,
}

enum Output {
    Standard(Health),
    Error(Health),
    File(File, PathBuf, Health),
}

/// How writing has gone.
#[derive(Default)]
struct Health {
    fails: bool,
    lost: u64,
    /// The last line stands there in part.
    is_torn: bool,
}

impl Output {
    fn open(place: &str) -> io::Result<Output> {
        Ok(match place {
            "-" => Output::Standard(Health::default()),
            path => Output::File(append(Path::new(path))?, path.into(), Health::default()),
        })
    }

    fn write(&mut self, lines: &[u8], lost: u64) {
        match self {
            Output::Standard(health) => health.write(io::stdout().lock(), lines, lost),
            Output::Error(health) => health.write(io::stderr().lock(), lines, lost),
            Output::File(file, _, health) => health.write(file, lines, lost),
        }
    }

    /// What is left to do: until it can be opened, it goes on where it was, and is tried again with the next lines.
    fn reopen(&mut self, reopening: Reopening) -> Option<Reopening> {
        let Output::File(file, path, _) = self else {
            return None;
        };
        match (append(path), reopening) {
            (Ok(new), _) => {
                *file = new;
                return None;
            }
            (Err(error), Reopening::Asked) => {
                complain(format_args!("--access-log {}: {error}", path.display()));
            }
            (Err(_), Reopening::Failed) => {}
        }
        Some(Reopening::Failed)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Health {
    fn write(&mut self, mut output: impl Write, lines: &[u8], lost: u64) {
        let mut text = Vec::new();
        if self.is_torn {
            text.push(b'\n');
        }
        text.extend_from_slice(lines);
        self.lost += lost;
        if self.lost > 0 {
            let now = moment::of(SystemTime::now());
            let count = self.lost;
            text.extend_from_slice(
                format!("{{\"time\":\"{now}\",\"event\":\"lost\",\"count\":{count}}}\n").as_bytes(),
            );
        }
        match write_as_far(&mut output, &text) {
            Ok(()) => {
                *self = Health::default();
            }
            Err((written, error)) => {
                if !self.fails {
                    complain(format_args!("the access log cannot be written: {error}"));
                }
                // The one about lost lines is not counted among them.
                let unwritten = &text[written..];
                let reported = u64::from(self.lost > 0);
                let ends = unwritten.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.lost += ends.saturating_sub(reported + u64::from(self.is_torn && written == 0));
                self.is_torn = match written {
                    0 => self.is_torn,
                    written => text[written - 1] != b'\n',
                };
                self.fails = true;
            }
        }
    }
}

/// On standard error, if that can be written to: it may stand on the same full disk, and `eprintln!` would panic.
fn complain(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "gateway: {what}");
}

/// How far it came, where it failed.
fn write_as_far(output: &mut impl Write, text: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < text.len() {
        match output.write(&text[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    output.flush().map_err(|error| (written, error))
}

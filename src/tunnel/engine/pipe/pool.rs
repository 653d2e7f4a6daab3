//! The pool of pipes of a thread: few, lent only empty, and closed when nobody has wanted them for a while.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::Ends;
use crate::tunnel::config::SpliceConfig;

/// The most pipes that wait in a thread's pool. A pipe is lent for less than a poll unless its receiver is slow, so few
/// serve many.
const MAX_IDLE: usize = 8;
/// How long a pipe waits to be wanted again.
const IDLE_TIME: Duration = Duration::from_secs(10);

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

#[derive(Default)]
struct Pool {
    /// The one that waits longest first.
    idle: Vec<Idle>,
    /// How many are lent. Shared with the loans, which may end on another thread.
    lent: Arc<AtomicU32>,
}

struct Idle {
    ends: Ends,
    size: u32,
    since: Instant,
}

/// A pipe on loan.
pub(super) struct Loan {
    /// Gone only while the loan is being dropped.
    ends: Option<Ends>,
    size: u32,
    bytes: u32,
    lent: Arc<AtomicU32>,
}

/// A pipe of the size wanted, empty. None if as many as allowed are lent.
///
/// # Errors
///
/// What the kernel says to a new pipe, or to its size.
pub(super) fn borrow(config: SpliceConfig) -> io::Result<Option<Loan>> {
    POOL.try_with(|pool| pool.borrow_mut().lend(config))
        .unwrap_or(Ok(None))
}

impl Pool {
    fn lend(&mut self, config: SpliceConfig) -> io::Result<Option<Loan>> {
        let size = config.pipe_capacity();
        if self.lent.load(Ordering::Relaxed) >= config.pipe_limit() {
            return Ok(None);
        }
        let ends = match self.idle.iter().rposition(|idle| idle.size == size) {
            Some(at) => self.idle.remove(at).ends,
            None => new_pipe(size)?,
        };
        self.lent.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Loan {
            ends: Some(ends),
            size,
            bytes: 0,
            lent: self.lent.clone(),
        }))
    }

    fn tidy(&mut self, now: Instant) {
        self.idle
            .retain(|idle| now.duration_since(idle.since) <= IDLE_TIME);
    }

    fn take_back(&mut self, ends: Ends, size: u32) {
        let now = Instant::now();
        self.tidy(now);
        if self.idle.len() < MAX_IDLE {
            self.idle.push(Idle {
                ends,
                size,
                since: now,
            });
        }
    }
}

fn new_pipe(size: u32) -> io::Result<Ends> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    fcntl_setpipe_size(&write, size as usize)?;
    Ok(Ends { read, write })
}

impl Loan {
    pub(super) fn ends(&self) -> &Ends {
        match &self.ends {
            Some(ends) => ends,
            None => unreachable!("a loan has its pipe until it is dropped"),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// How many bytes are in the pipe. Never more than its size, which fits.
    pub(super) fn set_bytes(&mut self, bytes: usize) {
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
        let ends = self.ends.take().filter(|_| self.bytes == 0);
        if let Some(ends) = ends {
            // `try_with`: a tunnel may be dropped while the thread's locals are being destroyed.
            let _ = POOL.try_with(|pool| pool.borrow_mut().take_back(ends, self.size));
        }
    }
}

/// Closes this thread's pipes that nobody has wanted for a while. For the moments in which a tunnel ends: a pool has no
/// clock of its own.
pub(crate) fn tidy() {
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if !pool.idle.is_empty() {
            pool.tidy(Instant::now());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> usize {
        POOL.with(|pool| pool.borrow().idle.len())
    }

    #[test]
    fn pipes_are_few_and_come_back_only_empty() {
        let config = SpliceConfig::default().pipe_size(64 * 1024).max_pipes(2);
        let first = borrow(config).unwrap().unwrap();
        let mut second = borrow(config).unwrap().unwrap();
        assert!(borrow(config).unwrap().is_none(), "two are lent");

        second.set_bytes(1);
        drop(second);
        assert_eq!(idle(), 0, "a pipe with bytes in it is closed");
        drop(first);
        assert_eq!(idle(), 1);
        let again = borrow(config).unwrap().unwrap();
        assert_eq!(idle(), 0, "the one that waited is lent again");
        drop(again);

        let other_size = borrow(config.pipe_size(128 * 1024)).unwrap().unwrap();
        assert_eq!(idle(), 1, "one of another size stays");
        drop(other_size);
    }

    #[test]
    fn a_loan_that_ends_on_another_thread_is_a_loan_less_here() {
        let config = SpliceConfig::default().pipe_size(64 * 1024).max_pipes(1);
        for _ in 0..3 {
            let loan = borrow(config).unwrap().expect("the one before has ended");
            std::thread::spawn(move || drop(loan)).join().unwrap();
        }
    }
}

//! Whether the other end of a connection is still there: by its answers to PINGs, and by what moves.
//!
//! An answer to a PING comes when everything before the PING has been read. A peer that reads slowly has that much in front of it, and
//! is there all the same: as long as bytes come from it, or its stream takes bytes again that it had no room for, it lives, and where
//! nothing can be seen it has time for what lies before the PING.
//!
//! Knows counts of bytes. It must not know frames, nor what a connection is used for.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Sleep, sleep};

use crate::clock::reading_time;

/// What has moved on a connection's stream. Written by the task that drives the connection.
#[derive(Debug, Default)]
pub(super) struct Moved {
    received: AtomicU64,
    written: AtomicU64,
    /// Of the bytes that were written, those before the last PING that was answered.
    read: AtomicU64,
    /// How often the stream has gone on after it had been blocked: the peer's kernel at least has made room.
    resumed: AtomicU64,
    blocked: AtomicU8,
}

/// What a stream does not do for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Blocked {
    /// It has bytes of its own left, as TLS does, and may still take more.
    Flush = 1,
    /// It takes no bytes.
    Write = 2,
}

impl Moved {
    /// Bytes have come.
    pub(super) fn receive(&self, count: usize) {
        add(&self.received, count as u64);
    }

    /// Bytes are on their way to the stream.
    pub(super) fn write(&self, count: usize) {
        add(&self.written, count as u64);
    }

    /// The stream does not do this for now.
    pub(super) fn block(&self, what: Blocked) {
        self.blocked.store(what as u8, Ordering::Relaxed);
    }

    /// The stream has done it. That it takes bytes says nothing as long as it has room of its own for them.
    pub(super) fn resume(&self, what: Blocked) {
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked == what as u8 || blocked > 0 && what == Blocked::Flush {
            self.blocked.store(0, Ordering::Relaxed);
            add(&self.resumed, 1);
        }
    }

    /// Whether the stream takes nothing for now, or has not sent all that it has taken.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > 0
    }

    /// Changes whenever the stream goes on after it was blocked.
    pub(super) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// How long what may not have been read yet may take.
    pub(super) fn reading_time(&self) -> Duration {
        let written = self.written.load(Ordering::Relaxed);
        reading_time(written.saturating_sub(self.read.load(Ordering::Relaxed)))
    }

    /// Changes with every sign of life.
    fn signs(&self) -> u64 {
        let received = self.received.load(Ordering::Relaxed);
        received.wrapping_add(self.resumed())
    }
}

/// Only one task writes.
fn add(count: &AtomicU64, more: u64) {
    count.store(
        count.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Relaxed,
    );
}

/// A deadline that starts again whenever something has moved.
///
/// Nobody wakes the task for all that moves. So it looks a few times within the limit, and the deadline is kept to a part of that.
#[derive(Debug)]
pub(super) struct Quiet {
    /// Between two looks.
    interval: Duration,
    seen: u64,
    /// How many looks in a row have found nothing new.
    looks: u32,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How many looks there are within the limit.
const LOOKS: u32 = 8;

impl Quiet {
    pub(super) fn new(limit: Duration) -> Self {
        Quiet {
            interval: limit / LOOKS,
            seen: 0,
            looks: 0,
            timer: None,
        }
    }

    /// Ready once `progress` has been the same for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, progress: u64) -> Poll<()> {
        if self.seen != progress {
            self.seen = progress;
            self.looks = 0;
            self.timer = None;
        }
        loop {
            let interval = self.interval;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(interval)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            self.looks += 1;
            if self.looks >= LOOKS {
                return Poll::Ready(());
            }
        }
    }
}

/// Completes when the other end is not there any more.
pub(super) async fn silent(
    mut pings: PingPong,
    moved: Arc<Moved>,
    interval: Option<Duration>,
    limit: Duration,
) {
    let Some(interval) = interval else {
        return pending().await;
    };
    loop {
        sleep(interval).await;
        let before = moved.written.load(Ordering::Relaxed);
        let mut quiet = Quiet::new(limit.saturating_add(moved.reading_time()));
        let mut answered = pin!(pings.ping(Ping::opaque()));
        let lives = poll_fn(|cx| match answered.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.is_ok()),
            Poll::Pending => quiet.poll(cx, moved.signs()).map(|()| false),
        });
        if !lives.await {
            return;
        }
        moved.read.store(before, Ordering::Relaxed);
    }
}

//! The script of a faulty stream: what goes wrong, and after which byte.

use std::io::ErrorKind;
use std::time::Duration;

/// What goes wrong on a [`FaultyStream`](super::FaultyStream).
///
/// Settings combine, except that each direction has one way to stop: the last one named.
///
/// Byte positions count what this stream has read, or has accepted in writes, since it was made: on a connection that
/// begins with HTTP, its head too.
///
/// ```
/// use std::time::Duration;
/// use switchover::test_util::fault::Faults;
///
/// // A slow peer that takes ten bytes and then never reads again.
/// let zero_window = Faults::none().delay(Duration::from_millis(5)).write_at_most(3).stall_after_writing(10);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub(super) seed: Option<u64>,
    pub(super) read_at_most: Option<usize>,
    pub(super) write_at_most: Option<usize>,
    pub(super) hesitate: bool,
    pub(super) delay: Option<Duration>,
    pub(super) hold_until_flush: bool,
    pub(super) reading_stops: Option<(u64, Stop)>,
    pub(super) writing_stops: Option<(u64, Stop)>,
    pub(super) shutdown_fails: Option<ErrorKind>,
}

/// How one direction of a stream comes to its stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Reset,
    /// Reads say that the stream has ended; writes accept zero bytes.
    Zero,
    /// Pending for ever.
    Stall,
    /// Fails, every time.
    Fail(ErrorKind),
}

impl Faults {
    /// No faults: the stream behaves as the one that it wraps.
    #[must_use]
    pub fn none() -> Self {
        Faults::default()
    }

    /// Reads and writes of random length that are pending one time in three, determined by `seed`.
    ///
    /// Reads and writes each follow a sequence of their own, so that one does not depend on how often the other is
    /// tried. What is pending wakes its task at once.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Faults {
            seed: Some(seed),
            ..Faults::default()
        }
    }

    /// No read gives more than `length` bytes.
    ///
    /// # Panics
    ///
    /// If `length` is 0: a read of no bytes is the end of the stream.
    #[must_use]
    pub fn read_at_most(mut self, length: usize) -> Self {
        assert!(
            length > 0,
            "a read of no bytes is the end of the stream: see `end_after_reading`"
        );
        self.read_at_most = Some(length);
        self
    }

    /// No write accepts more than `length` bytes.
    ///
    /// # Panics
    ///
    /// If `length` is 0.
    #[must_use]
    pub fn write_at_most(mut self, length: usize) -> Self {
        assert!(
            length > 0,
            "to accept no bytes, see `zero_after_writing` and `stall_after_writing`"
        );
        self.write_at_most = Some(length);
        self
    }

    /// Every read, write, flush and shutdown is pending once, wakes its task, and happens the next time it is tried.
    #[must_use]
    pub fn hesitate(mut self) -> Self {
        self.hesitate = true;
        self
    }

    /// Every read, write, flush and shutdown first takes this long on tokio's clock.
    ///
    /// The delay of a read runs while it is waited for, and not from the arrival of its bytes.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Accepted bytes stay here until a flush or a shutdown, as in a buffered writer without a limit.
    #[must_use]
    pub fn hold_until_flush(mut self) -> Self {
        self.hold_until_flush = true;
        self
    }

    /// The connection is found reset by the read after `position` bytes.
    ///
    /// That read fails with [`ConnectionReset`](std::io::ErrorKind::ConnectionReset). From then on reads say that the
    /// stream has ended and writes fail with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe), which is how Linux
    /// reports a reset once. The other end of a [`pair`](super::pair) does not see it.
    #[must_use]
    pub fn reset_after_reading(mut self, position: u64) -> Self {
        self.reading_stops = Some((position, Stop::Reset));
        self
    }

    /// The connection is found reset by the write after `position` bytes; see
    /// [`reset_after_reading`](Faults::reset_after_reading). Bytes that had arrived before can still be read.
    #[must_use]
    pub fn reset_after_writing(mut self, position: u64) -> Self {
        self.writing_stops = Some((position, Stop::Reset));
        self
    }

    /// Reads say that the stream has ended after `position` bytes, whatever there is left.
    #[must_use]
    pub fn end_after_reading(mut self, position: u64) -> Self {
        self.reading_stops = Some((position, Stop::Zero));
        self
    }

    /// Reads are pending for ever after `position` bytes: a peer that has vanished.
    #[must_use]
    pub fn stall_after_reading(mut self, position: u64) -> Self {
        self.reading_stops = Some((position, Stop::Stall));
        self
    }

    /// Writes are pending for ever after `position` bytes: a peer whose receive window stays at zero.
    #[must_use]
    pub fn stall_after_writing(mut self, position: u64) -> Self {
        self.writing_stops = Some((position, Stop::Stall));
        self
    }

    /// Writes accept zero bytes after `position`, as a full fixed-size writer does.
    #[must_use]
    pub fn zero_after_writing(mut self, position: u64) -> Self {
        self.writing_stops = Some((position, Stop::Zero));
        self
    }

    /// Every read after `position` bytes fails with `kind`, as a TLS stream does after a record that it cannot open.
    #[must_use]
    pub fn fail_after_reading(mut self, position: u64, kind: ErrorKind) -> Self {
        self.reading_stops = Some((position, Stop::Fail(kind)));
        self
    }

    /// Every write after `position` bytes fails with `kind`. Reads are not touched.
    #[must_use]
    pub fn fail_after_writing(mut self, position: u64, kind: ErrorKind) -> Self {
        self.writing_stops = Some((position, Stop::Fail(kind)));
        self
    }

    /// Every shutdown fails with `kind`, and the other end does not learn of it.
    #[must_use]
    pub fn fail_shutdown(mut self, kind: ErrorKind) -> Self {
        self.shutdown_fails = Some(kind);
        self
    }
}

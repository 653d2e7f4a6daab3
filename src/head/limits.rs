//! Law: how much of a message head is read before it is refused.

/// Limits on one message head.
///
/// What others use: nginx reads a request head into at most 4 buffers of 8 KiB and an upstream's head into one of
/// 4 KiB; hyper allows about 400 KiB and 100 fields; Apache 8,190 bytes a line and 100 fields; IIS 16 KiB.
///
/// ```
/// use switchover::head::HeadLimits;
///
/// let limits = HeadLimits::default().max_bytes(16 * 1024).max_fields(64);
/// assert_eq!(limits.bytes(), 16 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    bytes: usize,
    fields: usize,
}

impl HeadLimits {
    const MOST_FIELDS: usize = 16 * 1024;

    /// The most bytes in a head: start line, all field lines and the empty line. Default 65,536.
    ///
    /// A connection whose head is under way holds a buffer of up to this size. A request beyond it is answered 414
    /// if its first line alone is too long, else 431; an upstream's answer beyond it becomes a 502.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The most field lines in a head. Default 128, at most 16,384. A request beyond it is answered 431.
    #[must_use]
    pub const fn max_fields(mut self, fields: usize) -> Self {
        // A `HeaderMap` panics above 24,576 fields, and the proxy adds some of its own.
        self.fields = if fields < Self::MOST_FIELDS {
            fields
        } else {
            Self::MOST_FIELDS
        };
        self
    }

    /// The most bytes in a head.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most field lines in a head.
    pub const fn fields(&self) -> usize {
        self.fields
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            bytes: 64 * 1024,
            fields: 128,
        }
    }
}

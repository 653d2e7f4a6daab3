//! The one definition of the two words for the ends of a proxied connection.

use std::fmt;
use std::ops::Not;

/// An end of a proxied connection, as the proxy sees it.
///
/// Wherever both ends are arguments, downstream comes first.
///
/// ```
/// use switchover::Side;
///
/// assert_eq!(!Side::Downstream, Side::Upstream);
/// assert_eq!(Side::Upstream.to_string(), "upstream");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Side {
    /// The side that connected to us: the client.
    Downstream,
    /// The side that we connect to: the origin, or the next proxy on the way to it.
    Upstream,
}

impl Not for Side {
    type Output = Side;

    fn not(self) -> Side {
        match self {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Downstream => "downstream",
            Side::Upstream => "upstream",
        })
    }
}

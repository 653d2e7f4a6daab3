//! This file decides which responses a rule applies to.

use http::StatusCode;

/// Which responses a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statuses {
    /// Those with the status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308, as nginx's `add_header`. A 101 is not
    /// among them. The default.
    #[default]
    Usual,
    /// All final ones, and 101: `always`.
    Always,
}

impl Statuses {
    /// Whether responses with this status are among them.
    #[must_use]
    pub fn contains(self, status: StatusCode) -> bool {
        match status.as_u16() {
            200 | 201 | 204 | 206 | 301..=304 | 307 | 308 => true,
            // Interim responses are the origin's word before its answer.
            100 | 102..=199 => false,
            _ => self == Statuses::Always,
        }
    }
}

//! This file decides what happens to a client's fields whose names have an underscore.

use http::header::HeaderName;

/// What becomes of a client's fields whose names have an underscore.
///
/// Back ends that take fields as environment variables (CGI, WSGI, PHP) cannot distinguish `X_User` from `X-User`. A client
/// that sends the one gets past a proxy that sets the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Underscores {
    /// Those go that look like a field which the proxy sets or removes: by a rule, for forwarding, or of its own
    /// (`Content_Length`). The rest stays: nothing hangs on them, and a field that is dropped silently is hard to
    /// find. The default.
    #[default]
    DropLookAlikes,
    /// All of them go: nginx's default, `underscores_in_headers off`. Right where the origin reads fields that this
    /// proxy does not know of, and that another one sets.
    DropAll,
    /// All stay but those that look like forwarding fields: `underscores_in_headers on`. Danger: as above.
    Keep,
}

/// Whether two different names look the same to a back end that has no hyphens.
pub(super) fn look_alike(name: &HeaderName, other: &HeaderName) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let (name, other) = (name.as_str().as_bytes(), other.as_str().as_bytes());
    name.len() == other.len()
        && name != other
        && name
            .iter()
            .zip(other)
            .all(|(&byte, &other)| folded(byte) == folded(other))
}

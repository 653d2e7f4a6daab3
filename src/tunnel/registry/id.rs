//! What a tunnel in a registry is known by.
//!
//! Knows two numbers. It must not know the registry.

use std::fmt;
use std::str::FromStr;

/// Which tunnel it is, in a registry: the number of tunnels before it, and its place. It is written `7-3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId {
    /// From one on.
    pub(super) number: u32,
    pub(super) slot: u32,
}

impl TunnelId {
    pub(super) const UNLISTED: TunnelId = TunnelId { number: 0, slot: 0 };
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.slot)
    }
}

impl fmt::Debug for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no [`TunnelId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a tunnel is written as two numbers, as in 7-3")]
pub struct TunnelIdError;

impl FromStr for TunnelId {
    type Err = TunnelIdError;

    fn from_str(text: &str) -> Result<Self, TunnelIdError> {
        let number = |text: &str| text.parse().map_err(|_| TunnelIdError);
        let (first, second) = text.split_once('-').ok_or(TunnelIdError)?;
        Ok(TunnelId {
            number: number(first)?,
            slot: number(second)?,
        })
    }
}

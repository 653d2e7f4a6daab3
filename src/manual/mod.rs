//! What does not belong to one module: how the house is built, what it defends against, the defaults and the
//! departures from the RFCs.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("departures.md")]
pub mod departures {}

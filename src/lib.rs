//! Upgrade-aware proxying: carries an HTTP connection across a protocol switch.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "gateway")]
pub mod connect;
#[cfg(feature = "gateway")]
mod error;
#[cfg(feature = "gateway")]
mod exchange;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod handshake;
pub mod head;
pub mod header;
mod side;
#[cfg(feature = "test-util")]
pub mod test_util;
pub mod token;
#[cfg(feature = "tunnel")]
pub mod tunnel;
pub mod websocket;
#[cfg(feature = "gateway")]
mod wire;

#[cfg(feature = "gateway")]
pub use error::{Cause, Error, Phase};

pub use side::Side;

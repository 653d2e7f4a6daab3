//! Upgrade-aware proxying: carries an HTTP connection across a protocol switch.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod side;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(feature = "tunnel")]
pub mod tunnel;

pub use side::Side;

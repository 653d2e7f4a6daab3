//! Upgrade-aware proxying: carries an HTTP connection across a protocol switch.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod side;
pub mod websocket;

pub use side::Side;

//! Upgrade-aware proxying: carries an HTTP connection across a protocol switch.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod handshake;
pub mod head;
pub mod header;
mod side;
pub mod token;
pub mod websocket;

pub use side::Side;

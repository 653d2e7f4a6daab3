//! Real peers of the program gateway: clients and servers on both sides, a browser, and other proxies in front and
//! behind.
//!
//! What a machine lacks is skipped with a printed line. With `SWITCHOVER_PEERS=required` a skip is a failure. The
//! programs' packages are looked for in `tests/peers/`: `node_modules` and `venv`, which `.ci/run` installs.

#[cfg(target_os = "linux")]
mod admin;
mod app;
mod browser;
#[cfg(target_os = "linux")]
mod chains;
mod clients;
mod containers;
mod frames;
mod in_axum;
mod kubernetes;
#[cfg(target_os = "linux")]
mod mistakes;
mod openssl;
mod over_tls;
#[cfg(target_os = "linux")]
mod podman;
#[cfg(target_os = "linux")]
mod proxies;
#[cfg(target_os = "linux")]
mod rolling;
mod spdy;
mod taps;
use support::{certificates, peers as programs, running_gateway};

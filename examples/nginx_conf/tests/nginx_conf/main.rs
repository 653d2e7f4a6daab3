//! The example `nginx_conf` and nginx with the same configurations, the same clients and the same origins.
//!
//! Where nginx is not installed the comparison is skipped with a printed line, and the example is looked at alone. With
//! `SWITCHOVER_PEERS=required` a skip is a failure.
#![cfg(unix)]

mod answers_alike;
mod carried;
mod client_certificates;
mod closed;
mod compared;
mod compressed;
mod counting;
mod distribution;
mod explain;
mod findings;
mod flags;
mod group_departures;
mod groups;
mod guards;
mod heads;
mod instead;
mod logs;
mod named;
mod next_upstream;
mod over_http2;
mod over_tls;
mod paths;
mod preconditions;
mod program;
mod read_alike;
mod real_ip;
mod redirects;
mod refused;
mod reload;
mod resolving;
mod seen;
mod served;
mod to_rust;
mod types_and_expiry;
mod upgrade_answers;

use support::{black_hole, certificates};

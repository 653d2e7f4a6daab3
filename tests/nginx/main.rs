//! The same questions to nginx and to the rules: which server, which location, which target, which fields, which client.
//!
//! Each table holds the answer, and both must give it; where the crate departs from nginx on purpose, the row says so.
//! What a machine lacks is skipped with a printed line, and the crate alone is asked. With `SWITCHOVER_PEERS=required` a
//! skip is a failure.

mod header_rules;
mod locations;
mod proxy_protocol;
mod real_ip;
mod server_names;

use support::nginx as peer;

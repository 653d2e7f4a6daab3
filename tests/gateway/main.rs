//! What a client and an origin see of a gateway between them, as stories on loopback sockets.

mod asked;
mod cancel;
mod client_leaves;
mod deadlines;
mod declined;
mod early_data;
mod frames;
mod header_rules;
mod interim;
mod ordinary;
mod own_answers;
mod request_body;
use support::running_gateway;
mod switching;
mod taps;
mod upstream_failures;

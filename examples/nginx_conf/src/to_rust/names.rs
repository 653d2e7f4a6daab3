//! Which directives a program takes account of, and which of the others are worth a word.

use crate::directives::has_no_bearing;

/// What the program does, or has no need to do: the library does it, or does not do otherwise.
const DONE: &[&str] = &[
    "client_max_body_size",
    "default_type",
    "events",
    "http",
    "include",
    "keepalive_timeout",
    "large_client_header_buffers",
    "client_header_timeout",
    "listen",
    "location",
    "log_format",
    "map",
    "proxy_buffer_size",
    "proxy_buffers",
    "proxy_connect_timeout",
    "proxy_hide_header",
    "proxy_http_version",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_pass",
    "proxy_read_timeout",
    "proxy_redirect",
    "proxy_send_timeout",
    "proxy_set_header",
    "proxy_ssl_name",
    "proxy_ssl_trusted_certificate",
    "resolver",
    "resolver_timeout",
    "return",
    "add_header",
    "send_timeout",
    "server",
    "server_name",
    "ssl_certificate",
    "ssl_certificate_key",
    "upstream",
    "worker_connections",
    "worker_processes",
];

/// Whether a line is lost, and the reader has to know.
pub(super) fn is_lost(name: &str, also_done: &[&str]) -> bool {
    !DONE.contains(&name) && !also_done.contains(&name) && !has_no_bearing(name)
}

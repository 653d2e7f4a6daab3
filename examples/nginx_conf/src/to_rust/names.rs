//! Which directives a program takes account of, which of the others are worth a word, and what there is in the library in their place.

use crate::directives::has_no_bearing;
use crate::tree::Directive;

/// What the program does, or has no need to do: the library does it, or does not do otherwise.
const DONE: &[&str] = &[
    "add_header",
    "client_body_timeout",
    "client_header_buffer_size",
    "client_header_timeout",
    "client_max_body_size",
    "default_type",
    "events",
    "http",
    "http2",
    "ignore_invalid_headers",
    "include",
    "keepalive_timeout",
    "large_client_header_buffers",
    "listen",
    "location",
    "limit_conn",
    "limit_conn_status",
    "limit_conn_zone",
    "map",
    "proxy_bind",
    "proxy_buffer_size",
    "proxy_buffers",
    "proxy_connect_timeout",
    "proxy_hide_header",
    "proxy_http_version",
    "proxy_ignore_client_abort",
    "proxy_next_upstream",
    "proxy_next_upstream_timeout",
    "proxy_next_upstream_tries",
    "proxy_pass",
    "proxy_pass_header",
    "proxy_read_timeout",
    "proxy_redirect",
    "proxy_send_timeout",
    "proxy_set_header",
    "proxy_ssl_certificate",
    "proxy_ssl_certificate_key",
    "proxy_ssl_name",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_verify",
    "proxy_ssl_verify_depth",
    "real_ip_header",
    "real_ip_recursive",
    "return",
    "send_timeout",
    "server",
    "server_name",
    "set_real_ip_from",
    "ssl",
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_reject_handshake",
    "underscores_in_headers",
    "upstream",
    "worker_connections",
    "worker_processes",
    "worker_shutdown_timeout",
];

/// What is not done, though the library has a part for it: which, for whoever goes on with the program.
const PARTS: &[(&str, &str)] = &[
    ("access_log", "connect::Trace"),
    (
        "error_page",
        "service::answer_one and gateway::Answered::into_client",
    ),
    ("expires", "header::HeaderRules::add_on_response"),
    ("hash", "upstream::CustomKey"),
    ("limit_conn_zone", "tunnel::PeerCap"),
    ("log_format", "connect::Trace"),
    ("merge_slashes", "route::PathReading"),
    (
        "proxy_intercept_errors",
        "service::answer_one and gateway::Answered::into_client",
    ),
    ("proxy_method", "service::Relay::respond"),
    ("proxy_pass_request_body", "service::Relay::respond"),
    ("proxy_pass_request_headers", "service::Relay::respond"),
    ("proxy_set_body", "service::Relay::respond"),
    (
        "resolver",
        "connect::TcpConnect::resolver and upstream::Builder::discover",
    ),
    (
        "resolver_timeout",
        "connect::TcpConnect::resolver and upstream::Builder::discover",
    ),
    ("ssl_client_certificate", "tls::TlsServerBuilder::client_roots"),
    ("ssl_protocols", "tls::TlsServerConfig::from_rustls"),
    ("ssl_verify_client", "tls::TlsServerBuilder::client_roots"),
    ("sticky", "upstream::CustomBalance"),
];

/// Whether a line is lost, and the reader has to know.
pub(super) fn is_lost(line: &Directive) -> bool {
    let name = &*line.name;
    let is_nothing = name == "access_log" && line.first() == "off";
    !DONE.contains(&name) && !has_no_bearing(name) && !is_nothing
}

/// What there is to say of a line that is lost.
pub(super) fn without(name: &str) -> String {
    match PARTS.iter().find(|(known, _)| *known == name) {
        Some((_, part)) => format!("is not written here; see {part}"),
        None => "has no equivalent here".to_owned(),
    }
}

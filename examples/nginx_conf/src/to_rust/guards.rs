//! What may keep somebody out: a location with such a line, of its own or of an outer level, is closed in the program.
//!
//! The list of what is harmless is the closed one: every line that the program does not do counts as a guard unless it is named here.

use crate::tree::Directive;

use super::Level;
use super::names::is_lost;
use super::zones::Zones;

/// Lost, but nobody is let in by that.
const KEEPS_NOBODY_OUT: &[&str] = &[
    "absolute_redirect",
    "access_log",
    "auth_delay",
    "autoindex",
    "charset",
    "charset_types",
    "error_log",
    "error_page",
    "expires",
    "gzip",
    "gzip_static",
    "index",
    "limit_rate",
    "log_format",
    "resolver",
    "resolver_timeout",
    "merge_slashes",
    "port_in_redirect",
    "proxy_cache",
    "proxy_cookie_domain",
    "proxy_cookie_flags",
    "proxy_cookie_path",
    "proxy_intercept_errors",
    "proxy_ignore_headers",
    "recursive_error_pages",
    "root",
    "server_name_in_redirect",
    "ssl_trusted_certificate",
    "ssl_verify_depth",
    "ssi",
    "sub_filter",
    "sub_filter_last_modified",
    "sub_filter_once",
    "sub_filter_types",
    "types",
    "limit_req_zone",
    "limit_req_status",
    "split_clients",
    "geo",
    "set",
    "ssl_protocols",
];

/// The line that closes a location, if one does.
pub(super) fn guard<'a>(level: &Level<'a>, zones: &Zones) -> Option<&'a Directive> {
    // `allow all` alone keeps nobody out.
    let has_deny = level.one("deny").is_some();
    level.0.iter().copied().find(|line| match &*line.name {
        "allow" => has_deny,
        "auth_basic" | "auth_request" if line.first() == "off" => false,
        "auth_basic_user_file" | "auth_request_set" => false,
        "satisfy" => false,
        "limit_conn" => !zones.has(line),
        name => is_lost(line) && !KEEPS_NOBODY_OUT.contains(&name),
    })
}

//! A location with an upstream: its group, its rules, its deadlines and limits, for ordinary requests and for upgrades.

use std::time::Duration;

use crate::measures;
use crate::tree::Directive;

use super::upstream::{self, Url, duration, group};
use super::{Around, Level, Program, quoted, rules};

const MINUTE: Duration = Duration::from_secs(60);

/// As an expression.
pub(super) fn proxy(
    url: &Url,
    level: &Level<'_>,
    path: &str,
    around: &Around<'_>,
    program: &mut Program,
) -> String {
    let key = group(url, level, around, program);
    program.line(
        1,
        &format!("let backend = shared.upstreams[{}].clone();", quoted(&key)),
    );
    let retry = retry(level, program);
    program.line(1, &format!("let backend = backend.retry({retry});"));
    rules::of_proxy(url, level, path, around, program);
    let limits = Limits::of(level);
    relay(&limits, url, around, program);
    let upgrades = match carries_upgrade(level) {
        true => {
            upgrades(&limits, program);
            "Some(Acceptor::new(upgrades))"
        }
        false => "None",
    };
    let real_ip = real_ip(level, program);
    let crowded = level.one("limit_conn_status").map_or("503", Directive::first);
    let replacement = match &url.replacement {
        Some(path) => format!("Some({})", quoted(path)),
        None => "None".to_owned(),
    };
    format!(
        "Content::Proxy(Box::new(Proxy {{\n    relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),\n    backend,\n    \
         replacement: {replacement},\n    rules,\n    upgrades: {upgrades},\n    real_ip: {real_ip},\n    places: {},\n    crowded: {crowded},\n}}))",
        around.zones.places(level)
    )
}

/// As expressions.
struct Limits {
    connect: String,
    read: String,
    send: String,
    of_bodies: String,
    largest_body: String,
    head: u64,
    /// `proxy_ignore_client_abort`.
    ignores_abort: bool,
}

impl Limits {
    fn of(level: &Level<'_>) -> Limits {
        let time = |name: &str| {
            let line = level.one(name)?;
            measures::time(line.first()).ok().filter(|time| !time.is_zero())
        };
        let or = |name: &str| time(name).unwrap_or(MINUTE);
        let size = |name: &str| measures::size(level.one(name)?.first()).ok();
        Limits {
            connect: duration(or("proxy_connect_timeout")),
            read: duration(or("proxy_read_timeout")),
            send: duration(or("send_timeout").max(or("proxy_send_timeout"))),
            of_bodies: duration(or("client_body_timeout")),
            largest_body: match size("client_max_body_size").unwrap_or(1 << 20) {
                0 => "None".to_owned(),
                most => most.to_string(),
            },
            head: size("proxy_buffer_size").unwrap_or(64 << 10),
            ignores_abort: level
                .one("proxy_ignore_client_abort")
                .is_some_and(|line| line.first() == "on"),
        }
    }

    fn half_close(&self) -> &'static str {
        match self.ignores_abort {
            true => "\n    .allow_early_half_close(true)",
            false => "",
        }
    }
}

fn relay(limits: &Limits, url: &Url, around: &Around<'_>, program: &mut Program) {
    let kept = upstream::block_of(url, around).map_or(String::new(), kept);
    let Limits {
        connect,
        read,
        send,
        of_bodies,
        largest_body,
        head,
        ..
    } = limits;
    program.line(
        1,
        &format!(
            "let relay = RelayConfig::default()\n    .connect_timeout({connect})\n    .read_timeout({read})\n    \
             .send_timeout({send})\n    .request_body_timeout({of_bodies})\n    .max_request_body({largest_body})\n    .drain(shared.drain.clone()){}{kept}\n    \
             .response_limits(HeadLimits::default().max_bytes({head}));",
            limits.half_close()
        ),
    );
}

/// How long connections to a group are kept, where it is said.
fn kept(block: &Directive) -> String {
    let mut text = String::new();
    for line in block.lines() {
        let first = line.first();
        text += &match (&*line.name, measures::time(first), measures::number(first)) {
            ("keepalive_timeout", Ok(time), _) => format!("\n    .idle_timeout({})", duration(time)),
            ("keepalive_time", Ok(time), _) => format!("\n    .max_connection_age({})", duration(time)),
            ("keepalive_requests", _, Ok(most)) => format!("\n    .max_requests_per_connection({most})"),
            _ => continue,
        };
    }
    text
}

fn upgrades(limits: &Limits, program: &mut Program) {
    let Limits {
        connect,
        read,
        send,
        head,
        ..
    } = limits;
    program.line(
        1,
        &format!(
            "let tunnel = TunnelConfig::default().idle_timeout({read}).write_timeout({send});\n\
             let upgrades = GatewayConfig::default()\n    .forwarding(forwarding())\n    .tunnel(tunnel)\n    .cap(shared.tunnels.clone())\n    \
             .connect_timeout({connect})\n    .handshake_timeout({read})\n    .read_timeout({read}){}\n    \
             .response_limits(HeadLimits::default().max_bytes({head}));",
            limits.half_close()
        ),
    );
}

/// Whether the lines carry an upgrade, as nginx needs them to.
fn carries_upgrade(level: &Level<'_>) -> bool {
    let value = |name: &str| {
        let mut lines = level.all("proxy_set_header");
        let line = lines.find(|line| line.first().eq_ignore_ascii_case(name));
        line.map_or("", |line| line.argument(1))
    };
    let connection = value("Connection");
    let has_connection = connection.starts_with('$') || crate::fields::has_token(connection, "upgrade");
    !value("Upgrade").is_empty() && has_connection
}

/// `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`, as an expression. What the PROXY protocol says is the listener's.
fn real_ip(level: &Level<'_>, program: &mut Program) -> String {
    let field = level.one("real_ip_header").map_or("X-Real-IP", Directive::first);
    match trusted(level, program) {
        Some(proxies) if field != "proxy_protocol" => {
            let field = quoted(&field.to_ascii_lowercase());
            format!("Some(RealIp {{ proxies: {proxies}, field: {field} }})")
        }
        _ => "None".to_owned(),
    }
}

/// The proxies that are believed, as an expression; none where nobody is.
pub(super) fn trusted(level: &Level<'_>, program: &mut Program) -> Option<String> {
    let (mut networks, mut unix) = (Vec::new(), false);
    let lines: Vec<&Directive> = level.all("set_real_ip_from").collect();
    for line in &lines {
        match line.first() {
            "unix:" => unix = true,
            network if network.parse::<switchover::header::Network>().is_ok() => {
                networks.push(format!("{}.parse()?", quoted(network)));
            }
            _ => program.without(1, line, ": a name"),
        }
    }
    let recursive = level
        .one("real_ip_recursive")
        .is_some_and(|line| line.first() == "on");
    (!lines.is_empty()).then(|| {
        format!(
            "TrustedProxies::new([{}]).trust_unknown({unix}).recursive({recursive})",
            networks.join(", ")
        )
    })
}

/// `proxy_next_upstream`, as an expression.
fn retry(level: &Level<'_>, program: &mut Program) -> String {
    let line = level.one("proxy_next_upstream");
    let has = |name: &str| line.is_some_and(|line| line.arguments.iter().any(|argument| argument == name));
    if has("off") {
        return "Retry::never()".to_owned();
    }
    if let Some(line) = line.filter(|_| has("non_idempotent")) {
        program.without(
            1,
            line,
            " in non_idempotent: nothing is sent again that may have done something",
        );
    }
    let mut text = match line {
        // As in nginx.
        None => "Retry::default().invalid_heads(false)".to_owned(),
        Some(_) => format!(
            "Retry::default().errors({}).timeouts({}).invalid_heads({})",
            has("error"),
            has("timeout"),
            has("invalid_header")
        ),
    };
    let statuses = line.iter().flat_map(|line| &line.arguments);
    let statuses: Vec<String> = statuses
        .filter_map(|argument| argument.strip_prefix("http_")?.parse::<u16>().ok())
        .map(|status| format!("StatusCode::from_u16({status})?"))
        .collect();
    if !statuses.is_empty() {
        text += &format!(".statuses([{}])", statuses.join(", "));
    }
    // No limit is written as 0.
    let tries = level.one("proxy_next_upstream_tries").map(Directive::first);
    if let Some(tries @ 1..) = tries.and_then(|tries| tries.parse::<usize>().ok()) {
        text += &format!(".max_attempts({tries})");
    }
    let limit = level.one("proxy_next_upstream_timeout").map(Directive::first);
    let limit = limit.and_then(|limit| measures::time(limit).ok());
    if let Some(limit) = limit.filter(|limit| !limit.is_zero()) {
        text += &format!(".time_limit({})", duration(limit));
    }
    text
}

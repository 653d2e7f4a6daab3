//! An address: its certificates by name, who announces its clients, and the deadlines and limits that hold before a location is known.

use std::time::Duration;

use switchover::route::{HostPattern, Hosts};

use crate::listen::{Address, Listen};
use crate::measures;
use crate::tree::Directive;

use super::proxy::trusted;
use super::upstream::duration;
use super::{Level, Program, quoted, shown};

/// The end of the function that makes a listener: what is said for its servers, and the listener itself.
pub(super) fn listener(
    address: &Address,
    here: &[(&Directive, &Listen)],
    http: &Level<'_>,
    of_default: &Level<'_>,
    program: &mut Program,
) {
    let is_http2 = here.iter().any(|(block, listen)| {
        let line = http.within(block.lines()).one("http2");
        listen.is_http2 || line.is_some_and(|line| line.first() == "on")
    });
    let is_tls = here.iter().any(|(_, listen)| listen.is_tls);
    let tls = match is_tls {
        true => tls(here, is_http2, http, program),
        false => "None",
    };
    let announced = match here.iter().any(|(_, listen)| listen.is_proxied) {
        true => format!("Some({})", balancers(of_default, program)),
        false => "None".to_owned(),
    };
    let is_dual = here.iter().any(|(_, listen)| listen.is_dual);
    let time = |name: &str, default: u64| {
        let said = of_default
            .one(name)
            .and_then(|line| measures::time(line.first()).ok());
        let said = said.filter(|time| !time.is_zero());
        duration(said.unwrap_or(Duration::from_secs(default)))
    };
    let (header, keep, send) = (
        time("client_header_timeout", 60),
        time("keepalive_timeout", 75),
        time("send_timeout", 60),
    );
    let http2 = match is_tls && is_http2 {
        true => {
            program.line(
                1,
                &format!(
                    "\n// As nginx: no WebSockets over HTTP/2.\nlet http2 = Http2ServerConfig::default()\n    \
                     .extended_connect(false)\n    .header_timeout({header})\n    .idle_timeout({keep})\n    .send_timeout({send});"
                ),
            );
            "Some(Http2Server::new(http2))"
        }
        false => "None",
    };
    program.line(
        1,
        &format!(
            "\nlet config = no_upgrades()\n    .header_timeout({header})\n    .keep_alive_timeout({keep})\n    \
             .send_timeout({send})\n    .request_limits(HeadLimits::default().max_bytes({}));\nOk(Listener {{\n    \
             address: {},\n    dual: {is_dual},\n    announced: {announced},\n    tls: {tls},\n    \
             http2: {http2},\n    acceptor: Acceptor::new(config),\n    servers,\n}})",
            heads(of_default),
            quoted(&address.to_string())
        ),
    );
}

/// The most bytes of a request's head.
fn heads(level: &Level<'_>) -> u64 {
    let Some(line) = level.one("large_client_header_buffers") else {
        return 64 << 10;
    };
    let first = level.one("client_header_buffer_size");
    let first = first
        .and_then(|line| measures::size(line.first()).ok())
        .unwrap_or(1 << 10);
    let all = line
        .first()
        .parse::<u64>()
        .ok()
        .zip(measures::size(line.argument(1)).ok());
    let all = all.and_then(|(number, size)| number.checked_mul(size)?.checked_add(first));
    all.unwrap_or(64 << 10)
}

/// Of whom it is believed whose connections they are, as an expression.
fn balancers(level: &Level<'_>, program: &mut Program) -> String {
    let is_asked = level
        .one("real_ip_header")
        .is_some_and(|line| line.first() == "proxy_protocol");
    let trusted = trusted(level, program).filter(|_| is_asked);
    trusted.unwrap_or_else(|| "TrustedProxies::default()".to_owned())
}

/// Certificates by the names of the servers, and what chooses among them.
fn tls(
    here: &[(&Directive, &Listen)],
    is_http2: bool,
    http: &Level<'_>,
    program: &mut Program,
) -> &'static str {
    program.line(
        1,
        "\nlet mut certificates: Hosts<Option<TlsServerConfig>> = Hosts::default();",
    );
    let mut taken: Hosts<()> = Hosts::default();
    for (block, listen) in here {
        let level = http.within(block.lines());
        let is_refused = level
            .one("ssl_reject_handshake")
            .is_some_and(|line| line.first() == "on");
        let (mut chains, mut keys) = (level.all("ssl_certificate"), level.all("ssl_certificate_key"));
        let config = match (is_refused, chains.next(), keys.next()) {
            (true, ..) => "None".to_owned(),
            (false, Some(chain), Some(key)) => format!(
                "Some(TlsServerConfig::from_pem(std::fs::read({})?, std::fs::read({})?)?{})",
                quoted(chain.first()),
                quoted(key.first()),
                if is_http2 { ".http2()" } else { "" }
            ),
            // The names get the certificate of the default server, as every name does that is not here.
            _ => continue,
        };
        for line in chains {
            program.line(
                1,
                &format!(
                    "// {}: {}, and here one certificate for a server",
                    line.place,
                    shown(line)
                ),
            );
        }
        let said = block.lines().iter().filter(|line| line.name == "server_name");
        let mut names = Vec::new();
        for name in said.flat_map(|line| &line.arguments) {
            let pattern = name.parse::<HostPattern>();
            if pattern.is_ok_and(|pattern| taken.add([pattern], ()).is_ok()) {
                names.push(format!("{}.parse()?", quoted(name)));
            }
        }
        let add = if listen.is_default { "add_default" } else { "add" };
        program.line(
            1,
            &format!("certificates.{add}([{}], {config})?;", names.join(", ")),
        );
    }
    program.line(
        1,
        "let tls = TlsAcceptor::by_client_hello(move |hello| certificates.find(hello.server_name()).cloned().flatten());",
    );
    "Some(tls)"
}

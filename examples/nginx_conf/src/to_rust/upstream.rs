//! `upstream`, and the one server that a URL names: the table of groups.

use std::fmt::Write;

use crate::measures;
use crate::tree::Directive;

use super::names;
use super::{Around, Level, Program, quoted, shown};

/// The URL of `proxy_pass`, taken apart.
#[derive(Debug)]
pub(super) struct Url {
    pub(super) is_https: bool,
    /// Host and port as they are written, or `unix:/path`.
    pub(super) authority: String,
    pub(super) replacement: Option<String>,
}

impl Url {
    /// None for a URL with variables.
    pub(super) fn read(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, replacement) = match rest.strip_prefix("unix:") {
            Some(path) => {
                let (path, replacement) = path.split_once(':').unwrap_or((path, ""));
                (format!("unix:{path}"), replacement)
            }
            None => {
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                (rest[..at].to_owned(), &rest[at..])
            }
        };
        let is_plain = !text.contains('$') && !replacement.starts_with('?');
        is_plain.then(|| Url {
            is_https: scheme.eq_ignore_ascii_case("https"),
            authority,
            replacement: Some(replacement.to_owned()).filter(|path| !path.is_empty()),
        })
    }

    /// `$proxy_host`.
    pub(super) fn host(&self) -> &str {
        let default = if self.is_https { ":443" } else { ":80" };
        match self.authority.starts_with("unix:") {
            true => "localhost",
            false => self.authority.strip_suffix(default).unwrap_or(&self.authority),
        }
    }
}

/// The block of the group that a URL names, if it names one.
pub(super) fn block_of<'a>(url: &Url, around: &Around<'a>) -> Option<&'a Directive> {
    let mut blocks = around.blocks.iter();
    let found = blocks.find(|block| block.first().eq_ignore_ascii_case(&url.authority));
    found.copied()
}

/// Puts a group down for a location, and returns the name under which it is found.
pub(super) fn group(url: &Url, level: &Level<'_>, around: &Around<'_>, program: &mut Program) -> String {
    let block = block_of(url, around);
    let mut key = format!(
        "{}://{}",
        if url.is_https { "https" } else { "http" },
        url.authority
    );
    let mut text = String::new();
    let tls = url
        .is_https
        .then(|| tls(url, level, &mut key, &mut text, program));
    let from = bound(level, program);
    if let Some(from) = &from {
        key += &format!(" from {from}");
    }
    let way = Way {
        is_tls: tls.is_some(),
        from,
    };
    let _ = writeln!(text, "let group = Group::builder()");
    match block {
        Some(block) => servers(block, &way, &mut text),
        // Whatever fails there, it is asked again.
        None => added(&url.authority, &way, url.is_https, ".max_fails(0)", &mut text),
    }
    let _ = writeln!(text, "    .build();");
    program.upstreams.insert(key.clone(), text);
    key
}

/// How the servers of a group are connected to.
struct Way {
    /// By the variable `secured`.
    is_tls: bool,
    /// `proxy_bind`.
    from: Option<String>,
}

impl Way {
    /// A connector over TCP to what this expression is.
    fn tcp(&self, address: &str) -> String {
        let from = self
            .from
            .as_ref()
            .map(|from| format!(".local_address({}.parse()?)", quoted(from)));
        self.secured(format!("TcpConnect::to({address}){}", from.unwrap_or_default()))
    }

    /// A connector to what the variable `address` is.
    fn found(&self) -> String {
        let from = self.from.as_ref().map(|_| ".local_address(from)");
        self.secured(format!(
            "TcpConnect::to(address.to_string()){}",
            from.unwrap_or_default()
        ))
    }

    fn secured(&self, connect: String) -> String {
        match self.is_tls {
            true => format!("AnyConnect::new(secured.over({connect}))"),
            false => format!("AnyConnect::new({connect})"),
        }
    }
}

/// `proxy_bind` to an address.
fn bound(level: &Level<'_>, program: &mut Program) -> Option<String> {
    let line = level.one("proxy_bind").filter(|line| line.first() != "off")?;
    match (line.first().parse::<std::net::IpAddr>(), line.argument(1)) {
        (Ok(address), "") => Some(address.to_string()),
        _ => {
            program.without(1, line, "");
            None
        }
    }
}

/// Makes the variable `secured`, and adds to the name of the group what distinguishes it.
fn tls(url: &Url, level: &Level<'_>, key: &mut String, text: &mut String, program: &mut Program) {
    let one = |name: &str| level.one(name);
    let named = one("proxy_ssl_name").filter(|line| {
        let is_known = !line.first().contains('$');
        if !is_known && line.first() != "$proxy_host" {
            program.without(1, line, ": certificates have to be for the host in proxy_pass");
        }
        is_known
    });
    let name = named.map_or(url.host(), Directive::first);
    let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
    if let Some(line) = one("proxy_ssl_verify").filter(|line| line.first() == "off") {
        program.without(
            1,
            line,
            ": certificates are verified. Name one that nobody has signed with only_roots",
        );
    }
    let mut config = String::from("TlsClientConfig::builder()");
    if let Some(file) = one("proxy_ssl_trusted_certificate") {
        config += &format!(".only_roots(std::fs::read({})?)", quoted(file.first()));
    }
    if let (Some(chain), Some(private)) = (one("proxy_ssl_certificate"), one("proxy_ssl_certificate_key")) {
        let (chain, private) = (quoted(chain.first()), quoted(private.first()));
        config += &format!(".client_certificate(std::fs::read({chain})?, std::fs::read({private})?)");
    }
    // Where nginx verifies, it has a limit of its own.
    let depth = one("proxy_ssl_verify_depth").and_then(|line| measures::number(line.first()).ok());
    let verifies = one("proxy_ssl_verify").is_some_and(|line| line.first() == "on");
    if let Some(depth) = depth.or(verifies.then_some(1)) {
        config += &format!(".max_intermediates({depth})");
    }
    let _ = writeln!(
        text,
        "let tls = {config}.build()?;\nlet secured = TlsConnect::new(TcpConnect::to(\"none:0\"), {}, tls)?;",
        quoted(name)
    );
    *key += &format!(" as {name} by {config}");
}

fn servers(block: &Directive, way: &Way, text: &mut String) {
    // As in nginx: ordinary requests count for `max_conns` and `least_conn` too.
    text.push_str("    .count_requests()\n");
    for line in block.lines() {
        let mut without = |why: &str| {
            let _ = writeln!(text, "    // {}: {} {why}", line.place, shown(line));
        };
        match &*line.name {
            "server" if line.arguments.iter().any(|argument| argument == "down") => without("gets nothing"),
            "server" => {
                let mut settings = String::from(".keep_failures()");
                for argument in line.arguments.iter().skip(1) {
                    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
                    settings += &match (name, value.parse::<u32>(), measures::time(value)) {
                        ("weight", Ok(weight), _) => format!(".weight({weight})"),
                        ("max_fails", Ok(fails), _) => format!(".max_fails({fails})"),
                        ("max_conns", Ok(most @ 1..), _) => format!(".max_tunnels({most})"),
                        // No limit is written as 0.
                        ("max_conns", Ok(0), _) => String::new(),
                        ("fail_timeout", _, Ok(time)) if !time.is_zero() => {
                            let time = duration(time);
                            format!(".fail_timeout({time}).max_ejection({time})")
                        }
                        ("backup", ..) => ".backup()".to_owned(),
                        // Names are asked for again in any case.
                        ("resolve", ..) => String::new(),
                        _ => {
                            without(&format!("has no equivalent here for {argument}"));
                            String::new()
                        }
                    };
                }
                if !settings.contains(".max_ejection") {
                    settings.push_str(".max_ejection(Duration::from_secs(10))");
                }
                added(line.first(), way, false, &settings, text);
            }
            _ => match balance(line) {
                Some(balance) => {
                    let _ = writeln!(text, "    .balance({balance})");
                }
                // Of the relays of its locations.
                None if line.name.starts_with("keepalive_") => {}
                None if matches!(&*line.name, "keepalive" | "zone") => {}
                None => without(&names::without(&line.name)),
            },
        }
    }
}

/// By what rule requests are spread, as an expression.
fn balance(line: &Directive) -> Option<String> {
    let key = line.first();
    Some(match &*line.name {
        "least_conn" => "Balance::LeastTunnels".to_owned(),
        "random" if line.arguments.is_empty() => "Balance::Random".to_owned(),
        "random" => "Balance::PowerOfTwo".to_owned(),
        "ip_hash" => "Balance::Hash(Key::Client)".to_owned(),
        "hash" if matches!(key, "$remote_addr" | "$binary_remote_addr") => {
            "Balance::Hash(Key::Client)".to_owned()
        }
        "hash" => {
            let kinds = [("$arg_", "Query"), ("$cookie_", "Cookie"), ("$http_", "Header")];
            let of_kind = |(prefix, kind): &(&str, &str)| {
                Some((key.strip_prefix(prefix)?.to_owned(), kind.to_string()))
            };
            let (name, kind) = kinds.iter().find_map(of_kind)?;
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            match &*kind {
                _ if !is_name => return None,
                "Header" => format!(
                    "Balance::Hash(Key::Header({}.parse()?))",
                    quoted(&name.replace('_', "-"))
                ),
                kind => format!("Balance::Hash(Key::{kind}({}.into()))", quoted(&name)),
            }
        }
        _ => return None,
    })
}

/// Adds a server, or all at the addresses of a name.
fn added(address: &str, way: &Way, is_https: bool, settings: &str, text: &mut String) {
    if let Some(path) = address.strip_prefix("unix:") {
        let connect = way.secured(format!("UnixConnect::to({})", quoted(path)));
        let _ = writeln!(
            text,
            "    .server(Server::new({}, {connect}){settings})",
            quoted(address)
        );
        return;
    }
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let default = if is_https { 443 } else { 80 };
    let whole = match has_port {
        true => address.to_owned(),
        false => format!("{address}:{default}"),
    };
    match whole.parse::<std::net::SocketAddr>() {
        Ok(_) => {
            let connect = way.tcp(&quoted(&whole));
            let _ = writeln!(
                text,
                "    .server(Server::new({}, {connect}){settings})",
                quoted(address)
            );
        }
        // As in nginx: each address of a name is a server.
        Err(_) => {
            let mut own = String::new();
            if way.is_tls {
                own.push_str("let secured = secured.clone(); ");
            }
            if let Some(from) = &way.from {
                let _ = write!(own, "let from = {}.parse()?; ", quoted(from));
            }
            let connect = way.found();
            let _ = writeln!(
                text,
                "    .resolve({}, Duration::from_secs(30), {{ {own}move |address| Server::new(address.to_string(), {connect}){settings} }})",
                quoted(&whole)
            );
        }
    }
}

/// A time as an expression.
pub(super) fn duration(time: std::time::Duration) -> String {
    match time.subsec_millis() {
        0 => format!("Duration::from_secs({})", time.as_secs()),
        _ => format!("Duration::from_millis({})", time.as_millis()),
    }
}

/// The function that makes all groups.
pub(super) fn table(groups: &Program, out: &mut Program) {
    out.line(0, "fn upstreams() -> Result<Upstreams, Failure> {");
    out.line(1, "let mut upstreams = Upstreams::new();");
    for (key, text) in &groups.upstreams {
        out.line(1, text);
        out.line(1, &format!("upstreams.insert({}, group);", quoted(key)));
    }
    out.line(1, "Ok(upstreams)");
    out.line(0, "}");
}

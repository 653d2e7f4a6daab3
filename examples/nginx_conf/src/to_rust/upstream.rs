//! `upstream`, and the one server that a URL names: the table of groups.

use std::fmt::Write;

use crate::measures;
use crate::tree::Directive;

use super::{Level, Program, quoted, shown};

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

/// Puts a group down for a location, and returns the name under which it is found.
pub(super) fn group(url: &Url, level: &Level<'_>, blocks: &[&Directive], program: &mut Program) -> String {
    let name_of_tls = url.is_https.then(|| {
        let said = level.one("proxy_ssl_name").map(Directive::first);
        let name = said.filter(|name| !name.contains('$')).unwrap_or(url.host());
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        name.to_owned()
    });
    let roots = level.one("proxy_ssl_trusted_certificate").map(Directive::first);
    let roots = roots.filter(|_| url.is_https);
    let key = match (&name_of_tls, roots) {
        (None, _) => format!("http://{}", url.authority),
        (Some(name), roots) => format!(
            "https://{} as {name} by {}",
            url.authority,
            roots.unwrap_or("the system")
        ),
    };
    let block = blocks
        .iter()
        .find(|block| block.first().eq_ignore_ascii_case(&url.authority));
    let mut text = String::new();
    let tls = name_of_tls.as_ref().map(|name| {
        let config = match roots {
            Some(file) => format!(
                "TlsClientConfig::builder().only_roots(std::fs::read({})?).build()?",
                quoted(file)
            ),
            None => "TlsClientConfig::system()?".to_owned(),
        };
        let _ = writeln!(text, "let tls = {config};");
        name.clone()
    });
    let _ = writeln!(text, "let group = Group::builder()");
    match block {
        Some(block) => servers(block, tls.as_deref(), &mut text),
        None => {
            let server = server(&url.authority, tls.as_deref(), url.is_https);
            let _ = writeln!(text, "    .server({server})");
        }
    }
    let _ = writeln!(text, "    .build();");
    program.has_tls |= url.is_https;
    program.upstreams.insert(key.clone(), text);
    key
}

fn servers(block: &Directive, tls: Option<&str>, text: &mut String) {
    for line in block.lines() {
        match &*line.name {
            "server" if line.arguments.iter().any(|argument| argument == "down") => {
                let _ = writeln!(text, "    // {}: {}", line.place, shown(line));
            }
            "server" => {
                let mut made = server(line.first(), tls, false);
                for argument in line.arguments.iter().skip(1) {
                    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
                    made += &match (name, value.parse::<u32>(), measures::time(value)) {
                        ("weight", Ok(weight), _) => format!(".weight({weight})"),
                        ("max_fails", Ok(fails), _) => format!(".max_fails({fails})"),
                        ("max_conns", Ok(most @ 1..), _) => format!(".max_tunnels({most})"),
                        ("fail_timeout", _, Ok(time)) if !time.is_zero() => {
                            format!(".fail_timeout({})", duration(time))
                        }
                        ("backup", ..) => ".backup()".to_owned(),
                        _ => String::new(),
                    };
                }
                let _ = writeln!(text, "    .server({made})");
            }
            "least_conn" => text.push_str("    .balance(Balance::LeastTunnels)\n"),
            "random" if line.arguments.is_empty() => text.push_str("    .balance(Balance::Random)\n"),
            "random" => text.push_str("    .balance(Balance::PowerOfTwo)\n"),
            "ip_hash" => text.push_str("    .balance(Balance::Hash(Key::Client))\n"),
            "hash" => match (
                line.first().strip_prefix("$arg_"),
                line.first().strip_prefix("$cookie_"),
            ) {
                (Some(name), _) => {
                    let _ = writeln!(
                        text,
                        "    .balance(Balance::Hash(Key::Query({}.into())))",
                        quoted(name)
                    );
                }
                (_, Some(name)) => {
                    let _ = writeln!(
                        text,
                        "    .balance(Balance::Hash(Key::Cookie({}.into())))",
                        quoted(name)
                    );
                }
                _ if matches!(line.first(), "$remote_addr" | "$binary_remote_addr") => {
                    text.push_str("    .balance(Balance::Hash(Key::Client))\n");
                }
                _ => {
                    let _ = writeln!(
                        text,
                        "    // {}: {} has no equivalent here",
                        line.place,
                        shown(line)
                    );
                }
            },
            // Idle connections are kept anyway.
            "keepalive" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" | "zone" => {}
            _ => {
                let _ = writeln!(
                    text,
                    "    // {}: {} has no equivalent here",
                    line.place,
                    shown(line)
                );
            }
        }
    }
}

fn server(address: &str, tls: Option<&str>, is_https: bool) -> String {
    let connect = match address.strip_prefix("unix:") {
        Some(path) => format!("UnixConnect::to({})", quoted(path)),
        None => {
            let has_port = address
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let default = if is_https { 443 } else { 80 };
            let address = match has_port {
                true => address.to_owned(),
                false => format!("{address}:{default}"),
            };
            format!("{}.parse::<TcpConnect>()?", quoted(&address))
        }
    };
    let connect = match tls {
        Some(name) => format!("TlsConnect::new({connect}, {}, tls.clone())?", quoted(name)),
        None => connect,
    };
    format!("Server::new({}, AnyConnect::new({connect}))", quoted(address))
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

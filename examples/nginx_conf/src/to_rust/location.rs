//! `location`: the path that it is for, and what answers there.

use switchover::header::HeaderRules;
use switchover::header::rules::{HostRule, Statuses, Template};
use switchover::route::PathPattern;

use crate::measures;
use crate::tree::Directive;

use super::guards::guard;
use super::names::is_lost;
use super::upstream::{Url, duration, group};
use super::{Level, Program, quoted, shown};

/// What a location is for, as it is added; none for regular expressions and names.
pub(super) fn pattern(block: &Directive) -> Option<(String, String)> {
    let (kind, path) = match &block.arguments[..] {
        [path] if !path.starts_with(['@', '~', '=', '^']) => ("prefix", path.clone()),
        [path] if path.starts_with("^~") => ("prefix", path[2..].to_owned()),
        [path] if path.starts_with('=') => ("exact", path[1..].to_owned()),
        [sign, path] if sign == "^~" => ("prefix", path.clone()),
        [sign, path] if sign == "=" => ("exact", path.clone()),
        _ => return None,
    };
    let is_valid = match kind {
        "exact" => PathPattern::exact(&path).is_ok(),
        _ => PathPattern::prefix(&path).is_ok(),
    };
    is_valid.then(|| (format!("PathPattern::{kind}({})?", quoted(&path)), path))
}

/// Adds a location, and those within it. `why_closed` is a line of the server's.
pub(super) fn add(
    block: &Directive,
    outer: &Level<'_>,
    blocks: &[&Directive],
    why_closed: Option<&Directive>,
    program: &mut Program,
) {
    let level = outer.within(block.lines());
    let Some((pattern, path)) = pattern(block) else {
        program.without(
            1,
            block,
            if why_closed.is_some() {
                ": the server is closed"
            } else {
                ""
            },
        );
        return;
    };
    program.line(1, &format!("// {}: {}", block.place, shown(block)));
    for line in block.lines().iter().filter(|line| is_lost(&line.name, &[])) {
        program.without(1, line, "");
    }
    let closed = why_closed.or_else(|| guard(&level));
    let content = match closed {
        Some(line) => {
            program.line(
                1,
                &format!(
                    "// Closed: {} ({}) may keep somebody out.",
                    shown(line),
                    line.place
                ),
            );
            "Content::Closed".to_owned()
        }
        None => content(&level, block, &path, blocks, program),
    };
    program.line(1, &format!("locations.add({pattern}, {content})?;"));
    for inner in block.lines().iter().filter(|line| line.name == "location") {
        add(inner, &level, blocks, why_closed, program);
    }
}

/// What answers, as an expression.
fn content(
    level: &Level<'_>,
    block: &Directive,
    path: &str,
    blocks: &[&Directive],
    program: &mut Program,
) -> String {
    let own = |name: &str| block.lines().iter().find(|line| line.name == name);
    if let Some(line) = own("return") {
        return answer(line, level, program);
    }
    let Some(line) = own("proxy_pass") else {
        program.line(1, "// Closed: files have no equivalent here.");
        return "Content::Closed".to_owned();
    };
    match Url::read(line.first()) {
        Some(url) => proxy(&url, level, path, blocks, program),
        None => {
            program.without(1, line, ": closed");
            "Content::Closed".to_owned()
        }
    }
}

/// `return`, as an expression.
pub(super) fn answer(line: &Directive, level: &Level<'_>, program: &mut Program) -> String {
    let (status, text) = match (line.first().parse::<u16>(), line.argument(1)) {
        (Ok(status), text) => (status, text),
        (Err(_), _) => (302, line.first()),
    };
    let is_sound = (200..=599).contains(&status) && status != 444 && text.parse::<Template>().is_ok();
    if !is_sound {
        program.without(1, line, ": closed");
        return "Content::Closed".to_owned();
    }
    let kind = level.one("default_type").map_or("text/plain", Directive::first);
    format!(
        "Content::Answer {{ status: {status}, text: {}, kind: {} }}",
        quoted(text),
        quoted(kind)
    )
}

fn proxy(url: &Url, level: &Level<'_>, path: &str, blocks: &[&Directive], program: &mut Program) -> String {
    let key = group(url, level, blocks, program);
    program.line(1, &format!("let backend = upstreams[{}].clone();", quoted(&key)));
    if let Some(retry) = retry(level) {
        program.line(1, &format!("let backend = backend.retry({retry});"));
    }
    rules(url, level, path, program);
    let time = |name: &str| {
        let line = level.one(name)?;
        measures::time(line.first()).ok().filter(|time| !time.is_zero())
    };
    let minute = std::time::Duration::from_secs(60);
    let or = |name: &str| duration(time(name).unwrap_or(minute));
    let (connect, read) = (or("proxy_connect_timeout"), or("proxy_read_timeout"));
    let send = duration(
        time("send_timeout")
            .unwrap_or(minute)
            .max(time("proxy_send_timeout").unwrap_or(minute)),
    );
    let body = level.one("client_max_body_size").map(Directive::first);
    let body = body.and_then(|size| measures::size(size).ok()).unwrap_or(1 << 20);
    let body = if body == 0 {
        "None".to_owned()
    } else {
        body.to_string()
    };
    let head = level.one("proxy_buffer_size").map(Directive::first);
    let head = head
        .and_then(|size| measures::size(size).ok())
        .unwrap_or(64 << 10);
    program.line(
        1,
        &format!(
            "let relay = RelayConfig::default()\n    .connect_timeout({connect})\n    .read_timeout({read})\n    .send_timeout({send})\n    \
             .max_request_body({body})\n    .response_limits(HeadLimits::default().max_bytes({head}));"
        ),
    );
    let upgrades = if carries_upgrade(level) {
        program.line(
            1,
            &format!(
                "let tunnel = TunnelConfig::default().idle_timeout({read}).write_timeout({send});\n\
                 let upgrades = GatewayConfig::default()\n    .forwarding(forwarding())\n    .tunnel(tunnel)\n    .connect_timeout({connect})\n    \
                 .handshake_timeout({read})\n    .read_timeout({read})\n    .response_limits(HeadLimits::default().max_bytes({head}));"
            ),
        );
        "Some(Acceptor::new(upgrades))"
    } else {
        "None"
    };
    let replacement = match &url.replacement {
        Some(path) => format!("Some({})", quoted(path)),
        None => "None".to_owned(),
    };
    format!(
        "Content::Proxy(Box::new(Proxy {{\n    relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),\n    backend,\n    \
         replacement: {replacement},\n    rules,\n    upgrades: {upgrades},\n}}))"
    )
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

fn rules(url: &Url, level: &Level<'_>, path: &str, program: &mut Program) {
    program.line(
        1,
        &format!("let mut rules = plain_rules({})?;", quoted(url.host())),
    );
    if level
        .one("underscores_in_headers")
        .is_some_and(|line| line.first() == "on")
    {
        program.line(1, "rules = rules.underscores(Underscores::Keep);");
    }
    let mut is_again = Vec::new();
    for line in level.all("proxy_set_header") {
        let (name, value) = (line.first(), line.argument(1));
        let owned = ["Connection", "Upgrade"];
        if owned.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        if name.eq_ignore_ascii_case("Host") {
            match value.parse::<HostRule>() {
                Ok(_) => program.line(1, &format!("rules = rules.host({}.parse()?);", quoted(value))),
                Err(_) => program.without(1, line, ""),
            }
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let method = match is_again.contains(&lower) {
            true => "add_on_request",
            false => "set_on_request",
        };
        is_again.push(lower);
        let without = HeaderRules::default().set_on_request(name, "");
        match (HeaderRules::default().set_on_request(name, value), without) {
            (Ok(_), _) => {
                let text = format!("rules = rules.{method}({}, {})?;", quoted(name), quoted(value));
                program.line(1, &text);
            }
            // What the client says in its place does not go up.
            (Err(_), Ok(_)) => {
                program.without(1, line, "");
                program.line(1, &format!("rules = rules.remove_on_request({})?;", quoted(name)));
            }
            (Err(_), Err(_)) => program.without(1, line, ": the proxy says it itself"),
        }
    }
    for line in level.all("proxy_hide_header") {
        match HeaderRules::default().remove_on_response(line.first()) {
            Ok(_) => program.line(
                1,
                &format!("rules = rules.remove_on_response({})?;", quoted(line.first())),
            ),
            Err(_) => program.without(1, line, ""),
        }
    }
    redirects(url, level, path, program);
    for line in level.all("add_header") {
        let (name, value) = (line.first(), line.argument(1));
        match HeaderRules::default().add_on_response(name, value, Statuses::Usual) {
            Ok(_) => {
                let statuses = if line.argument(2) == "always" {
                    "Always"
                } else {
                    "Usual"
                };
                let text = format!(
                    "rules = rules.add_on_response({}, {}, Statuses::{statuses})?;",
                    quoted(name),
                    quoted(value)
                );
                program.line(1, &text);
            }
            Err(_) => program.without(1, line, ""),
        }
    }
}

fn redirects(url: &Url, level: &Level<'_>, path: &str, program: &mut Program) {
    let scheme = if url.is_https { "https" } else { "http" };
    let whole = format!(
        "{scheme}://{}{}",
        url.authority,
        url.replacement.as_deref().unwrap_or("/")
    );
    let default = match url.replacement {
        Some(_) => (whole.clone(), path.to_owned()),
        None => (whole.clone(), "/".to_owned()),
    };
    let mut redirect = |(from, to): (String, String)| {
        let text = format!("rules = rules.redirect({}, {})?;", quoted(&from), quoted(&to));
        if HeaderRules::default().redirect(&from, &to).is_ok() {
            program.line(1, &text);
            return true;
        }
        false
    };
    let lines: Vec<&Directive> = level.all("proxy_redirect").collect();
    if lines.is_empty() {
        redirect(default.clone());
    }
    for line in lines {
        let is_made = match &line.arguments[..] {
            [off] if off == "off" => true,
            [said] if said == "default" => redirect(default.clone()),
            [from, to] if !from.starts_with('~') => redirect((from.clone(), to.clone())),
            _ => false,
        };
        if !is_made {
            program.without(1, line, "");
            return;
        }
    }
}

/// `proxy_next_upstream`, as an expression; none where nothing is said.
fn retry(level: &Level<'_>) -> Option<String> {
    let line = level.one("proxy_next_upstream");
    let tries = level.one("proxy_next_upstream_tries").map(Directive::first);
    let tries = tries
        .and_then(|tries| tries.parse::<usize>().ok())
        .filter(|tries| *tries > 0);
    if line.is_none() && tries.is_none() {
        return None;
    }
    let has = |name: &str| line.is_none_or(|line| line.arguments.iter().any(|argument| argument == name));
    if line.is_some() && has("off") {
        return Some("Retry::never()".to_owned());
    }
    let statuses: Vec<String> = line
        .iter()
        .flat_map(|line| &line.arguments)
        .filter_map(|argument| argument.strip_prefix("http_")?.parse::<u16>().ok())
        .map(|status| format!("StatusCode::from_u16({status})?"))
        .collect();
    let mut text = format!(
        "Retry::default().errors({}).timeouts({}).invalid_heads({})",
        has("error"),
        has("timeout"),
        line.is_some() && has("invalid_header")
    );
    if !statuses.is_empty() {
        text += &format!(".statuses([{}])", statuses.join(", "));
    }
    if let Some(tries) = tries {
        text += &format!(".max_attempts({tries})");
    }
    Some(text)
}

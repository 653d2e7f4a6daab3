//! The rules for fields: `proxy_set_header`, `proxy_hide_header`, `proxy_redirect`, `add_header` and what holds without a line.

use switchover::header::HeaderRules;
use switchover::header::rules::{HostRule, Statuses};

use crate::tree::Directive;

use super::upstream::Url;
use super::{Around, Level, Program, quoted};

/// What nginx keeps from clients without being told to.
const HIDDEN: [&str; 6] = [
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Redirect",
    "X-Pad",
];

/// The rules of a location with an upstream, as statements that end with a variable `rules`.
pub(super) fn of_proxy(url: &Url, level: &Level<'_>, path: &str, around: &Around<'_>, program: &mut Program) {
    let made = format!(
        "let mut rules = plain_rules({}, {})?;",
        quoted(around.server_name),
        quoted(url.host())
    );
    program.line(1, &made);
    let is = |name: &str, value: &str| level.one(name).is_some_and(|line| line.first() == value);
    if is("ignore_invalid_headers", "off") {
        program.line(1, "rules = rules.only_plain_names(false);");
    }
    if is("underscores_in_headers", "on") || is("ignore_invalid_headers", "off") {
        program.line(1, "rules = rules.underscores(Underscores::Keep);");
    }
    on_request(level, program);
    hidden(level, program);
    redirects(url, level, path, program);
    added(level, program);
}

/// The rules of an answer of the program's own, as what follows `rules` in it.
pub(super) fn of_own_answers(level: &Level<'_>, around: &Around<'_>, program: &mut Program) -> String {
    if level.one("add_header").is_none() {
        return ": HeaderRules::default()".to_owned();
    }
    let made = format!(
        "let mut rules = HeaderRules::default().server_name({});",
        quoted(around.server_name)
    );
    program.line(1, &made);
    added(level, program);
    String::new()
}

fn on_request(level: &Level<'_>, program: &mut Program) {
    let mut is_again = Vec::new();
    let mut has_host = false;
    for line in level.all("proxy_set_header") {
        let (name, value) = (line.first(), line.argument(1));
        let owned = ["Connection", "Upgrade"];
        if owned.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        if name.eq_ignore_ascii_case("Host") {
            match value.parse::<HostRule>() {
                // Of several it is the first.
                Ok(_) if has_host => {}
                Ok(_) => program.line(1, &format!("rules = rules.host({}.parse()?);", quoted(value))),
                Err(_) => program.without(1, line, ""),
            }
            has_host = true;
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
}

fn hidden(level: &Level<'_>, program: &mut Program) {
    let is_passed = |name: &str| {
        let mut passed = level.all("proxy_pass_header");
        passed.any(|line| line.first().eq_ignore_ascii_case(name))
    };
    for name in HIDDEN.into_iter().filter(|name| !is_passed(name)) {
        program.line(
            1,
            &format!("rules = rules.remove_on_response({})?;", quoted(name)),
        );
    }
    for line in level.all("proxy_hide_header") {
        match HeaderRules::default().remove_on_response(line.first()) {
            Ok(_) if is_passed(line.first()) => {}
            Ok(_) => program.line(
                1,
                &format!("rules = rules.remove_on_response({})?;", quoted(line.first())),
            ),
            Err(_) => program.without(1, line, ""),
        }
    }
}

fn added(level: &Level<'_>, program: &mut Program) {
    for line in level.all("add_header") {
        let (name, value) = (line.first(), line.argument(1));
        match HeaderRules::default().add_on_response(name, value, Statuses::Usual) {
            Ok(_) => {
                let statuses = if line.argument(2) == "always" {
                    "Always"
                } else {
                    "Usual"
                };
                // nginx: of these there is one line, and it is the added one.
                let once = ["ETag", "Last-Modified", "Server"];
                let method = match once.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                    true => "set_on_response",
                    false => "add_on_response",
                };
                let text = format!(
                    "rules = rules.{method}({}, {}, Statuses::{statuses})?;",
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

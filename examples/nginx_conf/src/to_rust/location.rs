//! `location`: the path that it is for, and what answers there.

use switchover::header::rules::Template;
use switchover::route::PathPattern;

use crate::tree::Directive;

use super::guards::guard;
use super::names::is_lost;
use super::proxy::proxy;
use super::rules;
use super::upstream::Url;
use super::{Around, Level, Program, quoted, shown};

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
    around: &Around<'_>,
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
    for line in block.lines().iter().filter(|line| is_lost(line)) {
        program.without(1, line, "");
    }
    let closed = why_closed.or_else(|| guard(&level, around.zones));
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
        None => content(&level, block, &path, around, program),
    };
    program.line(1, &format!("locations.add({pattern}, {content})?;"));
    for inner in block.lines().iter().filter(|line| line.name == "location") {
        add(inner, &level, around, why_closed, program);
    }
}

/// What answers, as an expression.
fn content(
    level: &Level<'_>,
    block: &Directive,
    path: &str,
    around: &Around<'_>,
    program: &mut Program,
) -> String {
    let own = |name: &str| block.lines().iter().find(|line| line.name == name);
    if let Some(line) = own("return") {
        return answer(line, level, around, program);
    }
    let Some(line) = own("proxy_pass") else {
        program.line(1, "// Closed: files have no equivalent here.");
        return "Content::Closed".to_owned();
    };
    match Url::read(line.first()) {
        Some(url) => proxy(&url, level, path, around, program),
        None => {
            program.without(1, line, ": closed");
            "Content::Closed".to_owned()
        }
    }
}

/// `return`, as an expression.
pub(super) fn answer(
    line: &Directive,
    level: &Level<'_>,
    around: &Around<'_>,
    program: &mut Program,
) -> String {
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
    let rules = rules::of_own_answers(level, around, program);
    format!(
        "Content::Answer {{ status: {status}, text: {}, kind: {}, rules{rules} }}",
        quoted(text),
        quoted(kind)
    )
}

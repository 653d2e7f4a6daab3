//! Blocks that are locations within locations: `if`, `limit_except`.

use std::sync::Arc;

use http::Method;

use super::condition::Condition;
use super::directives::{self, Context};
use super::location::{Content, Location, Source, Surroundings};
use super::locations::Pattern;
use super::rewrite::{self, Step};
use super::scope::Scope;
use super::tree::Directive;

/// An `if` of a location. What it says beside `rewrite`, `set`, `return` and `break` holds instead.
pub(crate) fn instead(
    block: &Directive,
    scope: &Scope,
    pattern: &Pattern,
    outer: &Content,
    around: &mut Surroundings<'_>,
) -> Option<Step> {
    let condition = Condition::of(block, around.names, around.findings)?;
    let lines = directives::carried_out(block.lines(), Context::LocationIf, around.findings);
    let steps = lines
        .iter()
        .filter_map(|line| rewrite::read(line, around.names, around.findings));
    let steps = steps.collect();
    let scope = around.within(scope, &lines);
    let source = Source {
        block,
        lines: &lines,
        scope: &scope,
        pattern,
        outer: Some(outer),
    };
    let mut location = Location::read(&source, around);
    location.steps = Vec::new();
    Some(Step::If {
        shown: rewrite::shown(block),
        condition,
        steps,
        instead: Some(Arc::new(location)),
    })
}

/// `limit_except`: guards for all methods but these.
pub(crate) fn except(
    block: &Directive,
    scope: &Scope,
    pattern: &Pattern,
    outer: &Content,
    around: &mut Surroundings<'_>,
) -> Option<(Vec<Method>, Arc<Location>)> {
    let mut methods = Vec::new();
    for name in &block.arguments {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => around
                .findings
                .error(&block.place, format!("limit_except: {name} is not a method")),
        }
    }
    // nginx: allowing GET allows HEAD.
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    let lines = directives::carried_out(block.lines(), Context::LimitExcept, around.findings);
    let scope = around.within(scope, &lines);
    let source = Source {
        block,
        lines: &lines,
        scope: &scope,
        pattern,
        outer: Some(outer),
    };
    let location = Location::read(&source, around);
    Some((methods, Arc::new(location)))
}

/// The lines of a server that are gone through before a location is looked for.
pub(crate) fn server_steps(lines: &[&Directive], around: &mut Surroundings<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in lines {
        if line.name != "if" {
            steps.extend(rewrite::read(line, around.names, around.findings));
        } else if let Some(condition) = Condition::of(line, around.names, around.findings) {
            let within = directives::carried_out(line.lines(), Context::ServerIf, around.findings);
            let within = within
                .iter()
                .filter_map(|line| rewrite::read(line, around.names, around.findings));
            steps.push(Step::If {
                shown: rewrite::shown(line),
                condition,
                steps: within.collect(),
                instead: None,
            });
        }
    }
    steps
}

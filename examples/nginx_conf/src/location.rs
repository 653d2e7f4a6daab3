//! `location`: which paths it is for, and what becomes of their requests.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;

use super::access_log::{Formats, Log};
use super::blocks;
use super::directives::{self, Context};
use super::fields::Fields;
use super::files::Root;
use super::findings::{Findings, Place};
use super::handling::Handling;
use super::hints;
use super::limiting::Zones;
use super::limits::Limits;
use super::locations::{Locations, Pattern};
use super::media_types::MediaTypes;
use super::names::Names;
use super::password;
use super::proxy::Proxy;
use super::proxy_pass::Groups;
use super::real_ip::RealIp;
use super::referer::Referers;
use super::rewrite::{self, Step};
use super::scope::{Reading, Scope};
use super::text::Text;
use super::tree::Directive;
use super::version::Version;

/// A location.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) pattern: Pattern,
    pub(crate) place: Place,
    /// In order.
    pub(crate) steps: Vec<Step>,
    pub(crate) handling: Handling,
    /// `limit_except`: the methods that it is not for, and what holds for all others.
    pub(crate) except: Option<(Vec<Method>, Arc<Location>)>,
    pub(crate) try_files: Option<TryFiles>,
    pub(crate) content: Content,
    pub(crate) root: Root,
    /// Where relative folders begin.
    pub(crate) prefix: PathBuf,
    /// For its own answers.
    pub(crate) fields: Fields,
    pub(crate) types: MediaTypes,
    pub(crate) logs: Arc<[Log]>,
    /// Who the client is; the server may have found that out already.
    pub(crate) real_ip: Option<RealIp>,
    /// Nothing larger is taken; 0 is no limit.
    pub(crate) largest_body: u64,
    /// A path that is its own but for the slash is redirected.
    pub(crate) redirects_to_slash: bool,
    /// Those within it.
    pub(crate) inner: Locations,
}

/// What answers the requests that get as far.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Files,
    Proxy(Arc<Proxy>),
    /// By an upstream that is spoken to in another protocol.
    NotImplemented,
}

/// `try_files`.
#[derive(Clone, Debug)]
pub(crate) struct TryFiles {
    pub(crate) files: Vec<Text>,
    /// A status, a named location or a URI.
    pub(crate) last: Text,
}

/// What locations are read with.
pub(crate) struct Surroundings<'a> {
    pub(crate) names: &'a Names,
    pub(crate) formats: &'a Formats,
    pub(crate) zones: &'a Zones,
    pub(crate) groups: &'a mut Groups,
    pub(crate) limits: &'a Limits,
    pub(crate) version: Version,
    /// All that were read so far.
    pub(crate) proxies: &'a mut Vec<Arc<Proxy>>,
    pub(crate) findings: &'a mut Findings,
    /// Where relative paths of certificates and passwords begin.
    pub(crate) folder: &'a std::path::Path,
    /// Where relative paths of files and logs begin.
    pub(crate) prefix: &'a std::path::Path,
}

impl Surroundings<'_> {
    pub(crate) fn within(&mut self, outer: &Scope, lines: &[&Directive]) -> Scope {
        let mut scope = self.inherited(outer, lines);
        for line in lines.iter().filter(|line| line.name == "auth_basic_user_file") {
            for (number, why) in password::unknown_entries(&self.folder.join(line.first())) {
                let text = format!("auth_basic_user_file {}, line {number}: {why}", line.first());
                // It keeps out whom nginx lets in: the others of the file are served.
                self.findings.warning(&line.place, text);
            }
        }
        let referers = lines.iter().filter(|line| line.name == "valid_referers");
        let referers: Vec<&Directive> = referers.copied().collect();
        if let Some(first) = referers.first() {
            match Referers::read(&referers, &scope.server_names) {
                Ok(referers) => scope.handling.referers = Some(referers),
                Err(why) => self.findings.error(&first.place, why),
            }
        }
        scope
    }

    fn inherited(&mut self, outer: &Scope, lines: &[&Directive]) -> Scope {
        let mut reading = Reading {
            names: self.names,
            zones: self.zones,
            formats: self.formats,
            findings: self.findings,
        };
        outer.within(lines, &mut reading)
    }
}

/// What a location is read from.
pub(crate) struct Source<'a> {
    pub(crate) block: &'a Directive,
    pub(crate) lines: &'a [&'a Directive],
    pub(crate) scope: &'a Scope,
    pub(crate) pattern: &'a Pattern,
    /// The upstream of the location around it, where it has none of its own.
    pub(crate) outer: Option<&'a Content>,
}

/// Reads the locations of a server, and those within them.
pub(crate) fn read(
    lines: &[&Directive],
    outer: &Scope,
    outer_pattern: &Pattern,
    around: &mut Surroundings<'_>,
) -> Locations {
    let mut locations = Locations::default();
    for block in lines.iter().filter(|line| line.name == "location") {
        let inner = directives::carried_out(block.lines(), Context::Location, around.findings);
        let mut scope = around.within(outer, &inner);
        let pattern = match Pattern::read(&block.arguments) {
            Ok(pattern) => pattern,
            Err(why) => {
                around.findings.error(&block.place, why);
                continue;
            }
        };
        if let Err(why) = pattern.stands_in(outer_pattern) {
            let text = format!("location {} {why}; nginx does not start either", pattern.shown());
            around.findings.error(&block.place, text);
        }
        let has_alias = inner.iter().any(|line| line.name == "alias");
        if let Some(root) = scope.handling.root.as_mut().filter(|_| has_alias) {
            root.matched = pattern.prefix().map(str::to_owned);
        }
        let source = Source {
            block,
            lines: &inner,
            scope: &scope,
            pattern: &pattern,
            outer: None,
        };
        let location = Arc::new(Location::read(&source, around));
        if let Err(why) = locations.add(&pattern, location) {
            around.findings.error(&block.place, why);
        }
    }
    locations
}

/// What answers where no location of a server is for the path.
pub(crate) fn of_server(
    block: &Directive,
    lines: &[&Directive],
    scope: &Scope,
    around: &mut Surroundings<'_>,
) -> Location {
    let own: Vec<&Directive> = lines
        .iter()
        .copied()
        .filter(|line| line.name == "try_files")
        .collect();
    let source = Source {
        block,
        lines: &own,
        scope,
        pattern: &Pattern::None,
        outer: None,
    };
    Location::read(&source, around)
}

impl Location {
    /// Its logs, and those of what may take its place.
    pub(crate) fn logs(&self) -> Vec<&Log> {
        let instead = self.steps.iter().filter_map(|step| match step {
            Step::If { instead, .. } => instead.as_deref(),
            _ => None,
        });
        let except = self.except.iter().map(|(_, location)| &**location);
        let inner = self.inner.all();
        let others = instead.chain(except).chain(inner).flat_map(Location::logs);
        self.logs.iter().chain(others).collect()
    }

    pub(crate) fn read(source: &Source<'_>, around: &mut Surroundings<'_>) -> Location {
        let Source {
            block,
            lines,
            scope,
            pattern,
            outer,
        } = *source;
        let content = content(source, around);
        let inner = match block.name == "location" {
            true => read(lines, scope, pattern, around),
            false => Locations::default(),
        };
        let mut location = Location {
            pattern: pattern.clone(),
            place: block.place.clone(),
            steps: Vec::new(),
            handling: scope.handling.clone(),
            except: None,
            try_files: try_files(lines, around),
            redirects_to_slash: matches!(content, Content::Proxy(_)) && block.name == "location",
            content,
            root: scope.handling.root.clone().unwrap_or(Root {
                folder: Text::literal("html"),
                is_alias: false,
                matched: None,
            }),
            prefix: around.prefix.to_owned(),
            fields: Fields::new(scope, around.findings),
            types: MediaTypes::new(&scope.types, &scope.default_type),
            logs: scope.logs.clone().into(),
            real_ip: RealIp::new(scope),
            largest_body: scope.largest_body.as_ref().map_or(1 << 20, |said| said.value),
            inner,
        };
        let content = outer.unwrap_or(&location.content).clone();
        hints::never_reached(lines, around.findings);
        let mut steps = Vec::new();
        for line in lines {
            match &*line.name {
                "if" => steps.extend(blocks::instead(line, scope, pattern, &content, around)),
                "limit_except" => location.except = blocks::except(line, scope, pattern, &content, around),
                _ => steps.extend(rewrite::read(line, around.names, around.findings)),
            }
        }
        location.steps = steps;
        location
    }
}

/// The upstream of a location, or its files.
fn content(source: &Source<'_>, around: &mut Surroundings<'_>) -> Content {
    let mut passes = source.lines.iter().filter(|line| line.name == "proxy_pass");
    if let Some(line) = passes.next() {
        for other in passes {
            around.findings.error(&other.place, "proxy_pass is there already");
        }
        let is_plain = source.block.name == "location";
        return match Proxy::read(line, source.scope, source.pattern, is_plain, around) {
            Some(proxy) => {
                if is_plain {
                    hints::of_proxy(line, source.scope, source.pattern, &proxy, around);
                }
                Content::Proxy(proxy)
            }
            // What is wrong with it has been said.
            None => Content::NotImplemented,
        };
    }
    let passes = |line: &Directive| line.name.ends_with("_pass");
    match source.outer {
        _ if source.block.lines().iter().any(passes) => Content::NotImplemented,
        // With what holds here: an upstream of the outer location is asked by the rules of this one.
        Some(Content::Proxy(proxy)) => match proxy.within(source.scope, source.pattern, around) {
            Some(proxy) => Content::Proxy(proxy),
            None => Content::NotImplemented,
        },
        Some(other) => other.clone(),
        None => Content::Files,
    }
}

fn try_files(lines: &[&Directive], around: &mut Surroundings<'_>) -> Option<TryFiles> {
    let line = lines.iter().find(|line| line.name == "try_files")?;
    let text = |source: &String| Text::parse(source, around.names, &line.place, around.findings);
    let mut texts: Vec<Text> = line.arguments.iter().map(text).collect();
    let last = texts.pop().filter(|_| !texts.is_empty());
    if last.is_none() {
        around.findings.error(
            &line.place,
            "try_files takes files, and what follows where there are none",
        );
    }
    Some(TryFiles {
        files: texts,
        last: last?,
    })
}

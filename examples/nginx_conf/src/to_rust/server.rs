//! `server`: its names, and the address with its certificate.

use switchover::route::{HostPattern, Hosts};

use crate::findings::Findings;
use crate::listen::{Address, Listen};
use crate::tree::Directive;

use super::guards::guard;
use super::names::is_lost;
use super::zones::Zones;
use super::{Around, Level, Program, commented, listener, location, quoted, shown};

/// All addresses of a configuration, each with its servers.
pub(super) fn listeners(http: &Directive, zones: &Zones, program: &mut Program) {
    let level = Level::default().within(http.lines());
    for line in http.lines() {
        let is_of_an_upgrade = line.name == "map" && line.first() == "$http_upgrade";
        let is_map = line.name == "map" && !is_of_an_upgrade;
        let is_zone = line.name == "limit_conn_zone" && !zones.counts(line);
        if is_lost(line) || is_map || is_zone {
            program.without(0, line, "");
        }
    }
    let blocks: Vec<&Directive> = http
        .lines()
        .iter()
        .filter(|line| line.name == "upstream")
        .collect();
    let servers: Vec<(&Directive, Vec<Listen>)> = http
        .lines()
        .iter()
        .filter(|line| line.name == "server")
        .map(|block| (block, listens(block)))
        .collect();
    let mut addresses: Vec<Address> = Vec::new();
    for listen in servers.iter().flat_map(|(_, listens)| listens) {
        if !addresses.contains(&listen.address) {
            addresses.push(listen.address.clone());
        }
    }
    let mut made = Vec::new();
    for address in &addresses {
        let index = made.len();
        let shown_address = commented(&address.to_string());
        program.line(0, &format!("\n/// `listen {shown_address}`"));
        program.line(
            0,
            &format!("fn listener_{index}(shared: &Shared) -> Result<Listener, Failure> {{"),
        );
        program.line(1, "let mut servers = Servers::default();");
        let here: Vec<(&Directive, &Listen)> = servers
            .iter()
            .filter_map(|(block, listens)| {
                let listen = listens.iter().find(|listen| listen.address == *address)?;
                Some((*block, listen))
            })
            .collect();
        let mut names = Hosts::default();
        for (block, listen) in &here {
            let around = Around {
                server_name: server_name(block),
                blocks: &blocks,
                zones,
            };
            server(block, listen, &level, &around, &mut names, program);
        }
        let default = here.iter().find(|(_, listen)| listen.is_default).or(here.first());
        let of_default = default
            .map(|(block, _)| level.within(block.lines()))
            .unwrap_or_default();
        listener::listener(address, &here, &level, &of_default, program);
        program.line(0, "}");
        made.push(format!("listener_{index}(shared)?"));
    }
    program.line(
        0,
        "\npub(crate) fn listeners(shared: &Shared) -> Result<Vec<Listener>, Failure> {",
    );
    program.line(1, &format!("Ok(vec![{}])", made.join(", ")));
    program.line(0, "}");
}

fn listens(block: &Directive) -> Vec<Listen> {
    let mut findings = Findings::default();
    let lines = block.lines().iter().filter(|line| line.name == "listen");
    let mut listens: Vec<Listen> = lines.flat_map(|line| Listen::read(line, &mut findings)).collect();
    if listens.is_empty() {
        listens.push(Listen::everywhere());
    }
    if block
        .lines()
        .iter()
        .any(|line| line.name == "ssl" && line.first() == "on")
    {
        listens.iter_mut().for_each(|listen| listen.is_tls = true);
    }
    listens
}

fn server(
    block: &Directive,
    listen: &Listen,
    http: &Level<'_>,
    around: &Around<'_>,
    taken: &mut Hosts<()>,
    program: &mut Program,
) {
    let level = http.within(block.lines());
    program.line(1, &format!("\n// {}: server", block.place));
    without_http2(block, listen, &level, program);
    let names = names(block, taken, program);
    let server_name = around.server_name;
    program.line(1, "let mut locations = Locations::default();");
    let is_location = |line: &&Directive| line.name == "location";
    let by_regex = match has_own_limit(block.lines()) {
        // The path that is found in place of a location may have another limit.
        true => unwritten_guard(block.lines(), &level, false, &Zones::default()),
        false => unwritten_guard(block.lines(), &level, false, around.zones),
    };
    let before = block
        .lines()
        .iter()
        .find(|line| matches!(&*line.name, "if" | "rewrite"));
    let closed = guard(&level, around.zones).or(before).or(by_regex);
    if let Some(line) = block.lines().iter().find(|line| line.name == "return") {
        let content = match closed {
            Some(why) => {
                program.line(
                    1,
                    &format!("// Closed: {} ({}) may keep somebody out.", shown(why), why.place),
                );
                "Content::Closed".to_owned()
            }
            None => location::answer(line, &level, around, program),
        };
        program.line(
            1,
            &format!("locations.add(PathPattern::prefix(\"/\")?, {content})?;"),
        );
    } else {
        for inner in block.lines().iter().filter(is_location) {
            location::add(inner, &level, around, before.or(by_regex), program);
        }
    }
    let add = if listen.is_default { "add_default" } else { "add" };
    let site = format!("Site {{ name: {}, locations }}", quoted(server_name));
    program.line(1, &format!("servers.{add}([{}], {site})?;", names.join(", ")));
}

/// Whether a location says a `limit_conn` of its own.
fn has_own_limit(lines: &[Directive]) -> bool {
    let mut locations = lines.iter().filter(|line| line.name == "location");
    locations.any(|inner| {
        let says = inner.lines().iter().any(|line| line.name == "limit_conn");
        says || has_own_limit(inner.lines())
    })
}

/// The location that is not written, because it is for no path, and that may keep somebody out: what would be found there is found by
/// another path here. `is_within` is one that is not written itself.
fn unwritten_guard<'a>(
    lines: &'a [Directive],
    outer: &Level<'a>,
    is_within: bool,
    zones: &Zones,
) -> Option<&'a Directive> {
    let locations = lines.iter().filter(|line| line.name == "location");
    let mut found = locations.filter(|inner| !inner.first().starts_with('@'));
    found.find_map(|inner| {
        let level = outer.within(inner.lines());
        let is_unwritten = is_within || location::pattern(inner).is_none();
        let own = guard(&level, zones).filter(|_| is_unwritten).map(|_| inner);
        own.or_else(|| unwritten_guard(inner.lines(), &level, is_unwritten, zones))
    })
}

/// Names the line that has HTTP/2 spoken, where there is no TLS to agree on it.
fn without_http2(block: &Directive, listen: &Listen, level: &Level<'_>, program: &mut Program) {
    let said = level.one("http2").filter(|line| line.first() == "on");
    let listens = block.lines().iter().filter(|line| line.name == "listen");
    let mut said = said
        .into_iter()
        .chain(listens.filter(|line| line.arguments.iter().any(|word| word == "http2")));
    if let Some(line) = said.next().filter(|_| !listen.is_tls) {
        let text = format!(
            "// {}: {}, and here HTTP/1.1 where there is no TLS; see http2::Http2Server",
            line.place,
            shown(line)
        );
        program.line(1, &text);
    }
}

/// The names that are not another server's, as expressions. What else is said in a server and is not done is named.
fn names(block: &Directive, taken: &mut Hosts<()>, program: &mut Program) -> Vec<String> {
    let mut names = Vec::new();
    for line in block.lines() {
        match &*line.name {
            "listen" if line.arguments.iter().any(|argument| argument == "quic") => {
                program.without(1, line, "")
            }
            "server_name" => {
                for name in &line.arguments {
                    match name
                        .parse::<HostPattern>()
                        .map(|pattern| taken.add([pattern], ()))
                    {
                        // It is that of another server here.
                        Ok(Err(_)) => {}
                        Ok(Ok(())) => names.push(format!("{}.parse()?", quoted(name))),
                        Err(_) => program.line(
                            1,
                            &format!(
                                "// {}: server_name {} has no equivalent here",
                                line.place,
                                commented(name)
                            ),
                        ),
                    }
                }
            }
            _ if is_lost(line) => program.without(1, line, ""),
            _ => {}
        }
    }
    names
}

/// `$server_name`: the first name, without the dot in front.
fn server_name(block: &Directive) -> &str {
    let line = block.lines().iter().find(|line| line.name == "server_name");
    let name = line.map_or("", Directive::first);
    name.strip_prefix('.').unwrap_or(name)
}

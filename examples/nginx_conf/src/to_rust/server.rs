//! `server`: its names, and the address with its certificate.

use switchover::route::HostPattern;

use crate::findings::Findings;
use crate::listen::{Address, Listen};
use crate::measures;
use crate::tree::Directive;

use super::guards::guard;
use super::names::is_lost;
use super::upstream::duration;
use super::{Level, Program, location, quoted, shown};

/// All addresses of a configuration, each with its servers.
pub(super) fn listeners(http: &Directive, program: &mut Program) {
    let level = Level::default().within(http.lines());
    for line in http.lines() {
        let is_of_an_upgrade = line.name == "map" && line.first() == "$http_upgrade";
        if is_lost(&line.name, &[]) || line.name == "map" && !is_of_an_upgrade {
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
        let Address::Tcp(socket) = address else {
            program.line(0, &format!("// listen {address} has no equivalent here"));
            continue;
        };
        let index = made.len();
        program.line(0, &format!("\n/// `listen {address}`"));
        program.line(
            0,
            &format!("fn listener_{index}(upstreams: &Upstreams) -> Result<Listener, Failure> {{"),
        );
        program.line(1, "let mut servers = Servers::default();");
        let here: Vec<(&Directive, &Listen)> = servers
            .iter()
            .filter_map(|(block, listens)| {
                let listen = listens.iter().find(|listen| listen.address == *address)?;
                Some((*block, listen))
            })
            .collect();
        let mut names = Vec::new();
        for (block, listen) in &here {
            server(block, listen, &level, &blocks, &mut names, program);
        }
        let default = here.iter().find(|(_, listen)| listen.is_default).or(here.first());
        let of_default = default
            .map(|(block, _)| level.within(block.lines()))
            .unwrap_or_default();
        let is_tls = here.iter().any(|(_, listen)| listen.is_tls);
        listener(&socket.to_string(), &of_default, is_tls, program);
        program.line(0, "}");
        made.push(format!("listener_{index}(&upstreams)?"));
    }
    program.line(
        0,
        "\npub(crate) fn listeners() -> Result<Vec<Listener>, Failure> {",
    );
    program.line(1, "let upstreams = upstreams()?;");
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
    blocks: &[&Directive],
    taken: &mut Vec<String>,
    program: &mut Program,
) {
    let level = http.within(block.lines());
    program.line(1, &format!("\n// {}: server", block.place));
    let mut names = Vec::new();
    for line in block.lines() {
        match &*line.name {
            "listen" if listen.is_proxied => program.without(1, line, ": the PROXY protocol is refused"),
            "server_name" => {
                for name in &line.arguments {
                    match name.parse::<HostPattern>() {
                        Ok(_) if taken.contains(name) => {}
                        Ok(_) => {
                            taken.push(name.clone());
                            names.push(format!("{}.parse()?", quoted(name)));
                        }
                        Err(_) => program.line(
                            1,
                            &format!("// {}: server_name {name} has no equivalent here", line.place),
                        ),
                    }
                }
            }
            name if is_lost(name, &[]) => program.without(1, line, ""),
            _ => {}
        }
    }
    program.line(1, "let mut locations = Locations::default();");
    let is_location = |line: &&Directive| line.name == "location";
    // What is not found by a path here may be kept from somebody by a regular expression.
    let by_regex = block
        .lines()
        .iter()
        .filter(is_location)
        .filter(|inner| location::pattern(inner).is_none() && !inner.first().starts_with('@'))
        .find_map(|inner| guard(&level.within(inner.lines())).map(|_| inner));
    let before = block
        .lines()
        .iter()
        .find(|line| matches!(&*line.name, "if" | "rewrite"));
    let closed = guard(&level).or(before).or(by_regex);
    if let Some(line) = block.lines().iter().find(|line| line.name == "return") {
        let content = match closed {
            Some(why) => {
                program.line(
                    1,
                    &format!("// Closed: {} ({}) may keep somebody out.", shown(why), why.place),
                );
                "Content::Closed".to_owned()
            }
            None => location::answer(line, &level, program),
        };
        program.line(
            1,
            &format!("locations.add(PathPattern::prefix(\"/\")?, {content})?;"),
        );
    } else {
        for inner in block.lines().iter().filter(is_location) {
            location::add(inner, &level, blocks, before.or(by_regex), program);
        }
    }
    let add = if listen.is_default { "add_default" } else { "add" };
    program.line(1, &format!("servers.{add}([{}], locations)?;", names.join(", ")));
}

fn listener(address: &str, level: &Level<'_>, is_tls: bool, program: &mut Program) {
    let tls = match (
        is_tls,
        level.one("ssl_certificate"),
        level.one("ssl_certificate_key"),
    ) {
        (false, ..) => "None".to_owned(),
        (true, Some(chain), Some(key)) => {
            program.line(
                1,
                "// One certificate for all servers of the address: that of the default server.",
            );
            format!(
                "Some(TlsAcceptor::new(TlsServerConfig::from_pem(std::fs::read({})?, std::fs::read({})?)?))",
                quoted(chain.first()),
                quoted(key.first())
            )
        }
        (true, ..) => "return Err(\"there is no certificate\".into())".to_owned(),
    };
    let time = |name: &str, default: u64| {
        let said = level.one(name).and_then(|line| measures::time(line.first()).ok());
        let said = said.filter(|time| !time.is_zero());
        duration(said.unwrap_or(std::time::Duration::from_secs(default)))
    };
    let (header, keep) = (time("client_header_timeout", 60), time("keepalive_timeout", 75));
    let heads = level.one("large_client_header_buffers").and_then(|line| {
        let number: u64 = line.first().parse().ok()?;
        number.checked_mul(measures::size(line.argument(1)).ok()?)
    });
    let heads = heads.unwrap_or(64 << 10);
    program.line(
        1,
        &format!(
            "\nlet config = no_upgrades()\n    .header_timeout({header})\n    .keep_alive_timeout({keep})\n    \
             .request_limits(HeadLimits::default().max_bytes({heads}));\nOk(Listener {{\n    address: {},\n    tls: {tls},\n    \
             acceptor: Acceptor::new(config),\n    servers,\n}})",
            quoted(address)
        ),
    );
}

//! `geo`: a variable whose value is chosen by an address.

use std::net::{IpAddr, Ipv4Addr};

use switchover::header::{Network, TrustedProxies};

use super::findings::Findings;
use super::names::{self, Names};
use super::text::Text;
use super::tree::Directive;

#[derive(Clone, Debug)]
pub(crate) struct Geo {
    /// What the address is taken from; none is `$remote_addr`.
    pub(crate) source: Option<Text>,
    places: Vec<(Place, String)>,
    default: String,
    is_ranges: bool,
    /// `volatile`: looked up each time, because the address may be another by then.
    pub(crate) is_volatile: bool,
    /// `proxy`: clients that are believed what `X-Forwarded-For` says.
    pub(crate) proxies: Option<TrustedProxies>,
}

#[derive(Clone, Debug)]
enum Place {
    Network(Network),
    Range(IpAddr, IpAddr),
}

impl Place {
    fn holds(&self, address: IpAddr) -> bool {
        match self {
            Place::Network(network) => network.contains(address),
            Place::Range(first, last) => {
                first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
            }
        }
    }
}

impl Geo {
    /// The value for an address; of networks that of the smallest.
    pub(crate) fn choose(&self, address: Option<IpAddr>) -> &str {
        // As in nginx: what has none is the last address there is.
        let address = address.map_or(IpAddr::from(Ipv4Addr::BROADCAST), |address| {
            address.to_canonical()
        });
        let mut places = self.places.iter();
        let found = match self.is_ranges {
            // The later holds.
            true => places.rev().find(|(place, _)| place.holds(address)),
            false => places.find(|(place, _)| place.holds(address)),
        };
        found.map_or(&self.default, |(_, value)| value)
    }
}

/// A geo with its values, and the number of the variable that it defines.
pub(crate) fn read(
    block: &Directive,
    names: &Names,
    findings: &mut Findings,
) -> Result<(usize, Geo), String> {
    let (source, variable) = match &block.arguments[..] {
        [variable] => (None, variable),
        [source, variable] => (Some(Text::parse(source, names, &block.place, findings)), variable),
        _ => return Err("it takes the name of a variable, perhaps behind another".to_owned()),
    };
    let number = names::defined(variable, names)?;
    let mut geo = Geo {
        source,
        places: Vec::new(),
        default: String::new(),
        is_ranges: block.lines().first().is_some_and(|line| line.name == "ranges"),
        is_volatile: false,
        proxies: None,
    };
    let (mut proxies, mut is_recursive) = (Vec::new(), false);
    let is_ranges = geo.is_ranges;
    let mut networks: Vec<(u8, Network, String)> = Vec::new();
    for line in block.lines() {
        let wrong = |what: &str| format!("{}: {what}", line.shown());
        match (&*line.name, &line.arguments[..]) {
            ("ranges", []) => {}
            ("proxy_recursive", []) => is_recursive = true,
            ("volatile", []) => geo.is_volatile = true,
            ("default", [value]) => geo.default = value.clone(),
            ("proxy", [network]) => match network.parse() {
                Ok(network) => proxies.push(network),
                Err(_) => findings.error(&line.place, wrong("it is not a network")),
            },
            ("delete", [range]) if is_ranges => match ends(range) {
                Some((first, last)) => geo.places.push((Place::Range(first, last), geo.default.clone())),
                None => findings.error(&line.place, wrong("it is not a range of addresses")),
            },
            ("delete", [network]) => networks.retain(|(_, known, _)| known.to_string() != *network),
            (range, [value]) if is_ranges => {
                let ends = range.split_once('-');
                let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
                match ends {
                    Some((first, last)) => geo.places.push((Place::Range(first, last), value.clone())),
                    None => findings.error(&line.place, wrong("it is not a range of addresses")),
                }
            }
            (network, [value]) => match length_and(network) {
                Some((length, network)) => {
                    networks.retain(|(_, known, _)| *known != network);
                    networks.push((length, network, value.clone()));
                }
                None => findings.error(&line.place, wrong("it is not a network")),
            },
            _ => findings.error(&line.place, wrong("a line of geo is a network and its value")),
        }
    }
    networks.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
    let networks = networks
        .into_iter()
        .map(|(_, network, value)| (Place::Network(network), value));
    geo.places.extend(networks);
    if !proxies.is_empty() {
        geo.proxies = Some(TrustedProxies::new(proxies).recursive(is_recursive));
    }
    Ok((number, geo))
}

fn length_and(text: &str) -> Option<(u8, Network)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse::<IpAddr>().ok()?, Some(length.parse().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(whole);
    Some((length, Network::new(address, length).ok()?))
}

/// Both ends of a range.
fn ends(range: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

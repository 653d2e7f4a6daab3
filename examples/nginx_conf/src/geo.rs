//! `geo`: a variable whose value is chosen by an address.

use std::collections::{BTreeSet, HashMap};
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
    /// `ranges`: the later holds.
    ranges: Vec<(IpAddr, IpAddr, String)>,
    /// Of lists that are as long as the Internet has networks each look-up asks once for each length of a prefix.
    networks: HashMap<Network, String>,
    lengths: BTreeSet<u8>,
    default: String,
    /// `volatile`: looked up each time, because the address may be another by then.
    pub(crate) is_volatile: bool,
    /// `proxy`: clients that are believed what `X-Forwarded-For` says.
    pub(crate) proxies: Option<TrustedProxies>,
}

impl Geo {
    /// The value for an address; of networks that of the smallest.
    pub(crate) fn choose(&self, address: Option<IpAddr>) -> &str {
        // As in nginx: what has none is the last address there is.
        let address = address.map_or(IpAddr::from(Ipv4Addr::BROADCAST), |address| {
            address.to_canonical()
        });
        let holds = |first: &IpAddr, last: &IpAddr| {
            first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
        };
        let mut latest = self.ranges.iter().rev();
        let in_range = latest.find(|(first, last, _)| holds(first, last));
        if let Some((_, _, value)) = in_range {
            return value;
        }
        // A length that an address of this kind has not is of none of its networks.
        let around = self.lengths.iter().rev();
        let mut around = around.filter_map(|length| Network::new(address, *length).ok());
        around
            .find_map(|network| self.networks.get(&network))
            .unwrap_or(&self.default)
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
        ranges: Vec::new(),
        networks: HashMap::new(),
        lengths: BTreeSet::new(),
        default: String::new(),
        is_volatile: false,
        proxies: None,
    };
    let (mut proxies, mut is_recursive) = (Vec::new(), false);
    let is_ranges = block.lines().first().is_some_and(|line| line.name == "ranges");
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
                Some((first, last)) => geo.ranges.push((first, last, geo.default.clone())),
                None => findings.error(&line.place, wrong("it is not a range of addresses")),
            },
            ("delete", [network]) => {
                if let Some((_, network)) = length_and(network) {
                    geo.networks.remove(&network);
                }
            }
            (range, [value]) if is_ranges => {
                let ends = range.split_once('-');
                let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
                match ends {
                    Some((first, last)) => geo.ranges.push((first, last, value.clone())),
                    None => findings.error(&line.place, wrong("it is not a range of addresses")),
                }
            }
            (network, [value]) => match length_and(network) {
                Some((length, network)) => {
                    geo.networks.insert(network, value.clone());
                    geo.lengths.insert(length);
                }
                None => findings.error(&line.place, wrong("it is not a network")),
            },
            _ => findings.error(&line.place, wrong("a line of geo is a network and its value")),
        }
    }
    if !proxies.is_empty() {
        geo.proxies = Some(TrustedProxies::new(proxies).recursive(is_recursive));
    }
    Ok((number, geo))
}

/// A network, and the length of its prefix: of one of IPv4 addresses within IPv6 that of IPv4.
fn length_and(text: &str) -> Option<(u8, Network)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse::<IpAddr>().ok()?, Some(length.parse().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(whole);
    let network = Network::new(address, length).ok()?;
    let is_mapped = address.is_ipv6() && address.to_canonical().is_ipv4() && length >= 96;
    Some((if is_mapped { length - 96 } else { length }, network))
}

/// Both ends of a range.
fn ends(range: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

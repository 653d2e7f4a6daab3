//! `split_clients`: a variable whose value is chosen by a share of all values of another.

use super::findings::Findings;
use super::names::{self, Names};
use super::text::Text;
use super::tree::Directive;

#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) source: Text,
    /// Up to which hash, and the value. The last one has no end.
    parts: Vec<(Option<u32>, Text)>,
}

impl Split {
    pub(crate) fn choose(&self, source: &str) -> Option<&Text> {
        let hash = murmur2(source.as_bytes());
        let found = self
            .parts
            .iter()
            .find(|(end, _)| end.is_none_or(|end| hash < end));
        found.map(|(_, value)| value)
    }
}

/// The shares with their values, and the number of the variable that they define.
pub(crate) fn read(
    block: &Directive,
    names: &Names,
    findings: &mut Findings,
) -> Result<(usize, Split), String> {
    let [source, variable] = &block.arguments[..] else {
        return Err("it takes a value and the name of a variable".to_owned());
    };
    let number = names::defined(variable, names)?;
    let mut split = Split {
        source: Text::parse(source, names, &block.place, findings),
        parts: Vec::new(),
    };
    let mut sum: u64 = 0;
    for line in block.lines() {
        let value = Text::parse(line.first(), names, &line.place, findings);
        if line.name == "*" {
            split.parts.push((None, value));
            continue;
        }
        match hundredths(&line.name) {
            Some(share) if sum.saturating_add(share) <= 10_000 => {
                sum += share;
                let end = sum * u64::from(u32::MAX) / 10_000;
                split.parts.push((u32::try_from(end).ok(), value));
            }
            _ => findings.error(
                &line.place,
                format!("{}: it is not a share, as in 12.5%", line.name),
            ),
        }
    }
    Ok((number, split))
}

fn hundredths(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part = match part.len() {
        0 => 0,
        1 => part.parse::<u64>().ok()? * 10,
        2 => part.parse().ok()?,
        _ => return None,
    };
    let whole = whole.parse::<u64>().ok()?;
    whole.checked_mul(100)?.checked_add(part)
}

/// The hash by which nginx spreads: MurmurHash2 with a seed of 0.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap_or_default()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

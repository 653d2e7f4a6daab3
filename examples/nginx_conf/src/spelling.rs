//! Which directive is meant by one that does not exist: a name that is a slip or two away from one that does.

use super::known::CARRIED_OUT;

/// So many signs may be missing, too many or wrong.
const MOST_SLIPS: usize = 2;

/// Shorter names are like too many others.
const SHORTEST: usize = 5;

pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let known = CARRIED_OUT.iter().map(|(known, _)| *known);
    let slips = known.map(|known| (distance(name, known), known));
    let nearest = slips.min().filter(|(slips, _)| *slips <= MOST_SLIPS);
    nearest.map(|(_, known)| known).filter(|_| name.len() >= SHORTEST)
}

/// How many signs make one text of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, sign) in one.chars().enumerate() {
        let mut above_left = std::mem::replace(&mut row[0], line + 1);
        for (column, known) in other.iter().enumerate() {
            let above = row[column + 1];
            let changed = above_left + usize::from(sign != *known);
            row[column + 1] = changed.min(above + 1).min(row[column] + 1);
            above_left = above;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant() {
        for (name, meant) in [
            ("proxy_pas", Some("proxy_pass")),
            ("porxy_pass", Some("proxy_pass")),
            ("proxy_set_headers", Some("proxy_set_header")),
            ("Location", Some("location")),
            ("auth_request", Some("auth_request")),
            ("access_by_lua_block", None),
            ("modsecurity", None),
            ("roots", Some("root")),
            ("set1", None),
            ("", None),
        ] {
            assert_eq!(nearest(name), meant, "{name}");
        }
    }
}

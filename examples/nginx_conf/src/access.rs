//! `allow`, `deny` and `satisfy`: who may come in, by address.

use switchover::header::{Hop, Network};

use super::tree::Directive;

/// One `allow` or `deny`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    who: Who,
    allows: bool,
}

#[derive(Clone, Debug)]
enum Who {
    All,
    Unix,
    Network(Network),
}

impl Rule {
    pub(crate) fn read(line: &Directive) -> Result<Rule, String> {
        let who = match line.first() {
            "all" => Who::All,
            "unix:" => Who::Unix,
            network => match network.parse() {
                Ok(network) => Who::Network(network),
                Err(_) => return Err(format!("{}: it is neither a network nor all", line.shown())),
            },
        };
        Ok(Rule {
            who,
            allows: line.name == "allow",
        })
    }
}

/// What the first rule that is about a client says of it; none where no rule is.
pub(crate) fn judge(rules: &[Rule], hop: &Hop) -> Option<bool> {
    let client = hop.client().map(|address| address.to_canonical());
    let is_about = |rule: &&Rule| match (&rule.who, client) {
        (Who::All, _) => true,
        (Who::Unix, client) => client.is_none(),
        (Who::Network(network), Some(client)) => network.contains(client),
        (Who::Network(_), None) => false,
    };
    rules.iter().find(is_about).map(|rule| rule.allows)
}

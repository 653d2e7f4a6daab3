//! Which directives of a block are carried out, and what is said of the others.

use super::findings::Findings;
use super::harmless::{FAMILIES_OF_NO_BEARING, OF_NO_BEARING};
use super::known::{ARGUMENTS, BLOCKS, CARRIED_OUT, OF_A_GROUP};
use super::left_out::LEFT_OUT;
use super::spelling::nearest;
use super::tree::Directive;

/// Where a directive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Main,
    Events,
    Http,
    Upstream,
    Server,
    Location,
    /// `if` within a server, and within a location.
    ServerIf,
    LocationIf,
    LimitExcept,
}

/// The directives of a block that are to be carried out. The others are warned of, refused, or known to be harmless.
pub(crate) fn carried_out<'a>(
    directives: &'a [Directive],
    context: Context,
    findings: &mut Findings,
) -> Vec<&'a Directive> {
    let known = directives.iter();
    known
        .filter(|directive| is_carried_out(directive, context, findings))
        .collect()
}

fn is_carried_out(directive: &Directive, context: Context, findings: &mut Findings) -> bool {
    let (name, place) = (directive.name.as_str(), &directive.place);
    let is_block = BLOCKS.contains(&name) || name == "server" && context != Context::Upstream;
    if is_block && directive.block.is_none() {
        findings.error(place, format!("{name} is a block in braces"));
        return false;
    }
    let known = CARRIED_OUT.iter().find(|(known, _)| *known == name);
    if !is_block && directive.block.is_some() && known.is_some() {
        findings.error(place, format!("{name} ends with \";\", not with a block"));
        return false;
    }
    if context == Context::Upstream {
        return of_a_group(directive, findings);
    }
    if let Some((_, contexts)) = known {
        let here = contexts.contains(&context) && has_its_arguments(directive, is_block, findings);
        if !here && context == Context::Main && contexts.contains(&Context::Http) {
            let text = format!(
                "{name} may not stand here, but in http. A file that others include is run with one that does: \
                 events {{ }} http {{ include {}; }}",
                place.file
            );
            findings.error(place, text);
        } else if !contexts.contains(&context) {
            findings.error(place, format!("{name} may not stand here"));
        }
        return here;
    }
    let is_off = directive.first() == "off";
    if let Some((_, meaning)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name) {
        if !is_off {
            findings.warning(place, format!("{name} is not carried out: {meaning}"));
        }
    } else if !has_no_bearing(name) {
        let meant = nearest(name).map_or(String::new(), |known| format!(". Is {known} meant?"));
        let text = format!(
            "{name} is not known here. nginx does not start on what it does not know either, and a module that is missing may \
             be what keeps somebody out: nothing is served as long as it is there{meant}"
        );
        findings.error(place, text);
    }
    false
}

/// Whether a directive has as many arguments as it takes.
fn has_its_arguments(directive: &Directive, is_block: bool, findings: &mut Findings) -> bool {
    let name = directive.name.as_str();
    let (least, most) = match ARGUMENTS.iter().find(|(known, ..)| *known == name) {
        Some((_, least, most)) => (*least, *most),
        None if name == "server" && is_block => (0, 0),
        None if name == "server" => (1, usize::MAX),
        None => (1, 1),
    };
    let number = directive.arguments.len();
    let is_right = (least..=most).contains(&number);
    if !is_right {
        let takes = match (least, most) {
            (least, usize::MAX) => format!("{least} or more arguments"),
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        findings.error(
            &directive.place,
            format!(
                "{}: {name} takes {takes}, and here it has {number}; nginx does not start either",
                directive.shown()
            ),
        );
    }
    is_right
}

pub(crate) fn has_no_bearing(name: &str) -> bool {
    OF_NO_BEARING.contains(&name)
        || FAMILIES_OF_NO_BEARING
            .iter()
            .any(|family| name.starts_with(family))
}

fn of_a_group(directive: &Directive, findings: &mut Findings) -> bool {
    let name = directive.name.as_str();
    let known = OF_A_GROUP.contains(&name);
    if !known {
        findings.error(
            &directive.place,
            format!("{name} is not known in upstream; nginx does not start on what it does not know either"),
        );
    }
    known && has_its_arguments(directive, false, findings)
}

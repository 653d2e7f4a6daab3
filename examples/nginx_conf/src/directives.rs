//! Which directives of a block are carried out, and what is said of the others.

use super::findings::Findings;
use super::known::{
    BLOCKS, CARRIED_OUT, FAMILIES_OF_NO_BEARING, GUARDS, LEFT_OUT, OF_A_GROUP, OF_NO_BEARING,
};
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
}

/// The directives of a block that are to be carried out. The others are told of, or not, as they deserve.
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
        let here = contexts.contains(&context);
        if !here && context == Context::Main && contexts.contains(&Context::Http) {
            let text = format!(
                "{name} may not stand here, but in http. A file that others include is run with one that does: \
                 events {{ }} http {{ include {}; }}",
                place.file
            );
            findings.error(place, text);
        } else if !here {
            findings.error(place, format!("{name} may not stand here"));
        }
        return here;
    }
    let is_off = directive.first() == "off";
    if GUARDS.iter().any(|guard| name.starts_with(guard)) {
        let text =
            "it keeps someone out and is not carried out here: nothing is served as long as it is there";
        if !is_off {
            findings.error(place, format!("{name}: {text}"));
        }
    } else if let Some((_, meaning)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name) {
        if !is_off {
            findings.warning(place, format!("{name} is not carried out: {meaning}"));
        }
    } else if !OF_NO_BEARING.contains(&name)
        && !FAMILIES_OF_NO_BEARING
            .iter()
            .any(|family| name.starts_with(family))
    {
        findings.warning(place, format!("{name} is not known here, and not carried out"));
    }
    false
}

fn of_a_group(directive: &Directive, findings: &mut Findings) -> bool {
    let name = directive.name.as_str();
    let known = OF_A_GROUP.contains(&name);
    if !known {
        findings.warning(
            &directive.place,
            format!("{name} is not known in upstream, and not carried out"),
        );
    }
    known
}

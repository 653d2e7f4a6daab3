//! What the engine that takes linear time can do about an expression of PCRE: match it as PCRE does, or at least find texts that it does not
//! match. It knows the expression as it is written for that engine, and not how it is read.

/// Whether a plus stands behind a quantifier: it keeps what it has matched. What is linear reads it as another quantifier.
/// `linear` is what [`translated`](super::pattern::translated) has written for [`Form::Linear`](super::pattern::Form::Linear).
pub(super) fn is_possessive(linear: &str) -> bool {
    let mut rest = linear;
    let mut was_repeated = false;
    while let Some(sign) = rest.chars().next() {
        let mut is_repeated = false;
        let taken = match sign {
            '\\' => rest[1..].chars().next().map(|escaped| 1 + escaped.len_utf8()),
            '[' => class_length(rest),
            '+' if was_repeated => return true,
            '*' | '?' | '+' | '}' => {
                // A question mark behind a quantifier is none.
                is_repeated = !was_repeated;
                Some(1)
            }
            sign => Some(sign.len_utf8()),
        };
        was_repeated = is_repeated;
        rest = taken.map_or("", |taken| &rest[taken..]);
    }
    false
}

/// An expression without look-around and references, that fits wherever the one given fits: what this does not fit, that does not either.
/// None of an expression whose parts refer to each other in other ways. `linear` is what [`translated`](super::pattern::translated) has written for [`Form::Linear`](super::pattern::Form::Linear).
pub(super) fn loosened(linear: &str) -> Option<String> {
    let mut out = String::with_capacity(linear.len());
    let mut rest = linear;
    let mut is_repeated = false;
    while let Some(sign) = rest.chars().next() {
        let mut taken = sign.len_utf8();
        let behind = &rest[taken..];
        let was_repeated = std::mem::take(&mut is_repeated);
        match sign {
            '\\' => {
                let escaped = behind.chars().next()?;
                taken += escaped.len_utf8();
                match escaped {
                    '1'..='9' => {
                        taken += behind[1..].bytes().take_while(u8::is_ascii_digit).count();
                        out.push_str("(?s:.*)");
                    }
                    'k' => {
                        let name = behind.get(2..)?;
                        taken += name.find(['>', '}', '\''])? + 2;
                        out.push_str("(?s:.*)");
                    }
                    'g' | 'G' | 'K' | 'R' | 'X' | 'C' => return None,
                    escaped => out.extend(['\\', escaped]),
                }
            }
            '[' => {
                taken = class_length(rest)?;
                out.push_str(&rest[..taken]);
            }
            '(' => match group(behind)? {
                Group::Same => out.push('('),
                Group::Atomic => {
                    out.push_str("(?:");
                    taken += 2;
                }
                Group::LookAround => {
                    out.push_str("(?:)");
                    taken = group_length(rest)?;
                }
            },
            '*' | '?' | '+' | '}' => {
                // A plus behind a quantifier keeps what it has matched: more fits without it.
                let is_possessive = sign == '+' && was_repeated;
                is_repeated = !was_repeated;
                if !is_possessive {
                    out.push(sign);
                }
            }
            sign => out.push(sign),
        }
        rest = &rest[taken..];
    }
    Some(out)
}

enum Group {
    Same,
    Atomic,
    LookAround,
}

/// What a parenthesis opens; none of what refers to other parts, or decides by them.
fn group(behind: &str) -> Option<Group> {
    let Some(kind) = behind.strip_prefix('?') else {
        return (!behind.starts_with('*')).then_some(Group::Same);
    };
    let is_look_around = ["=", "!", "<=", "<!"].iter().any(|sign| kind.starts_with(sign));
    let is_named = kind.starts_with('<') || kind.starts_with("P<");
    // Behind x there may be parentheses in comments.
    let flags = kind.trim_start_matches(['i', 's', 'm', 'U', '-']);
    match kind.as_bytes().first()? {
        _ if is_look_around => Some(Group::LookAround),
        b'>' => Some(Group::Atomic),
        _ if is_named || flags.starts_with([':', ')']) => Some(Group::Same),
        _ => None,
    }
}

/// How long the group is that begins here.
fn group_length(rest: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let sign = rest[at..].chars().next()?;
        match sign {
            '\\' => at += 1 + rest[at + 1..].chars().next()?.len_utf8(),
            '[' => at += class_length(&rest[at..])?,
            _ => at += sign.len_utf8(),
        }
        match sign {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
}

/// How long the class is that begins here. One that stands in another has its own brackets.
fn class_length(rest: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let sign = rest[at..].chars().next()?;
        at += sign.len_utf8();
        match sign {
            '\\' => at += rest[at..].chars().next()?.len_utf8(),
            '[' => depth += 1,
            ']' if depth == 1 => return Some(at),
            ']' => depth -= 1,
            _ => {}
        }
    }
}

//! Which files a mask stands for: `*`, `?` and `[a-z]` in any part of a path, as the shell and nginx have it.

use std::path::{Component, Path, PathBuf};

/// Whether a path is a mask. One that is none has to exist.
pub(crate) fn is_mask(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The files that a mask stands for, in order. None is no error.
pub(crate) fn expand(mask: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in mask.components() {
        let name = component.as_os_str().to_string_lossy();
        if !matches!(component, Component::Normal(_)) || !is_mask(&name) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let pattern: Vec<char> = name.chars().collect();
        found = found
            .iter()
            .flat_map(|folder| matching(folder, &pattern))
            .collect();
    }
    // A link that leads nowhere is there, and cannot be read.
    found.retain(|path| path.symlink_metadata().is_ok());
    found.sort();
    found
}

fn matching(folder: &Path, pattern: &[char]) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(here) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let matching = names.filter(|name| {
        // A hidden file is only meant where its dot is written.
        let hidden = name.starts_with('.') && pattern.first() != Some(&'.');
        !hidden && matches(pattern, &name.chars().collect::<Vec<_>>())
    });
    matching.map(|name| folder.join(name)).collect()
}

/// Whether a name is one of those that a pattern stands for.
pub(crate) fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            matches(rest, name) || matches!(name, [_, shorter @ ..] if matches(pattern, shorter))
        }
        (['?', rest @ ..], [_, shorter @ ..]) => matches(rest, shorter),
        (['[', rest @ ..], [first, shorter @ ..]) => {
            match rest.iter().skip(1).position(|sign| *sign == ']') {
                Some(end) => in_class(&rest[..=end], *first) && matches(&rest[end + 2..], shorter),
                None => *first == '[' && matches(rest, shorter),
            }
        }
        (['\\', literal, rest @ ..], [first, shorter @ ..]) => literal == first && matches(rest, shorter),
        ([literal, rest @ ..], [first, shorter @ ..]) => literal == first && matches(rest, shorter),
        _ => false,
    }
}

/// Whether a sign is in a class: signs, and ranges of them, or with `!` in front what is not among them.
fn in_class(class: &[char], sign: char) -> bool {
    let (class, wanted) = match class {
        ['!' | '^', rest @ ..] if !rest.is_empty() => (rest, false),
        _ => (class, true),
    };
    let mut found = false;
    let mut rest = class;
    while let [first, after @ ..] = rest {
        (found, rest) = match after {
            ['-', last, after @ ..] => (found || (*first..=*last).contains(&sign), after),
            _ => (found || *first == sign, after),
        };
    }
    found == wanted
}

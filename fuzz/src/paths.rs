//! Paths and routes: a route that is found matches in every reading, and a replaced prefix stays below the replacement.

use switchover::route::{PathPattern, PathReading, RoutePattern, Routes, is_plain_path, path_as_nginx};

pub(crate) fn paths(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (pattern, target) = text.split_once('\n').unwrap_or(("/app/", text));
    let mut routes = Routes::default();
    routes.add("/".parse().unwrap(), 2).unwrap();
    routes.add("/admin/".parse().unwrap(), 3).unwrap();
    if let Ok(pattern) = pattern.parse::<RoutePattern>() {
        // It may be one of the two, and is refused then.
        let _ = routes.add(pattern, 1);
    }
    let found = routes.find(Some("a.example"), target);
    let secret = |path: &[u8]| Some(path.starts_with(b"/admin/"));
    let every = PathReading::Unanimous.choose(target, secret);
    if let Ok(found) = &found {
        assert!(target.starts_with('/'));
        // The last pattern that holds the path is the one that decides; what goes to it under one reading does under all.
        if *found.value == 3 {
            assert_ne!(every, Ok(false), "{target}");
        }
        if let Some(replaced) = found.replace_prefix("/base/", target) {
            let path = replaced.path();
            assert!(path.starts_with("/base/"), "{target} became {replaced}");
            // Nor does a reading of it lead out again. nginx answers 400 to what it cannot read.
            if let Ok(read) = path_as_nginx(path) {
                assert!(read.starts_with(b"/base"), "{target} became {replaced}");
            }
        }
    }
    if is_plain_path(target) && target.starts_with('/') {
        // One reading: nginx has the same, or says that the encoding is wrong.
        let path = target.split('?').next().unwrap();
        if let Ok(read) = path_as_nginx(path) {
            assert!(read.starts_with(b"/"), "{target}");
        }
    }
    if let Ok(pattern) = PathPattern::prefix(pattern) {
        assert!(pattern.matches(pattern.path().as_bytes()), "{pattern:?}");
    }
}

//! nginx, `location` and `proxy_pass`: which location a path has, and what goes upstream from there.

use std::net::SocketAddr;

use switchover::route::{Locations, NoRoute, PathReading};

use super::peer::{get, mirror, nginx};

const LOCATIONS: &[&str] = &[
    "/",
    "= /exact",
    "/exact",
    "^~ /images/",
    "/admin",
    "/a/b",
    "/a/b/c/",
    "= /one",
    "/p%20q",
    "/sp ace",
];

/// A target, nginx's answer, and the answer of the crate where that is another.
const CASES: &[(&str, &str, Option<NoRoute>)] = &[
    ("/", "/", None),
    ("/exact", "= /exact", None),
    ("/exact?x", "= /exact", None),
    ("/exact?/../a", "= /exact", None),
    ("/exact/", "/exact", None),
    ("/exactly", "/exact", None),
    ("/Exact", "/", None),
    ("/images", "/", None),
    ("/images/", "^~ /images/", None),
    ("/images/x", "^~ /images/", None),
    ("/administrator", "/admin", None),
    ("/%61dmin", "/admin", None),
    ("/a/b", "/a/b", None),
    ("/a/b/c", "/a/b", None),
    ("/a/b/c/", "/a/b/c/", None),
    ("/a/b/c/d", "/a/b/c/", None),
    ("/one", "= /one", None),
    ("/one/", "/", None),
    ("/sp%20ace", "/sp ace", None),
    ("/p%20q", "/", None),
    ("/p%2520q", "/p%20q", None),
    ("/x/../y", "/", None),
    ("/admin/./x", "/admin", None),
    ("/admin/x/..", "/admin", None),
    ("/admin//x", "/admin", None),
    ("/admin/a%2Fb", "/admin", None),
    ("/admin%2Fb", "/admin", None),
    ("/x/%252e%252e/admin", "/", None),
    ("/admin..;/x", "/admin", None),
    // Other readings lead elsewhere: nobody can know which one the origin takes.
    ("//admin", "/admin", Some(NoRoute::Ambiguous)),
    ("/x/../admin", "/admin", Some(NoRoute::Ambiguous)),
    ("/x/%2e%2e/admin", "/admin", Some(NoRoute::Ambiguous)),
    ("/x/..%2Fadmin", "/admin", Some(NoRoute::Ambiguous)),
    ("/x%2F..%2Fadmin", "/admin", Some(NoRoute::Ambiguous)),
    ("/admin/../x", "/", Some(NoRoute::Ambiguous)),
    ("/a%2fb", "/a/b", Some(NoRoute::Ambiguous)),
    ("/a//b", "/a/b", Some(NoRoute::Ambiguous)),
    ("/a/./b", "/a/b", Some(NoRoute::Ambiguous)),
    ("/x\\..\\admin", "/", Some(NoRoute::Ambiguous)),
    ("/x%5C..%5Cadmin", "/", Some(NoRoute::Ambiguous)),
    ("/x/..;/admin", "/", Some(NoRoute::Ambiguous)),
    ("/exact;x", "/exact", Some(NoRoute::Ambiguous)),
    ("/../admin", "400", Some(NoRoute::Ambiguous)),
    ("/admin/..%00/x", "400", None),
];

/// What nginx refuses as malformed, although it can only be for one location, goes there.
const MALFORMED: &[(&str, &str)] = &[
    ("/../x", "/"),
    ("/%2e%2e/x", "/"),
    ("/%zz", "/"),
    ("/x%", "/"),
    ("/x%0", "/"),
    ("/%00", "/"),
    ("/admin%00", "/admin"),
];

fn locations(reading: PathReading) -> Locations<&'static str> {
    let mut locations = Locations::default().reading(reading);
    for pattern in LOCATIONS {
        locations.add(pattern.parse().unwrap(), *pattern).unwrap();
    }
    locations
}

fn find(locations: &Locations<&'static str>, target: &str) -> Result<&'static str, NoRoute> {
    locations.find(target).map(|found| *found.value)
}

fn configured() -> Option<super::peer::Peer> {
    let locations: String = LOCATIONS
        .iter()
        .map(|pattern| {
            let quoted = match pattern.split_once(' ') {
                Some((modifier @ ("=" | "^~"), path)) => format!("{modifier} \"{path}\""),
                _ => format!("\"{pattern}\""),
            };
            format!("location {quoted} {{ return 200 \"{pattern}\"; }}")
        })
        .collect();
    nginx(&format!("server {{ listen LISTEN; {locations} }}"))
}

/// The answer that the crate gives where only nginx's reading counts, as nginx gives it.
fn as_nginx(locations: &Locations<&'static str>, target: &str) -> String {
    match find(locations, target) {
        Ok(found) => found.to_owned(),
        Err(NoRoute::Malformed) => "400".to_owned(),
        Err(other) => panic!("{target}: {other}"),
    }
}

#[test]
fn which_location_a_path_has() {
    let unanimous = locations(PathReading::Unanimous);
    let like_nginx = locations(PathReading::Nginx);
    for (target, nginx, departure) in CASES {
        let expected = match departure {
            Some(departure) => Err(*departure),
            None if *nginx == "400" => Err(NoRoute::Ambiguous),
            None => Ok(*nginx),
        };
        assert_eq!(find(&unanimous, target), expected, "{target}");
        assert_eq!(as_nginx(&like_nginx, target), *nginx, "{target}");
    }
    for (target, expected) in MALFORMED {
        assert_eq!(find(&unanimous, target), Ok(*expected), "{target}");
        assert_eq!(find(&like_nginx, target), Err(NoRoute::Malformed), "{target}");
    }

    let Some(nginx) = configured() else { return };
    for (target, expected, _) in CASES {
        assert_eq!(get(nginx.address, "a", target, ""), *expected, "{target}");
    }
    for (target, _) in MALFORMED {
        assert_eq!(get(nginx.address, "a", target, ""), "400", "{target}");
    }
}

/// What paths that lead astray are made of.
const PIECES: &[&str] = &[
    "/", "/", "/", ".", "..", "/../", "//", "/./", "%2F", "%2e", "%2E%2e", "%5c", "\\", ";", "%3b", "%25",
    "%61", "%20", "a", "b", "/a/b", "/admin", "/exact", "/one", "/images/", "/..", "%c3%a9", "%zz", "%",
];

/// Random paths: where only nginx's reading counts the answer is nginx's, and where all count it is nginx's or none.
#[test]
fn random_paths_lead_where_nginx_says_or_nowhere() {
    let unanimous = locations(PathReading::Unanimous);
    let like_nginx = locations(PathReading::Nginx);
    let nginx = configured();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    };
    let (mut agreed, mut refused) = (0, 0);
    for _ in 0..600 {
        let length = 1 + random(7);
        let target: String = (0..length).map(|_| PIECES[random(PIECES.len())]).collect();
        let target = format!("/{target}");
        let expected = as_nginx(&like_nginx, &target);
        if let Some(nginx) = &nginx {
            assert_eq!(get(nginx.address, "a", &target, ""), expected, "{target}");
        }
        match find(&unanimous, &target) {
            Ok(found) if found == expected => agreed += 1,
            // Malformed for nginx, and for one location alone however it is read.
            Ok(_) => assert_eq!(expected, "400", "{target}"),
            Err(NoRoute::Ambiguous) => refused += 1,
            Err(other) => panic!("{target}: {other}"),
        }
    }
    assert!(agreed > 100 && refused > 100, "{agreed} {refused}");
}

/// A location, its replacement, a target, nginx's target, and the crate's where that is another.
type Replaced = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<Option<&'static str>>,
);

/// nginx: "the part of a normalized request URI matching the location is replaced by a URI specified in the directive".
#[test]
fn what_replaces_the_matched_prefix() {
    let cases: &[Replaced] = &[
        ("/api/v1/ws", "/ws", "/api/v1/ws", "/ws", None),
        (
            "/api/v1/ws",
            "/ws",
            "/api/v1/ws/7?x=%20/..",
            "/ws/7?x=%20/..",
            None,
        ),
        ("/api/v1/ws", "/ws", "/api/v1/wsx", "/wsx", None),
        ("/api/v1/ws", "/ws", "/api/v1/ws/a%20b%3Fc", "/ws/a%20b%3Fc", None),
        ("/app/", "/", "/app/x", "/x", None),
        ("/app/", "/base/", "/app/x/", "/base/x/", None),
        ("/app", "/base", "/app", "/base", None),
        ("/app/", "/base/", "/app/?q", "/base/?q", None),
        ("= /one", "/two", "/one?q", "/two?q", None),
        // One slash where nginx has none or two.
        ("/app/", "/base", "/app/x", "/basex", Some(Some("/base/x"))),
        ("/app", "/base/", "/app/x", "/base//x", Some(Some("/base/x"))),
        ("/app", "/", "/app/x", "//x", Some(Some("/x"))),
        // Encoding goes on as it came where it means the same.
        (
            "/app/",
            "/base/",
            "/app/%41%c3%a9",
            "/base/A%C3%A9",
            Some(Some("/base/%41%c3%a9")),
        ),
        ("/app/", "/base/", "/app//x", "/base/x", None),
        (
            "/app/",
            "/base/",
            "/app/x%2Fy",
            "/base/x/y",
            Some(Some("/base/x%2Fy")),
        ),
        (
            "/app/",
            "/base/",
            "/app/x/../y",
            "/base/y",
            Some(Some("/base/x/../y")),
        ),
        // Nothing climbs out.
        ("/app", "/base/", "/app../secret", "/base/../secret", Some(None)),
        ("/app", "/base/", "/app..%2fsecret", "/base/../secret", Some(None)),
    ];
    let origin = mirror();
    for (location, replacement, target, expected, departure) in cases {
        let mut locations = Locations::default();
        locations.add(location.parse().unwrap(), ()).unwrap();
        let found = locations.find(target).unwrap();
        let replaced = found
            .replace_prefix(replacement, target)
            .map(|target| target.to_string());
        assert_eq!(
            replaced.as_deref(),
            departure.unwrap_or(Some(expected)),
            "{location} {replacement} {target}"
        );

        let Some(nginx) = nginx(&format!(
            "server {{ listen LISTEN; location {location} {{ proxy_pass http://{origin}{replacement}; }} }}"
        )) else {
            continue;
        };
        assert_eq!(
            target_seen(nginx.address, target),
            *expected,
            "{location} {replacement} {target}"
        );
    }
}

/// The target that reaches the origin behind nginx.
fn target_seen(nginx: SocketAddr, target: &str) -> String {
    let head = get(nginx, "a", target, "");
    head.split(' ').nth(1).unwrap_or(&head).to_owned()
}

/// Where only nginx's reading counts, paths with several readings are replaced as by nginx.
#[test]
fn what_replaces_the_matched_prefix_of_a_path_with_several_readings() {
    let origin = mirror();
    let mut locations = Locations::default().reading(PathReading::Nginx);
    locations.add("/app/".parse().unwrap(), ()).unwrap();
    let nginx = nginx(&format!(
        "server {{ listen LISTEN; location /app/ {{ proxy_pass http://{origin}/base/; }} }}"
    ));
    for (target, expected) in [
        ("//app//x?y=//z", "/base/x?y=//z"),
        ("/x/..%2Fapp/a%20b%3F%25%c3%a9%23", "/base/a%20b%3F%25%C3%A9%23"),
        ("/app/x/../y%2Fz", "/base/y/z"),
        ("/app/a/..", "/base/"),
        ("/app/../app/a;b\\c\"d", "/base/a;b\\c\"d"),
        ("/app/%2e%2e/app/a;b\\c\"d", "/base/a;b%5Cc%22d"),
    ] {
        let found = locations.find(target).unwrap();
        assert_eq!(
            found.replace_prefix("/base/", target).unwrap(),
            expected,
            "{target}"
        );
        if let Some(nginx) = &nginx {
            assert_eq!(target_seen(nginx.address, target), expected, "{target}");
        }
    }
}

/// nginx: "a permanent redirect with the code 301 will be returned to the requested URI with the slash appended".
#[test]
fn a_location_that_only_lacks_the_slash() {
    let patterns = ["/", "/ws/", "= /exact", "/exact/", "/both", "/both/"];
    let mut locations = Locations::default();
    for pattern in patterns {
        locations.add(pattern.parse().unwrap(), ()).unwrap();
    }
    let origin = mirror();
    let blocks: String = patterns
        .iter()
        .map(|pattern| format!("location {pattern} {{ proxy_pass http://{origin}; }}"))
        .collect();
    let nginx = nginx(&format!(
        "server {{ listen LISTEN; absolute_redirect off; {blocks} }}"
    ));
    for (target, expected) in [
        ("/ws", Some("/ws/")),
        ("/ws?x=1", Some("/ws/?x=1")),
        ("/%77s?x", Some("/ws/?x")),
        ("/ws/", None),
        ("/wsx", None),
        ("/exact", None),
        ("/both", None),
        ("/", None),
    ] {
        let redirect = locations.redirect(target).map(|target| target.to_string());
        assert_eq!(redirect.as_deref(), expected, "{target}");
        let Some(nginx) = &nginx else { continue };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = super::peer::answer(nginx.address, request.as_bytes());
        let location = answer.lines().find_map(|line| line.strip_prefix("Location: "));
        assert_eq!(location, expected, "{target}: {answer}");
    }
}

//! Chromium on the page of the example gateway.

use std::path::Path;

use crate::programs::{Server, has, has_node, node, passes, peers};

#[test]
fn chromium_on_the_demo_page() {
    let chromium = std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_owned());
    let found = Path::new(&chromium).exists() && peers().join("node_modules/playwright-core").exists();
    if !has("Chromium with playwright-core", found && has_node()) {
        return;
    }
    let gateway = Server::gateway(&[]);
    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.png");
    passes(
        node("browser.mjs")
            .arg(format!("http://{}/", gateway.address))
            .arg(&screenshot),
    );
    println!("screenshot: {}", screenshot.display());
}

//! `cargo run -- 127.0.0.1:8080 127.0.0.1:9000 127.0.0.1:3000 SESSION`: where to listen, the chat, the old application.

use std::error::Error;
use std::time::Duration;

use axum_app::App;
use switchover::tunnel::Tunnels;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, chat, old, session] = &arguments[..] else {
        return Err("usage: axum_app LISTEN CHAT OLD SESSION".into());
    };
    let (log, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            println!("{line}");
        }
    });
    let app = App {
        chat: chat.clone(),
        old: old.clone(),
        session: session.clone(),
        spread: Duration::from_secs(30),
        log,
        tunnels: Tunnels::new(),
    };
    let end = async {
        // An app that cannot hear Ctrl-C ends by it all the same.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    app.serve(TcpListener::bind(listen).await?, end).await?;
    Ok(())
}

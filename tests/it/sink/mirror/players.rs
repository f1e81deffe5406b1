//! What `check` says of the way from the copies to the players.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sprited::sinks::Sink;
use tempfile::TempDir;

use crate::local_server::{LocalServer, Reply};
use crate::sink::{context, plan};

/// What serves the folder for players.
#[derive(Clone, Copy, Debug)]
enum Web {
    Right,
    ForOneSite,
    WithoutCors,
    Other,
    Hidden,
    Moved,
    Broken,
}

/// A sink on a folder, which such a web server serves.
struct Public {
    folder: TempDir,
    server: LocalServer,
    sink: Arc<dyn Sink>,
    web: Arc<Mutex<Web>>,
}

impl Public {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let web = Arc::new(Mutex::new(Web::Right));
        let (current, root): (_, PathBuf) = (Arc::clone(&web), folder.path().to_owned());
        let server = LocalServer::start(move |request, _| {
            assert!(request.header("origin").is_some_and(|origin| origin.starts_with("https://")));
            let file = fs::read(root.join(request.target.strip_prefix("/s/").unwrap())).unwrap();
            let cors = ("Access-Control-Allow-Origin", "*");
            match *current.lock().unwrap() {
                Web::Right => Reply::new(200, &[cors], &file),
                Web::ForOneSite => Reply::new(200, &[(cors.0, "https://a.example")], &file),
                Web::WithoutCors => Reply::new(200, &[], &file),
                Web::Other => Reply::new(200, &[cors], b"<html>Welcome to nginx!</html>"),
                Web::Hidden => Reply::new(403, &[], b""),
                Web::Moved => Reply::new(301, &[("Location", "https://a.example/")], b""),
                Web::Broken => Reply::Reset,
            }
        })
        .await;
        let settings = format!(
            "store = 'folder'\npath = {:?}\npublic_url = '{}/s'\n",
            folder.path(),
            server.url()
        );
        let sink = plan("mirror", &settings).open(&context("cdn")).await.unwrap();
        Self { folder, server, sink, web }
    }

    async fn warnings(&self, web: Web) -> String {
        *self.web.lock().unwrap() = web;
        let warnings = self.sink.warnings().await.join("\n");
        assert!(!self.folder.path().join(".sprited-probe").exists());
        warnings
    }
}

#[tokio::test]
async fn the_probe_writes_reads_and_leaves_nothing_for_players() {
    let public = Public::new().await;
    public.sink.probe().await.unwrap();
    assert!(public.sink.is_local());
    let names: Vec<_> = fs::read_dir(public.folder.path()).unwrap().flatten().collect();
    assert!(names.iter().all(|entry| entry.file_name() == ".sprited-tmp"), "{names:?}");
    assert!(public.server.seen().is_empty());
}

#[tokio::test]
async fn what_players_would_stumble_over_is_told_with_its_url() {
    let public = Public::new().await;
    assert_eq!(public.warnings(Web::Right).await, "");
    let url = format!("{}/s/.sprited-probe ", public.server.url());
    for (web, says) in [
        (Web::ForOneSite, "players on other sites will show nothing"),
        (Web::WithoutCors, "without Access-Control-Allow-Origin"),
        (Web::Other, "has other bytes than were written"),
        (Web::Hidden, "answers 403 Forbidden: public_url does not lead to the folder"),
        (Web::Moved, "answers 301 Moved Permanently: set public_url to where that leads"),
        (Web::Broken, "cannot be reached from here: "),
    ] {
        let said = public.warnings(web).await;
        assert!(said.starts_with(&url) && said.contains(says), "{web:?}: {said}");
    }
}

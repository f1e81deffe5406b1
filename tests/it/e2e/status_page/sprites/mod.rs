//! The pages of mirrored sprites: what they serve, to whom, and what they do not put up with.

mod full;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use reqwest::header::HeaderMap;
use sprited::event::ImageSprite;
use sprited::journal::EventState;
use sprited::sprite::Place;
use vod_emulator::SpriteOrder;

use super::{answer, request};
use crate::e2e::daemon::Daemon;
use crate::e2e::{Site, file};
use crate::support::{self, until};

/// A daemon whose mirror has sprites of so many tiles, the newest last.
struct Gallery {
    daemon: Daemon,
    site: Site,
    sprites: Vec<ImageSprite>,
}

impl Gallery {
    async fn of(tiles: &[u32]) -> Self {
        Self::with(tiles, |_| {}).await
    }

    /// With other settings.
    async fn with(tiles: &[u32], change: impl FnOnce(&Site)) -> Self {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        std::fs::create_dir(site.path("mirror")).unwrap();
        let host = site.cloud.url.strip_prefix("http://").unwrap();
        site.configure(
            "",
            &format!(
                "[[sinks]]\nname = 'cdn'\ntype = 'mirror'\nstore = 'folder'\npath = 'DIR/mirror'\n\
                 prefix = 'vod/s'\npublic_url = 'https://img.example.com/s'\nhosts = ['{host}']\n"
            ),
        );
        change(&site);
        let daemon = site.start();
        for (made, tiles) in tiles.iter().enumerate() {
            let order =
                SpriteOrder { tiles: Some(*tiles), fail_every: 0, ..SpriteOrder::default() };
            site.cloud.control.add_sprites(&order).unwrap();
            let delivered = || site.journaled(Some(EventState::Delivered)).len() == made + 1;
            until(delivered).await;
        }
        let events = site.journaled(None).into_iter().rev();
        let sprites = events.map(|mut found| found.event.sprites.remove(0)).collect();
        Self { daemon, site, sprites }
    }

    /// The folder that its prefix leads to.
    fn folder(&self) -> PathBuf {
        self.site.path("mirror/vod/s")
    }

    fn place(&self, sprite: usize) -> Place {
        let event = &self.site.journaled(None)[self.sprites.len() - 1 - sprite].event;
        Place::of(event.app, &self.sprites[sprite])
    }

    /// Where its manifest is.
    fn manifest(&self, sprite: usize) -> PathBuf {
        self.folder().join(self.place(sprite).manifest())
    }

    /// The name of its set.
    fn set(&self, sprite: usize) -> String {
        let text = std::fs::read_to_string(self.manifest(sprite)).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        manifest["vtt"].as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned()
    }

    /// A sheet's file.
    fn sheet(&self, sprite: usize, number: usize) -> PathBuf {
        let set = self.folder().join(self.place(sprite).folder()).join(self.set(sprite));
        set.join(format!("{number}.png"))
    }

    async fn url(&self) -> String {
        url(&self.daemon).await
    }

    /// The status page, once it has so many events: what it shows may be a second old.
    async fn start_page(&self, events: usize) -> String {
        let url = self.url().await;
        let is_there = |page: &str| page.matches("<p class=\"title\">").count() == events;
        super::super::until(async || is_there(&text(&url).await.1)).await;
        text(&url).await.1
    }
}

async fn url(daemon: &Daemon) -> String {
    daemon.has_logged("started").await;
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    format!("http://{}", address.replace("0.0.0.0", "127.0.0.1"))
}

/// An answer: its status, headers and bytes.
async fn get(url: &str) -> (u16, HeaderMap, Vec<u8>) {
    let answer = support::http().get(url).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

async fn text(url: &str) -> (u16, String) {
    let (status, _, bytes) = get(url).await;
    (status, String::from_utf8(bytes).unwrap())
}

/// Today's, word for word: nothing is loaded from elsewhere, and no style is inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for \
     'script'; trusted-types 'none'";

#[tokio::test]
async fn a_mirrored_sprite_has_a_page_and_its_sheets_are_served() {
    let gallery = Gallery::of(&[106, 7]).await;
    let (url, daemon) = (gallery.url().await, &gallery.daemon);
    let [first, second] = gallery.sprites.as_slice() else { panic!() };
    let (status, list) = text(&format!("{url}/sprites")).await;
    assert_eq!(status, 200, "{list}");
    let at = |id: &str| list.find(&format!("href=\"/sprites/{id}\"")).expect(&list);
    assert!(at(&second.id) < at(&first.id), "the newest first: {list}");
    assert!(list.contains("106 tiles") && list.contains("17:40"), "{list}");
    assert_eq!(text(&format!("{url}/sprites/")).await.0, 200);

    let (status, headers, page) = get(&format!("{url}/sprites/{}", first.id)).await;
    let page = String::from_utf8(page).unwrap();
    assert_eq!(status, 200, "{page}");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        (&headers["content-security-policy"], &headers["cache-control"]),
        (&POLICY.parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert!(!page.contains("<script") && !page.contains("style="), "{page}");
    assert_eq!(page.matches("class=\"pick").count(), 106);
    let public = format!("https://img.example.com/s/{}", gallery.place(0).manifest());
    assert!(page.contains(&public), "{public}: {page}");

    // An event's key leads there as well, and capital digits are digits.
    let key = gallery.site.journaled(None)[1].event.key.to_string();
    for id in [key, first.id.to_uppercase()] {
        let (status, other) = text(&format!("{url}/sprites/{id}")).await;
        assert_eq!((status, other.matches("class=\"pick").count()), (200, 106), "{id}");
    }

    let parts = page.split("<image href=\"").skip(1);
    let sheets: Vec<_> = parts.map(|part| part.split('"').next().unwrap()).collect();
    assert_eq!(sheets.len(), 106);
    for (number, sheet) in [sheets[0], sheets[105]].into_iter().enumerate() {
        assert!(sheet.ends_with(&format!("/{}/{number}", gallery.set(0))), "{sheet}");
        let (status, headers, bytes) = get(&format!("{url}{sheet}")).await;
        assert_eq!(status, 200, "{sheet}");
        assert_eq!(headers["content-type"], "image/png");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert_eq!(headers["cache-control"], "private, max-age=31536000, immutable");
        assert!(bytes == std::fs::read(gallery.sheet(0, number)).unwrap(), "{sheet}");
    }

    let start = gallery.start_page(2).await;
    for sprite in &gallery.sprites {
        assert!(start.contains(&format!("<a href=\"/sprites/{}\"", sprite.id)), "{start}");
    }
    assert_eq!(start.matches("<image href=\"/sprites/").count(), 2, "{start}");
    let json = daemon.get("/status.json").await.1;
    assert!(!json.contains("mirrored"), "{json}");
    gallery.daemon.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_words() {
    let gallery = Gallery::of(&[3]).await;
    let url = gallery.url().await;
    let id = gallery.sprites[0].id.clone();
    let told = async |id: &str, words: &str| {
        let (status, page) = text(&format!("{url}/sprites/{id}")).await;
        assert_eq!(status, 404, "{id}: {page}");
        assert!(page.contains(words) && page.contains("href=\"/sprites\""), "{words}: {page}");
    };
    told(&"0".repeat(32), "The journal knows no event with this key").await;
    told("abc", "An id has 32 hex digits").await;
    told("%3Cscript%3E", "An id has 32 hex digits").await;

    let manifest = gallery.manifest(0);
    let good = std::fs::read_to_string(&manifest).unwrap();
    let write = |text: &str| std::fs::write(&manifest, text).unwrap();
    let other = "f".repeat(32);
    write(&good.replace(&id, &other));
    told(&id, &format!("<a href=\"/sprites/{other}\">")).await;
    let set = gallery.set(0);
    write(&good.replace(&set, ".."));
    told(&id, "cdn: the manifest names what sprited does not write.").await;
    write("not JSON");
    told(&id, "cdn: the manifest is not as sprited writes it.").await;
    // Another's file, which the daemon can read.
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(gallery.site.path("elsewhere"), &good).unwrap();
    symlink(gallery.site.path("elsewhere"), &manifest).unwrap();
    told(&id, "cdn: the manifest cannot be read").await;
    std::fs::remove_file(&manifest).unwrap();
    told(&id, "no mirror has a sprite of it yet").await;
    let (status, list) = text(&format!("{url}/sprites")).await;
    assert!(status == 200 && list.contains("None yet."), "{list}");
    // As before there were mirrors.
    let start = gallery.start_page(1).await;
    assert!(start.contains("class=\"sheet\"") && !start.contains("href=\"/sprites"), "{start}");
    gallery.daemon.stop().await;
}

#[tokio::test]
async fn no_address_leads_to_another_file() {
    let gallery = Gallery::of(&[3]).await;
    let (url, set, id) = (gallery.url().await, gallery.set(0), gallery.sprites[0].id.clone());
    let sheet = format!("/sprites/{id}/{set}/0");
    assert_eq!(get(&format!("{url}{sheet}")).await.0, 200);
    let other_set = format!("10-{}", "0".repeat(12));
    for path in [
        format!("/sprites/{id}/{set}/1"),
        format!("/sprites/{id}/{set}/00000000000000000000"),
        format!("/sprites/{id}/{set}/-1"),
        format!("/sprites/{id}/{set}/0.png"),
        format!("/sprites/{id}/{set}/thumbnails.vtt"),
        format!("/sprites/{id}/{set}/.."),
        format!("/sprites/{id}/{set}/%2e%2e"),
        format!("/sprites/{id}/{set}/..%2f..%2f..%2fetc%2fpasswd"),
        format!("/sprites/{id}/{set}/%00"),
        format!("/sprites/{id}/{set}/%ff"),
        format!("/sprites/{id}/{other_set}/0"),
        format!("/sprites/{id}/../0"),
        format!("/sprites/{id}/%2e%2e/0"),
        format!("/sprites/{id}/{set}%2f../0"),
        format!("/sprites/../{set}/0"),
        format!("/sprites/%2e%2e/{set}/0"),
        format!("/sprites/{}/{set}/0", "0".repeat(32)),
        format!("/sprites/{id}/{set}/0/0"),
        format!("/sprites/{id}/{set}"),
        format!("//sprites/{id}/{set}/0"),
        "/sprites/../../../../etc/passwd".to_owned(),
        "/sprites/%2e%2e%2f%2e%2e%2fetc%2fpasswd".to_owned(),
    ] {
        let answer = answer(&gallery.daemon, &request("GET", &path, "localhost", "")).await;
        let status = answer.split(' ').nth(1).unwrap();
        assert!(matches!(status, "404" | "400"), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }

    let file = gallery.sheet(0, 0);
    let kept = gallery.site.path("kept.png");
    std::fs::rename(&file, &kept).unwrap();
    let refused = async |why: &str| {
        let (status, _, bytes) = get(&format!("{url}{sheet}")).await;
        assert_eq!((status, bytes.len()), (404, 0), "{why}");
        std::fs::remove_file(&file).unwrap();
    };
    symlink(&kept, &file).unwrap();
    refused("a link, though to an image").await;
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
    refused("a pipe, which nobody writes to").await;
    std::fs::write(&file, "<html><script>alert(1)</script>").unwrap();
    refused("a page").await;
    std::fs::write(&file, "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").unwrap();
    refused("an image that can hold scripts").await;
    std::fs::write(&file, "").unwrap();
    refused("nothing").await;

    // A folder on the way that became a link.
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(get(&format!("{url}{sheet}")).await.0, 200);
    let folder = file.parent().unwrap().to_owned();
    std::fs::rename(&folder, gallery.site.path("moved")).unwrap();
    symlink(gallery.site.path("moved"), &folder).unwrap();
    assert_eq!(get(&format!("{url}{sheet}")).await.0, 404);
    let (status, page) = text(&format!("{url}/sprites/{id}")).await;
    assert!(status == 200 && page.contains("No tile can be shown: the index cannot"), "{page}");
    gallery.daemon.stop().await;
}

#[tokio::test]
async fn whether_they_are_served_is_a_setting_that_a_reload_changes() {
    let gallery = Gallery::of(&[3]).await;
    let url = gallery.url().await;
    let id = gallery.sprites[0].id.clone();
    let sheet = format!("/sprites/{id}/{}/0", gallery.set(0));
    let pages = ["/sprites".to_owned(), format!("/sprites/{id}"), sheet, "/sprites.css".to_owned()];
    let all = async |wanted: u16| {
        for page in &pages {
            let (status, _, bytes) = get(&format!("{url}{page}")).await;
            assert_eq!(status, wanted, "{page}");
            assert!(wanted == 200 || bytes.is_empty(), "{page}");
        }
        let start = gallery.start_page(1).await;
        assert_eq!(start.contains("href=\"/sprites"), wanted == 200, "{start}");
    };
    all(200).await;
    let before = "listen = '127.0.0.1:0'";
    let mut now = before.to_owned();
    for (reloads, (setting, wanted)) in
        [("off", 404), ("on", 200), ("auto", 200)].into_iter().enumerate()
    {
        let next = format!("{before}\nsprites = '{setting}'");
        gallery.site.edit(&now, &next);
        now = next;
        gallery.daemon.signal(Signal::SIGHUP);
        until(|| gallery.daemon.logged("reloaded").len() == reloads + 1).await;
        all(wanted).await;
    }
    gallery.daemon.stop().await;
}

#[tokio::test]
async fn other_machines_are_shown_none_unless_that_is_said() {
    for (setting, wanted) in [("", 404), ("\nsprites = 'auto'", 404), ("\nsprites = 'on'", 200)] {
        let listen = format!("'0.0.0.0:0'{setting}");
        let gallery = Gallery::with(&[3], |site| site.edit("'127.0.0.1:0'", &listen)).await;
        let url = gallery.url().await;
        let id = &gallery.sprites[0].id;
        assert_eq!(get(&format!("{url}/sprites/{id}")).await.0, wanted, "{setting}");
        let start = gallery.start_page(1).await;
        assert_eq!(start.contains("href=\"/sprites"), wanted == 200, "{start}");
        let warned = gallery.daemon.log().contains("sees the thumbnails of every medium");
        assert_eq!(warned, wanted == 200, "{}", gallery.daemon.log());
        gallery.daemon.stop().await;
    }
}

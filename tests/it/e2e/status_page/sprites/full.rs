//! The page over which one scrubs, in a browser.

use serde_json::{Value, json};

use super::super::browser::Browser;
use super::*;

/// The ids of the tiles that are seen, with what is drawn of each.
const SEEN: &str = "return [...document.querySelectorAll('.shown')]
    .filter((one) => getComputedStyle(one).visibility === 'visible')
    .map((one) => [one.parentNode.id, one.querySelector('svg').getAttribute('viewBox'),
                   one.querySelector('image').getAttribute('href').split('/').pop()])";

/// Where on the screen the bar is.
const BAR: &str = "const box = document.querySelector('.track').getBoundingClientRect();
    return [box.x, box.y + box.height / 2, box.width]";

/// What is drawn of the tile with that number.
fn tile(number: u32) -> Value {
    let at = number % 100;
    let part = format!("{} {} 142 80", at % 10 * 142, at / 10 * 80);
    json!([[format!("t{}", number * 10), part, (number / 100).to_string()]])
}

async fn press(browser: &Browser, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        let code = if key == "Tab" { 9 } else { 13 };
        let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
        let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
                           "text": text});
        browser.command("Input.dispatchKeyEvent", event).await;
    }
}

async fn move_to(browser: &Browser, x: f64, y: f64) {
    let moved = json!({"type": "mouseMoved", "x": x, "y": y});
    browser.command("Input.dispatchMouseEvent", moved).await;
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn each_place_of_the_pointer_shows_its_tile() {
    let gallery = Gallery::of(&[106]).await;
    let browser = Browser::start(gallery.site.folder.path()).await;
    let page = format!("{}/sprites/{}", gallery.url().await, gallery.sprites[0].id);
    for width in [390, 1280] {
        browser.look(width, "light").await;
        browser.open("about:blank").await;
        browser.open(&page).await;
        assert_eq!(browser.run(SEEN).await, tile(53), "the middle, as nothing else is asked for");
        let bar = browser.run(BAR).await;
        let [x, y, length] = [0, 1, 2].map(|at| bar[at].as_f64().unwrap());
        for number in 0..106_u32 {
            let at = x + (f64::from(number) + 0.5) / 106.0 * length;
            // On the bar, and on the picture above it.
            for y in [y, y - 60.0] {
                move_to(&browser, at, y).await;
                assert_eq!(browser.run(SEEN).await, tile(number), "{number} at {at}, {y}");
            }
        }
        move_to(&browser, 1.0, 1.0).await;
        // Each sheet once, and nothing but the page's own.
        let loaded = "return performance.getEntriesByType('resource').map((one) => one.name)";
        let loaded = browser.run(loaded).await;
        let sheets = format!("/{}/", gallery.set(0));
        let of_set = |one: &&Value| one.as_str().unwrap().contains(&sheets);
        assert_eq!(loaded.as_array().unwrap().iter().filter(of_set).count(), 2, "{loaded}");
    }
    assert_eq!(browser.complaints().await, json!([]));
    gallery.daemon.stop().await;
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn addresses_and_keys_lead_to_tiles() {
    let gallery = Gallery::of(&[106]).await;
    let browser = Browser::start(gallery.site.folder.path()).await;
    browser.look(1280, "light").await;
    let page = format!("{}/sprites/{}", gallery.url().await, gallery.sprites[0].id);
    browser.open(&format!("{page}#t1030")).await;
    assert_eq!(browser.run(SEEN).await, tile(103));
    let step = "document.querySelector('#t1030 ~ .next').dispatchEvent(new MouseEvent('click', \
                {bubbles: true, cancelable: true})); return location.hash";
    assert_eq!(browser.run(step).await, "#t1040");
    assert_eq!(browser.run(SEEN).await, tile(104));

    browser.open("about:blank").await;
    browser.open(&page).await;
    browser.run("document.querySelector('.skip a').focus()").await;
    for number in 0..3 {
        press(&browser, "Tab").await;
        assert_eq!(browser.run(SEEN).await, tile(number));
    }
    press(&browser, "Enter").await;
    assert_eq!(browser.run("return location.hash").await, "#t20");
    assert_eq!(browser.run(SEEN).await, tile(2));
    // The pointer comes before the focus, the focus before the address.
    let bar = browser.run(BAR).await;
    let [x, y, length] = [0, 1, 2].map(|at| bar[at].as_f64().unwrap());
    move_to(&browser, x + 50.5 / 106.0 * length, y).await;
    assert_eq!(browser.run(SEEN).await, tile(50));
    move_to(&browser, 1.0, 1.0).await;
    assert_eq!(browser.run(SEEN).await, tile(2));
    assert_eq!(browser.complaints().await, json!([]));
    gallery.daemon.stop().await;
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_browser_has_nothing_to_complain_of() {
    let gallery = Gallery::of(&[106, 7, 1]).await;
    let browser = Browser::start(gallery.site.folder.path()).await;
    let url = gallery.url().await;
    let one = format!("{url}/sprites/{}#t20", gallery.sprites[0].id);
    let missing = format!("{url}/sprites/{}", "0".repeat(32));
    let pages =
        [(format!("{url}/sprites"), "list"), (one, "one"), (missing, "none"), (url, "start")];
    for width in [390, 1280] {
        for scheme in ["light", "dark"] {
            browser.look(width, scheme).await;
            for (page, name) in &pages {
                browser.open("about:blank").await;
                browser.open(page).await;
                if let Ok(folder) = std::env::var("SPRITED_SCREENSHOTS") {
                    let shot = json!({"captureBeyondViewport": true});
                    let shot = browser.command("Page.captureScreenshot", shot).await;
                    let file = format!("{folder}/{name}-{width}-{scheme}.b64");
                    std::fs::write(file, shot["data"].as_str().unwrap()).unwrap();
                }
                for is_open in [false, true] {
                    let found = super::super::full::violations(&browser).await;
                    assert!(found.is_empty(), "{page} {width} {scheme} {is_open}: {found:#?}");
                    let wide = browser.run("return document.documentElement.scrollWidth").await;
                    assert_eq!(wide, width, "{page} {scheme} {is_open}: wider than its screen");
                    browser.run(super::super::full::OPEN_ALL).await;
                }
                let said = browser.complaints().await;
                let is_missing = |one: &Value| one["message"].as_str().unwrap().contains("404");
                let said: Vec<_> =
                    said.as_array().unwrap().iter().filter(|one| !is_missing(one)).collect();
                assert!(said.is_empty(), "{page} {width} {scheme}: {said:?}");
            }
        }
    }
    gallery.daemon.stop().await;
}

//! The page in a browser: what it looks like, whom it shuts out, and how it stays up to date.

use serde_json::json;

use super::browser::Browser;
use super::*;

/// The widths of a phone and of a desk, in pixels.
const WIDTHS: [u32; 2] = [390, 1280];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// The messages that can be opened, all open.
pub(super) const OPEN_ALL: &str =
    "for (const one of document.querySelectorAll('details')) one.open = true;
    return document.querySelectorAll('details').length";

/// How wide the page is, and the narrowest of its texts that have more than a few words.
const WIDTH: &str = "const all = [...document.querySelectorAll('p, summary, code, dd')];
    const long = all.filter((one) => one.offsetParent && one.textContent.length > 40);
    const widths = long.map((one) => one.getBoundingClientRect().width);
    return {page: document.documentElement.scrollWidth, least: Math.min(...widths)}";

/// The rules of axe-core that the page breaks, with the elements.
pub(super) async fn violations(browser: &Browser) -> Vec<Value> {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/test-axe/axe_playwright_python/axe.min.js");
    let axe = std::fs::read_to_string(&script)
        .unwrap_or_else(|e| panic!("{}: {e}: tests/run --full makes it", script.display()));
    let ask = "return axe.run({resultTypes: ['violations']}).then((found) =>
        found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.failureSummary + node.html)]))";
    let found = browser.run(&format!("{axe}; {ask}")).await;
    found.as_array().unwrap().clone()
}

async fn url(daemon: &Daemon) -> String {
    daemon.has_logged("started").await;
    format!("http://{}", daemon.logged("started")[0]["http"].as_str().unwrap())
}

/// In light and dark, on a phone and on a desk; it can load nothing but the page itself.
#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_browser_has_nothing_to_complain_of() {
    let (site, _hooks, daemon) = eventful().await;
    let browser = Browser::start(site.folder.path()).await;
    let url = url(&daemon).await;
    let host = status(&daemon).await["daemon"]["host"].as_str().unwrap().to_owned();
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.look(width, scheme).await;
            browser.open(&url).await;
            let said = browser.complaints().await;
            assert_eq!(said, json!([]), "{width} {scheme}");
            let title = browser.run("return document.title").await;
            assert_eq!(title, format!("degraded · sprited on {host}"));
            let dom = browser.markup().await;
            assert!(dom.contains("&lt;script&gt;document.title"), "{dom}");
            assert!(
                dom.matches("<script").count() == 1 && !dom.contains("<img src=\"x\""),
                "{dom}"
            );

            for is_open in [false, true] {
                let found = violations(&browser).await;
                assert!(found.is_empty(), "{width} {scheme} {is_open}: {found:#?}");
                let measured = browser.run(WIDTH).await;
                assert_eq!(measured["page"], width, "wider than its screen: {measured}");
                assert!(measured["least"].as_f64().unwrap() >= 150.0, "{scheme}: {measured}");
                assert!(browser.run(OPEN_ALL).await.as_u64().unwrap() > 0);
            }
        }
    }
    // Both do complain where there is something to complain of.
    browser.run("document.querySelector('.badge').style = 'color: #888; background: #999'").await;
    let found = violations(&browser).await;
    assert_eq!(found[0][0], "color-contrast", "{found:?}");
    let make = "try { document.body.innerHTML = '<b>' } catch (refused) { return refused.name }";
    assert_eq!(browser.run(make).await, "TypeError");
    let said = browser.complaints().await.to_string();
    assert!(said.contains("TrustedHTML"), "{said}");
    daemon.stop().await;
}

/// What somebody reads, has opened or is about to use stays where it is.
#[tokio::test]
#[ignore = "needs Chromium"]
async fn the_page_is_brought_up_to_date_in_place() {
    let (site, _hooks, daemon) = eventful().await;
    let browser = Browser::start(site.folder.path()).await;
    browser.look(390, "light").await;
    browser.open(&url(&daemon).await).await;
    let newest = "document.querySelector('.events > li').dataset.key";
    let before = browser.run(&format!("return {newest}")).await;
    let prepare = "const open = document.querySelector('details'); open.open = true;
        const link = document.querySelector('.events a'); link.focus();
        window.seen = {open, link, scrolled: scrollY};
        return scrollY";
    assert!(browser.run(prepare).await.as_f64().unwrap() > 0.0);

    site.add_sprites(1);
    crate::e2e::until(async || browser.run(&format!("return {newest}")).await != before).await;
    let kept = browser
        .run(
            "return [seen.open.isConnected, seen.open.open, document.activeElement === seen.link,
              seen.link.isConnected, document.querySelectorAll('.events > li').length]",
        )
        .await;
    assert_eq!(kept, json!([true, true, true, true, 10]));

    // Nothing moves under a selection.
    let at = "document.querySelector('header time').textContent";
    let ask = "document.dispatchEvent(new Event('visibilitychange'))";
    let select = "getSelection().selectAllChildren(document.querySelector('#attention p'));
        return String(getSelection())";
    let selected = browser.run(select).await;
    let before = browser.run(&format!("{ask}; return {at}")).await;
    site.add_sprites(1);
    until(|| site.journaled(None).len() == 11).await;
    let wait = "return new Promise((done) => setTimeout(done, 2000))";
    let after = format!("{ask}; {wait}.then(() => [{at}, String(getSelection())])");
    assert_eq!(browser.run(&after).await, json!([before, selected]));
    browser.run("getSelection().removeAllRanges()").await;
    let is_later = async || browser.run(&format!("{ask}; return {at}")).await != before;
    crate::e2e::until(is_later).await;

    // It does not go on to say what was.
    assert_eq!(browser.run("return document.getElementById('gone').hidden").await, true);
    daemon.stop().await;
    let is_gone = async || {
        browser.run(&format!("{ask}; return document.getElementById('gone').hidden")).await == false
    };
    crate::e2e::until(is_gone).await;
    assert_eq!(browser.run("return document.title").await, "no answer · sprited");
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn without_its_script_the_page_is_whole_and_loads_itself_again() {
    let (site, _hooks, daemon) = eventful().await;
    let browser = Browser::start(site.folder.path()).await;
    browser.command("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.open(&url(&daemon).await).await;
    let first = browser.markup().await;
    for title in ["Needs attention", "Sinks", "Dead letters", "Pipeline", "Last hour", "Daemon"] {
        assert!(first.contains(&format!(">{title}</h2>")), "{title}: {first}");
    }
    site.add_sprites(1);
    crate::e2e::until(async || {
        browser.markup().await.matches("<li data-key").count()
            > first.matches("<li data-key").count()
    })
    .await;
    daemon.stop().await;
}

//! What players want to be told, with the addresses of one sprite filled in.

use maud::{Markup, html};

/// How a player takes an index of thumbnails.
struct Snippet {
    player: &'static str,
    code: String,
    /// What else it needs.
    note: &'static str,
}

/// The snippets, each closed until it is opened.
pub(super) fn snippets(vtt: &str, sheets: &[String]) -> Markup {
    html! {
        @for Snippet { player, code, note } in all(vtt, sheets) {
            details class="snippet" {
                summary { (player) }
                pre { code { (code) } }
                @if !note.is_empty() { p class="meta" { (note) } }
            }
        }
    }
}

const CORS: &str = "If the page is on another site than the thumbnails, their server has to send \
                    Access-Control-Allow-Origin.";
const CROSSORIGIN: &str = "If the page is on another site than the thumbnails, the video needs \
                           crossorigin; their server and that of the video then have to send \
                           Access-Control-Allow-Origin.";

fn all(vtt: &str, sheets: &[String]) -> Vec<Snippet> {
    let (script, markup) = (quoted(vtt), escaped(vtt));
    let list = |from: &str, to: &str, indent: &str| {
        let one = |url: &String| format!("{from}{}{to}", quoted(url));
        sheets.iter().map(one).collect::<Vec<_>>().join(&format!(",\n{indent}"))
    };
    let track =
        format!("<track kind=\"metadata\" label=\"thumbnails\" default\n       src=\"{markup}\">");
    vec![
        Snippet {
            player: "TCPlayer",
            code: format!(
                "TCPlayer(\"player\", {{\n  plugins: {{\n    VttThumbnail: {{ vttUrl: {script} }}\n  \
                 }}\n}});"
            ),
            note: "It drops a port from the address, uses the scheme of the page, and shows none on \
                   phones. If the page is on another site than the thumbnails, their server has to \
                   send Access-Control-Allow-Origin.",
        },
        Snippet {
            player: "video.js 5 to 7, with videojs-vtt-thumbnails",
            code: format!(
                "const player = videojs(\"player\");\nplayer.vttThumbnails({{ src: {script} }});"
            ),
            note: CORS,
        },
        Snippet {
            player: "video.js 10",
            code: format!("<video src=\"…\" crossorigin>\n  {track}\n</video>"),
            note: CROSSORIGIN,
        },
        Snippet {
            player: "vidstack",
            code: format!(
                "<media-video-layout thumbnails=\"{markup}\"></media-video-layout>\n\n\
                 <!-- in React -->\n<DefaultVideoLayout thumbnails={{{script}}} icons={{defaultLayoutIcons}} />"
            ),
            note: CORS,
        },
        Snippet {
            player: "Plyr",
            code: format!(
                "new Plyr(\"#player\", {{\n  previewThumbnails: {{ enabled: true, src: {script} }}\n}});"
            ),
            note: CORS,
        },
        Snippet {
            player: "Media Chrome",
            code: format!(
                "<media-controller>\n  <video slot=\"media\" src=\"…\" crossorigin>\n    {}\n  </video>\n  \
                 <media-control-bar>\n    <media-time-range></media-time-range>\n  \
                 </media-control-bar>\n</media-controller>",
                track.replace('\n', "\n    ")
            ),
            note: CROSSORIGIN,
        },
        Snippet {
            player: "Shaka Player",
            code: format!(
                "await player.load(\"…\");\nawait player.addThumbnailsTrack({script}, \"text/vtt\");"
            ),
            note: CORS,
        },
        Snippet {
            player: "ArtPlayer",
            code: format!(
                "import artplayerPluginVttThumbnail from \"artplayer-plugin-vtt-thumbnail\";\n\n\
                 new Artplayer({{\n  container: \"#player\",\n  url: \"…\",\n  plugins: \
                 [artplayerPluginVttThumbnail({{ vtt: {script} }})],\n}});"
            ),
            note: CORS,
        },
        Snippet {
            player: "TXImageSprite, Android",
            code: format!(
                "TXImageSprite sprite = new TXImageSprite(context);\nsprite.setVTTUrlAndImageUrls(\n    \
                 {script},\n    Arrays.asList(\n        {}));",
                list("", "", "        ")
            ),
            note: "It finds a sheet by the last part of its address: keep both lists together.",
        },
        Snippet {
            player: "TXImageSprite, iOS",
            code: format!(
                "TXImageSprite *sprite = [[TXImageSprite alloc] init];\n\
                 [sprite setVTTUrl:[NSURL URLWithString:@{script}]\n        imageUrls:@[\n    {}]];",
                list("[NSURL URLWithString:@", "]", "    ")
            ),
            note: "It finds a sheet by the last part of its address: keep both lists together.",
        },
    ]
}

/// As a text of JavaScript, Java and Objective-C, which a script within a page may hold.
fn quoted(url: &str) -> String {
    let text = serde_json::Value::from(url).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e")
}

/// As the value of an attribute in double quotes.
fn escaped(url: &str) -> String {
    html! { (url) }.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VTT: &str =
        "https://img.example.com/sprites/1500012345/387/10-3fa91c0b7d22/thumbnails.vtt";

    #[test]
    fn each_player_is_told_the_addresses() {
        let sheets = [0, 1].map(|n| format!("https://img.example.com/{n}.jpg"));
        let snippets = all(VTT, &sheets);
        for Snippet { player, code, .. } in &snippets {
            assert!(code.contains(&format!("\"{VTT}\"")), "{player}: {code}");
            assert!(code.is_ascii() || code.contains('…'), "{player}: {code}");
        }
        let lists = snippets.iter().filter(|one| sheets.iter().all(|url| one.code.contains(url)));
        assert_eq!(lists.count(), 2);
        let java = &snippets.iter().find(|one| one.player.ends_with("Android")).unwrap().code;
        let list = "Arrays.asList(\n        \"https://img.example.com/0.jpg\",\n        \
                    \"https://img.example.com/1.jpg\"));";
        assert!(java.ends_with(list), "{java}");
        let ios = &snippets.iter().find(|one| one.player.ends_with("iOS")).unwrap().code;
        let list = "imageUrls:@[\n    [NSURL URLWithString:@\"https://img.example.com/0.jpg\"],\n    \
                    [NSURL URLWithString:@\"https://img.example.com/1.jpg\"]]];";
        assert!(ios.ends_with(list), "{ios}");
    }

    #[test]
    fn an_address_stays_one_in_a_snippet_and_on_the_page() {
        let evil = "https://x/\"</script><b a='\\&";
        for Snippet { player, code, .. } in all(evil, &[evil.to_owned()]) {
            assert!(!code.contains("</script>"), "{player}: {code}");
            let is_markup = code.contains("&quot;&lt;/script&gt;&lt;b a='\\&amp;");
            let is_script =
                code.contains("\"https://x/\\\"\\u003c/script\\u003e\\u003cb a='\\\\&\"");
            assert!(is_markup || is_script, "{player}: {code}");
        }
        let page = snippets(evil, &[evil.to_owned()]).into_string();
        assert!(!page.contains("<b a") && !page.contains("</script"), "{page}");
    }
}

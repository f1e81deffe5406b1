//! The options of sprites: their tasks, and their files.

use secrecy::SecretString;

use crate::settings::EmulatorSettings;
use crate::sprites::{SpriteProtection, SpriteQuirks};

/// The options of sprites.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sprites")]
pub(super) struct SpriteFileArgs {
    /// Sprite tasks to add each second, such as 0.5
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    sprites_per_second: f64,

    /// How the files of sprites differ from the usual, and what events say of them
    ///
    /// Words with commas between them, such as crlf,padded,sheets:late=5s. They are for the tasks
    /// whose order has no quirks of its own.
    ///   The WebVTT file: crlf, cr, bom, ids, short-hours, no-hours, comma, no-millis, settings,
    ///     notes, tabs, no-spaces, no-blank-lines, no-last-end
    ///   The areas in it: query (?xywh=), pixel, percent, decimals, no-xywh
    ///   The names in it: absolute, root-relative, schemeless, encoded, amp (a query with &amp;)
    ///   The sheets: padded (the last one is as high as the others), size=400kB (at least)
    ///   The task: step=7333ms (from tile to tile), count=all|sheet|null|N (TotalCount), rerun=N
    ///     (it runs again after N good answers with the WebVTT file; without =N, after one)
    ///   The answers: late=5s (404 for so long after the first request), status=N, html, empty,
    ///     truncated, cut, slow=8s, delay=8s, huge=64MiB, redirect=HOST (without =HOST, to
    ///     169.254.0.23), gzip. With vtt: or sheets: in front they concern these files alone, with
    ///     times=N only the first N requests for each file
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    #[arg(verbatim_doc_comment)]
    sprite_quirks: SpriteQuirks,

    /// The KEY of hot-link protection that the URLs of files must be signed with; never a real one
    #[arg(long, value_name = "KEY")]
    sprite_key: Option<SecretString>,

    /// What the Referer of requests for files must begin with, without the scheme, such as
    /// www.example.com or *.example.com/video; may be repeated, or a list with commas
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    sprite_referer: Vec<String>,

    /// Take requests without a Referer all the same
    #[arg(long, requires = "sprite_referer")]
    sprite_empty_referer: bool,
}

impl SpriteFileArgs {
    pub(super) fn apply(&self, settings: EmulatorSettings) -> EmulatorSettings {
        EmulatorSettings {
            sprites_per_second: self.sprites_per_second,
            sprite_quirks: self.sprite_quirks.clone(),
            sprite_protection: SpriteProtection {
                key: self.sprite_key.clone(),
                referers: self.sprite_referer.clone(),
                allow_empty_referer: self.sprite_empty_referer,
            },
            ..settings
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use secrecy::ExposeSecret;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: SpriteFileArgs,
    }

    fn settings(line: &str) -> Result<EmulatorSettings, clap::Error> {
        let program = Program::try_parse_from(line.split(' '))?;
        Ok(program.args.apply(EmulatorSettings::default()))
    }

    #[test]
    fn options_reach_the_settings() {
        let settings = settings(
            "emulator --sprites-per-second 0.5 --sprite-quirks crlf,late=5s --sprite-key Abcdef12 \
             --sprite-referer a.example,b.example --sprite-referer c --sprite-empty-referer",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.sprites_per_second, 0.5);
        assert_eq!(settings.sprite_quirks, "crlf,late=5s".parse().unwrap());
        let protection = &settings.sprite_protection;
        assert_eq!(protection.key.as_ref().unwrap().expose_secret(), "Abcdef12");
        assert_eq!(protection.referers, ["a.example", "b.example", "c"]);
        assert!(protection.allow_empty_referer);
        assert!(settings.check().is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = settings("emulator --sprite-quirks crfl").unwrap_err().to_string();
        assert!(refused.contains("there is no quirk crfl"), "{refused}");
        assert!(settings("emulator --sprite-empty-referer").is_err());
        let short = settings("emulator --sprite-key short").unwrap();
        assert!(short.check().unwrap_err().contains("8 to 20"));
    }

    #[test]
    fn the_help_has_every_word() {
        let help = Program::command().render_long_help().to_string();
        let words: Vec<&str> = help.split(|c: char| !c.is_ascii_lowercase() && c != '-').collect();
        for word in SpriteQuirks::words() {
            assert!(words.contains(&word.as_str()), "{word}");
        }
    }
}

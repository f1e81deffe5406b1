//! What a shell may complete a word with. The scripts of `sprited completions` ask this program, which
//! looks at the configuration and nothing else: no journal, no daemon, no network. What cannot be
//! read has no values to offer; nothing is said of it, since that would stand in the line that is
//! being typed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_complete::engine::{self, ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;

use super::exit::{Exit, print};
use crate::config::{DEFAULT_PATH, PartialConfig};
use crate::event;

/// The variable by which a shell's script asks; its value is the shell's name.
pub(super) const VARIABLE: &str = "SPRITED_COMPLETE";

/// Bash's script tells here which word it is about, counted from 0.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// What bash's script splits the answer at.
const BASH_SEPARATOR: &str = "\u{b}";

/// The names of the configured sinks.
pub(super) fn sinks() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(config().map(|config| config.sink_names())))
}

/// The configured applications.
pub(super) fn apps() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(config().and_then(|config| config.apps().ok())))
}

/// The documented EventTypes.
pub(super) fn event_types() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(Some(event::known_types())))
}

fn candidates<T: ToString>(
    values: Option<impl IntoIterator<Item = T>>,
) -> Vec<CompletionCandidate> {
    let values = values.into_iter().flatten();
    values.map(|value| CompletionCandidate::new(value.to_string())).collect()
}

/// Answers the shell that has started this program to complete a word; `None` if none has.
pub(super) fn run(arguments: &[OsString], command: impl FnOnce() -> Command) -> Option<Exit> {
    let shell = env::var(VARIABLE).ok()?;
    let words = words(arguments)?;
    let mut answer = Vec::new();
    // It has nothing to offer, or cannot be understood: the shell completes nothing.
    complete(&shell, words, &mut command(), &mut answer).ok();
    print(&answer).ok();
    Some(Exit::Success)
}

/// The words that are being typed, the program's name first.
fn words(arguments: &[OsString]) -> Option<&[OsString]> {
    match arguments {
        [_, separator, words @ ..] if separator == "--" => Some(words),
        _ => None,
    }
}

fn complete(
    shell: &str,
    words: &[OsString],
    command: &mut Command,
    to: &mut Vec<u8>,
) -> io::Result<()> {
    let folder = env::current_dir().ok();
    if shell == "bash" {
        let index = env::var(INDEX).ok().and_then(|index| index.parse().ok()).unwrap_or(0);
        let (words, index) = without_equals(words, index);
        let found = engine::complete(command, words, index, folder.as_deref())?;
        let values = found.iter().map(|value| value.get_value().to_string_lossy());
        to.extend(values.collect::<Vec<_>>().join(BASH_SEPARATOR).into_bytes());
        return Ok(());
    }
    match Shells::builtins().completer(shell) {
        Some(shell) => shell.write_complete(command, words.to_vec(), folder.as_deref(), to),
        None => Ok(()),
    }
}

/// Bash makes three words of `--sink=site`, and completes the third: the second says nothing.
fn without_equals(words: &[OsString], index: usize) -> (Vec<OsString>, usize) {
    let is_kept = |(at, word): &(usize, &OsString)| *at == index || *word != "=";
    let kept = words.iter().enumerate().filter(is_kept);
    let before = kept.clone().filter(|(at, _)| *at < index).count();
    (kept.map(|(_, word)| word.clone()).collect(), before)
}

/// The configuration that the typed command would read.
fn config() -> Option<PartialConfig> {
    let arguments: Vec<OsString> = env::args_os().collect();
    let named = words(&arguments).and_then(named_config);
    let path = named.or_else(|| env::var_os("SPRITED_CONFIG").map(PathBuf::from));
    PartialConfig::load(&path.unwrap_or_else(|| DEFAULT_PATH.into())).ok()
}

/// The file that the typed words name.
fn named_config(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter().filter(|word| *word != "=").map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let file = match &*word {
            "-c" | "--config" => words.next(),
            word => ["--config=", "-c"]
                .iter()
                .find_map(|option| word.strip_prefix(option))
                .map(|file| file.trim_start_matches('=').to_owned().into()),
        };
        if let Some(file) = file {
            let home = file.strip_prefix("~/").zip(env::var_os("HOME"));
            return Some(match home {
                Some((file, home)) => PathBuf::from(home).join(file),
                None => PathBuf::from(OsStr::new(&*file)),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_configuration_is_the_one_that_is_typed() {
        for (line, file) in [
            ("sprited events list -c a.toml --sink ", Some("a.toml")),
            ("sprited events list -ca.toml --sink ", Some("a.toml")),
            ("sprited events list --config a.toml", Some("a.toml")),
            ("sprited events list --config=a.toml", Some("a.toml")),
            ("sprited events list --config = a.toml --sink ", Some("a.toml")),
            ("sprited events list --sink ", None),
            ("sprited events list -c", None),
        ] {
            assert_eq!(named_config(&typed(line)), file.map(PathBuf::from), "{line}");
        }
    }

    #[test]
    fn an_equals_sign_between_words_of_bash_counts_for_nothing() {
        let words = typed("sprited events discard --sink = s");
        assert_eq!(without_equals(&words, 5), (typed("sprited events discard --sink s"), 4));
        let words = typed("sprited events --type = a --sink =");
        assert_eq!(without_equals(&words, 6), (typed("sprited events --type a --sink ="), 5));
    }
}

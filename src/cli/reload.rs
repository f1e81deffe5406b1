//! `sprited reload`: has the running daemon take over the configuration, and ends by its verdict.

use std::path::{Path, absolute};
use std::time::Duration;

use super::control::AskedDaemon;
use super::exit::{Exit, answer, complain, json_line};
use super::open_journal::{self, CliError, ConfigArg};
use super::screen::spinner;
use crate::config::{Config, Located};
use crate::control::{ReloadVerdict, Request};
use crate::identity;
use crate::sanitize::one_line;

/// How long a reload may take: less than systemd gives it, so that it is this command that says why.
const WAIT: Duration = Duration::from_secs(50);

/// Have the running daemon apply the configuration, and wait for the result.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command checks the file, then the running daemon applies it, as a whole or not at all. After a
mistake the previous configuration stays active. `systemctl reload sprited` runs this command; it
does the same as SIGHUP, which reports the result in the log only and reopens the files of sinks even
if the configuration has mistakes.
Exit code: 0 if the configuration is active, also if nothing has changed; 78 if it has mistakes; 1
if no daemon answers, or if the daemon runs with another file.

With --json, the answer has added, removed and changed with names of sinks, tables with names of
other tables, and mistakes.

Examples:
  sprited reload
  sprited reload --config /etc/sprited/north.toml"
)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReloadArgs) -> Exit {
    open_journal::end(reload(args))
}

fn reload(args: &ReloadArgs) -> Result<Exit, CliError> {
    let file = &args.config.path;
    let verdict = match Config::load(file) {
        Err(errors) => {
            let each = errors.mistakes.iter();
            let mistakes = each.map(|mistake| Located(file, mistake).to_string());
            ReloadVerdict::rejected(mistakes.collect())
        }
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(format_args!("warning: {}", Located(file, warning)));
            }
            let file = absolute(file)?;
            let journal = loaded.config.journal.path;
            identity::become_owner(&journal)?;
            ask(&AskedDaemon { journal }, &Request::Reload { file })?
        }
    };
    let exit = if verdict.mistakes.is_empty() { Exit::Success } else { Exit::Configuration };
    if args.json {
        return Ok(answer(json_line(&verdict)?.as_bytes(), exit));
    }
    if verdict.mistakes.is_empty() {
        return Ok(answer(taken_over(file, &verdict).as_bytes(), exit));
    }
    for mistake in &verdict.mistakes {
        complain(one_line(mistake));
    }
    Ok(exit.because("not reloaded: the previous configuration stays active"))
}

fn ask(daemon: &AskedDaemon, request: &Request) -> Result<ReloadVerdict, CliError> {
    let spinner = spinner("waiting for the daemon");
    let verdict = daemon.ask_now(request, WAIT);
    spinner.finish_and_clear();
    verdict
}

fn taken_over(file: &Path, verdict: &ReloadVerdict) -> String {
    if verdict.is_same() {
        return format!("reloaded {}: nothing has changed\n", file.display());
    }
    let ReloadVerdict { added, removed, changed, tables, .. } = verdict;
    let mut text = format!("reloaded {}\n", file.display());
    for (what, names) in [
        ("sinks added:   ", added),
        ("sinks removed: ", removed),
        ("sinks changed: ", changed),
        ("tables changed:", tables),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("  {what} {}\n", names.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_over_is_listed() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let verdict = ReloadVerdict {
            added: names(&["site"]),
            changed: names(&["a", "b"]),
            tables: names(&["poll", "log"]),
            ..ReloadVerdict::default()
        };
        insta::assert_snapshot!(taken_over(Path::new("/etc/s.toml"), &verdict), @"
        reloaded /etc/s.toml
          sinks added:    site
          sinks changed:  a, b
          tables changed: poll, log
        ");
        let nothing = taken_over(Path::new("/etc/s.toml"), &ReloadVerdict::default());
        assert_eq!(nothing, "reloaded /etc/s.toml: nothing has changed\n");
    }
}

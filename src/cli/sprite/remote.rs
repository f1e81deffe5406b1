//! A sprite behind a URL, fetched as a mirror would fetch it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};

use super::found::{FoundSheet, FoundSprite, SheetFile, SpriteContent};
use crate::cli::exit::{Exit, complain};
use crate::cli::open_journal::CliError;
use crate::cli::process;
use crate::cli::screen::spinner;
use crate::fetch::{FetchError, FetchSettings, FetchedSheet, FetchedSprite, Fetcher, HostPattern};
use crate::secret::{SecretRef, SecretSource};
use crate::sprite::Announced;

/// How long a source may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// How it is fetched.
#[derive(Debug, clap::Args)]
pub(super) struct FetchOptions {
    /// Host that files may come from, as in hosts of a mirror: a name such as media.example.com or
    /// *.example.com, or an address, with a port or without. It may be private. May be repeated; then
    /// no other host is asked.
    #[arg(long = "host", value_name = "HOST", value_parser = HostPattern::parse)]
    hosts: Vec<HostPattern>,
    /// Referer to send, where hot-link protection asks for one.
    #[arg(long, value_name = "URL")]
    referer: Option<String>,
    /// File with the KEY of the cloud's hot-link protection, by which the URLs are signed.
    #[arg(long, value_name = "FILE")]
    hotlink_key_file: Option<PathBuf>,
}

impl FetchOptions {
    /// As a mirror has them.
    fn settings(&self) -> Result<FetchSettings, CliError> {
        let key = self.hotlink_key_file.clone();
        let settings = FetchSettings {
            hosts: (!self.hosts.is_empty()).then(|| self.hosts.clone()),
            referer: self.referer.clone(),
            hotlink_key: key.map(|path| SecretRef::Place(SecretSource::File(path))),
            ..FetchSettings::default()
        };
        for issue in settings.check() {
            let message = issue.message.replacen("hotlink_key", "--hotlink-key-file", 1);
            let message = message.replacen("referer:", "--referer:", 1);
            if issue.is_mistake {
                return Err(CliError::because(Exit::Usage, message));
            }
            complain(format_args!("warning: {message}"));
        }
        Ok(settings)
    }
}

/// Fetches the sprite whose index is there, the sheets into temporary files in `folder`.
pub(super) fn find(
    url: &Url,
    options: &FetchOptions,
    folder: &Path,
) -> Result<FoundSprite, CliError> {
    let settings = options.settings()?;
    let failed = |error: anyhow::Error| CliError::because(Exit::Failure, format_args!("{error:#}"));
    process::block_on(async {
        let fetcher = Fetcher::open(&settings, SILENCE).await.map_err(failed)?;
        if fetcher.is_behind_proxy() && settings.hosts.is_none() {
            complain(
                "warning: the environment names a proxy; of what it asks for, only the names are \
                 checked, not whether they lead to public addresses",
            );
        }
        tokio::select! {
            found = fetched(url, &fetcher, folder) => Ok(found),
            () = interrupted() => Err(CliError::because(Exit::Failure, "interrupted")),
        }
    })
    .map_err(failed)?
}

/// Waits for a signal to stop, which would leave what was fetched where it is.
async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // It ends the process as any other.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// The rules that `--host` may lift.
const BY_HOST: [&str; 3] = ["rule address: ", "rule port: ", "rule hosts: "];

/// What went wrong, and what to do about it where it is this command's affair.
fn explained(error: &FetchError) -> String {
    let error = error.to_string();
    match BY_HOST.iter().any(|rule| error.contains(rule)) {
        true => format!("{error}; to fetch it from there all the same, name the host by --host"),
        false => error,
    }
}

async fn fetched(url: &Url, fetcher: &Fetcher, folder: &Path) -> FoundSprite {
    let progress = spinner("fetching the index");
    let source = shown(url);
    let of = |index, content: Result<SpriteContent, FetchError>| FoundSprite {
        source,
        url: Some(url.clone()),
        index,
        content: content.map_err(|error| explained(&error)),
    };
    let index = match fetcher.fetch_index(url.as_str()).await {
        Ok(index) => index,
        Err(error) => return of(None, Err(error)),
    };
    let bytes = index.bytes.clone();
    progress.set_message("fetching the sheets");
    let on_sheet = |done: usize, all: usize| {
        progress.set_message(format!("fetching the sheets: {done} of {all}"));
    };
    let announced = Announced::default();
    let sprite = fetcher.fetch_sheets(index, &[], &announced, folder, &on_sheet).await;
    progress.finish_and_clear();
    of(Some(bytes), sprite.map(|sprite| content(url, sprite)))
}

fn content(index: &Url, sprite: FetchedSprite) -> SpriteContent {
    let names = sprite.sheets.iter().map(|sheet| name_beside(index, &sheet.url)).collect();
    let sheets = sprite.sheets.into_iter().map(|sheet| {
        let FetchedSheet { url, file, bytes, sha256, image } = sheet;
        FoundSheet { url: Some(url), file: SheetFile::Temporary(file), bytes, sha256, image }
    });
    SpriteContent { verified: sprite.verified, sheets: sheets.collect(), names }
}

/// What leads from the index to a sheet that lies beside or below it.
fn name_beside(index: &Url, sheet: &Url) -> String {
    let mut sheet = sheet.clone();
    sheet.set_query(None);
    let last = sheet.path().rsplit('/').next().unwrap_or_default().to_owned();
    index.make_relative(&sheet).filter(|name| !name.is_empty()).unwrap_or(last)
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // A URL that is fetched has neither.
    if shown.set_username("").is_err() || shown.set_password(None).is_err() {
        return shown.origin().ascii_serialization();
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_be_secret_is_shown() {
        let url = Url::parse("http://me:hunter2@h:81/a/b.vtt?t=1&sign=hunter2#hunter2").unwrap();
        assert_eq!(shown(&url), "http://h:81/a/b.vtt");
    }

    #[test]
    fn a_sheet_is_named_by_what_leads_to_it() {
        let name = |sheet: &str| {
            let base = Url::parse("http://h/a/b.vtt?x=1").unwrap();
            name_beside(&base, &Url::parse(sheet).unwrap())
        };
        assert_eq!(name("http://h/a/0.jpg?sign=1"), "0.jpg");
        assert_eq!(name("http://h/a/sub/0%20.jpg"), "sub/0%20.jpg");
        assert_eq!(name("http://other/a/0.jpg"), "0.jpg");
    }
}

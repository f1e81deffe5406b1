//! The log: its destination, format and level.
//!
//! Owns the process's tracing subscriber. Logs go to stderr or to journald, never to stdout,
//! which belongs to the stdout sink and to the commands' answers. One event is one line whatever
//! its values hold.

mod journald;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use chrono::{SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, debug_fn};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

use crate::sanitize::{self, escape_json};

/// The `[log]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`: how much sprited itself says. Libraries
    /// are heard from `warn` on; more of one by its name: `"info,hyper=debug"`.
    pub level: String,
    /// How it is written.
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Journald under systemd, pretty on a terminal, else logfmt.
    #[default]
    Auto,
    /// To journald by its own protocol, each value a field of its own and in the message as well.
    Journald,
    /// `key=value` lines on stderr.
    Logfmt,
    /// JSON lines on stderr.
    Json,
    /// Lines for people on stderr, in colour on a terminal.
    Pretty,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl LogSettings {
    /// Returns every mistake in the values, each with its key.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        filter(&self.level).err().map(|mistake| format!("level: {mistake}")).into_iter().collect()
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level cannot be read.
    #[error("[log] level: {0}")]
    Level(String),
    /// `format = "journald"` without a journald.
    #[error("[log] format: journald cannot be reached: {0}; expected auto, logfmt, json or pretty")]
    Journald(#[source] io::Error),
    /// The process has a log already, or has lost it.
    #[error("the log cannot be changed: {0}")]
    Subscriber(String),
}

/// Changes the level while the process runs.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<Targets, tracing_subscriber::Registry>);

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHandle")
    }
}

impl LogHandle {
    /// Takes the level of `settings` from now on. The format stays what it was at the start.
    ///
    /// # Errors
    /// When the level cannot be read; it then stays what it was.
    pub fn set_level(&self, settings: &LogSettings) -> Result<(), LoggingError> {
        let filter = filter(&settings.level).map_err(LoggingError::Level)?;
        self.0.reload(filter).map_err(|error| LoggingError::Subscriber(error.to_string()))
    }
}

/// Starts the log of the process; to be called once.
///
/// # Errors
/// When the level cannot be read, journald is asked for and not there, or the process has a log
/// already.
pub fn start(settings: &LogSettings) -> Result<LogHandle, LoggingError> {
    let filter = filter(&settings.level).map_err(LoggingError::Level)?;
    let layer = layer(settings.format)?;
    let (filter, handle) = reload::Layer::new(filter);
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| LoggingError::Subscriber(error.to_string()))?;
    Ok(LogHandle(handle))
}

type Boxed = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;

fn layer(format: LogFormat) -> Result<Boxed, LoggingError> {
    match format {
        LogFormat::Auto => match choose(
            std::env::var("JOURNAL_STREAM").ok().as_deref(),
            stderr_identity(),
            io::stderr().is_terminal(),
        ) {
            // A unit may run where journald's own socket is not to be had: stderr still is.
            LogFormat::Journald => layer(LogFormat::Journald).or_else(|_| layer(LogFormat::Logfmt)),
            chosen => layer(chosen),
        },
        LogFormat::Journald => {
            let fields = tracing_journald::layer()
                .map_err(LoggingError::Journald)?
                .with_syslog_identifier("sprited".to_owned())
                .with_field_prefix(Some("SPRITED".to_owned()))
                .with_priority_mappings(tracing_journald::PriorityMappings {
                    info: tracing_journald::Priority::Informational,
                    debug: tracing_journald::Priority::Debug,
                    ..tracing_journald::PriorityMappings::new()
                });
            Ok(journald::InMessage(fields).boxed())
        }
        written => {
            let no_colour = std::env::var_os("NO_COLOR");
            let colour = is_coloured(io::stderr().is_terminal(), no_colour.as_deref());
            Ok(lines(written, colour, io::stderr))
        }
    }
}

/// Whether text for a terminal has colours. As no-color.org has it: the variable NO_COLOR counts if it
/// is not empty.
#[must_use]
pub fn is_coloured(is_terminal: bool, no_colour: Option<&OsStr>) -> bool {
    is_terminal && no_colour.is_none_or(OsStr::is_empty)
}

fn lines<S, W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(OneLine { writer, escape: escape_json })
            .boxed(),
        LogFormat::Pretty => tracing_subscriber::fmt::layer()
            .with_ansi(colour)
            .with_target(false)
            .with_timer(ChronoLocal::new("%H:%M:%S%.3f".to_owned()))
            .fmt_fields(debug_fn(write_field).delimited(" "))
            // Colours are control characters, too; those of values are escaped before.
            .with_writer(OneLine {
                writer,
                escape: |line, out| sanitize::escape(line, |c| c == '\x1b', out),
            })
            .boxed(),
        LogFormat::Auto | LogFormat::Journald | LogFormat::Logfmt => tracing_logfmt::builder()
            .with_timestamp(false)
            .layer()
            .map_event_format(Timestamped)
            .with_writer(OneLine {
                writer,
                escape: |line, out| sanitize::escape(line, |_| false, out),
            })
            .boxed(),
    }
}

/// Begins each line with the time in UTC, to the millisecond.
struct Timestamped<F>(F);

impl<S, N, F> FormatEvent<S, N> for Timestamped<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        write!(writer, "ts={now} ")?;
        self.0.format_event(context, writer, event)
    }
}

/// Writes a field for people, so that its value cannot reach the terminal as a command.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        let (dim, plain) = if out.has_ansi_escapes() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        write!(out, "{dim}{}={plain}", field.name())?;
    }
    out.write_str(&sanitize::one_line(&format!("{value:?}")))
}

/// Returns the format for `auto`. `journal` is JOURNAL_STREAM, by which systemd says which stream
/// it reads: it may have been inherited by a process whose stderr goes elsewhere.
fn choose(journal: Option<&str>, stderr: Option<(u64, u64)>, terminal: bool) -> LogFormat {
    let read_by_systemd =
        journal.and_then(|stream| stream.split_once(':')).is_some_and(|(device, inode)| {
            match (device.parse(), inode.parse()) {
                (Ok(device), Ok(inode)) => stderr == Some((device, inode)),
                _ => false,
            }
        });
    match (read_by_systemd, terminal) {
        (true, _) => LogFormat::Journald,
        (false, true) => LogFormat::Pretty,
        (false, false) => LogFormat::Logfmt,
    }
}

fn stderr_identity() -> Option<(u64, u64)> {
    let stream = io::stderr().as_fd().try_clone_to_owned().ok()?;
    let metadata = std::fs::File::from(stream).metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Parses a level. A word alone is sprited's own; `name=level` is that of the crate `name`.
fn filter(text: &str) -> Result<Targets, String> {
    const EXPECTED: &str = "expected off, error, warn, info, debug or trace, for a library as in \
                            \"info,hyper=debug\"";
    let mut targets = Targets::new().with_default(LevelFilter::WARN);
    for part in text.split(',').map(str::trim) {
        let (name, level) = part.split_once('=').unwrap_or(("", part));
        // A number would be a level to the parser, and an empty word the highest.
        let level: LevelFilter = Some(level)
            .filter(|level| level.chars().next().is_some_and(|c| c.is_ascii_alphabetic()))
            .and_then(|level| level.parse().ok())
            .ok_or_else(|| format!("found {part:?}; {EXPECTED}"))?;
        targets = match name {
            "" if part.contains('=') => return Err(format!("found {part:?}; {EXPECTED}")),
            "" => targets
                .with_default(level.min(LevelFilter::from_level(Level::WARN)))
                .with_target(env!("CARGO_PKG_NAME"), level),
            name => targets.with_target(name, level),
        };
    }
    Ok(targets)
}

/// Keeps an event on one line, and escapes what a terminal would obey or hide.
struct OneLine<W> {
    writer: W,
    escape: fn(&str, &mut String),
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Escaping { writer: self.writer.make_writer(), escape: self.escape }
    }
}

struct Escaping<W> {
    writer: W,
    escape: fn(&str, &mut String),
}

impl<W: Write> Write for Escaping<W> {
    /// Writes one event, whole, as the layers pass it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = String::with_capacity(text.len());
        (self.escape)(line, &mut escaped);
        escaped.push('\n');
        self.writer.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a terminal obeys or hides, what ends lines and fields, and what a page would obey.
    const EVIL: &str =
        "a\nb\x1b[31mc\r\u{9b}2J\u{7f}\u{202e}d\u{200b}\u{2028}\u{feff}\" x=\\ </script><b>";

    fn logged(format: LogFormat, colour: bool, value: &str) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = lines(format, colour, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("sink", name = %value);
            let _inside = span.enter();
            tracing::info!(shown = %value, quoted = ?value, text = value, "said {value}");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_value_breaks_a_line_or_reaches_the_terminal() {
        for format in [LogFormat::Logfmt, LogFormat::Json, LogFormat::Pretty] {
            for value in [EVIL, "\u{202e}alone", "\u{9b}2J", "\n", ""] {
                let text = logged(format, false, value);
                let line = text.strip_suffix('\n').unwrap();
                assert!(!line.contains(sanitize::is_invisible), "{format:?}: {text:?}");
            }
        }
        let coloured = logged(LogFormat::Pretty, true, EVIL);
        assert_eq!(coloured.matches('\n').count(), 1, "{coloured:?}");
        assert!(coloured.contains('\x1b') && !coloured.contains("\x1b[31mc"), "{coloured:?}");
        let unseen = |c| c != '\x1b' && c != '\n' && sanitize::is_invisible(c);
        assert!(!coloured.contains(unseen), "{coloured:?}");
    }

    #[test]
    fn a_value_is_one_field_and_comes_back_as_it_was() {
        let json: serde_json::Value =
            serde_json::from_str(&logged(LogFormat::Json, false, EVIL)).unwrap();
        assert_eq!(json["shown"], EVIL);
        assert_eq!(json["text"], EVIL);
        assert_eq!(json["message"], format!("said {EVIL}"));

        let line = logged(LogFormat::Logfmt, false, EVIL);
        let fields = logfmt(line.trim_end());
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "ts",
            "level",
            "target",
            "span",
            "span_path",
            "message",
            "shown",
            "quoted",
            "text",
            "name",
        ];
        assert!(names.iter().all(|name| expected.contains(name)), "{line}");
        let (name, time) = &fields[0];
        assert_eq!((name.as_str(), time.len()), ("ts", "2026-01-02T03:04:05.678Z".len()), "{line}");
        assert!(
            time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(),
            "{time}"
        );
        let shown: Vec<_> = fields.iter().filter(|(name, _)| name == "shown").collect();
        assert_eq!(shown.len(), 1, "{line}");
        assert_eq!(shown[0].1, fields.iter().find(|(name, _)| name == "text").unwrap().1);
    }

    /// Reads `name=value` and `name="value"`, the latter with escapes.
    fn logfmt(line: &str) -> Vec<(String, String)> {
        let mut rest = line;
        let mut fields = Vec::new();
        while let Some((name, value)) = rest.split_once('=') {
            let quoted = value.strip_prefix('"');
            let text = quoted.unwrap_or(value);
            let mut escaped = false;
            let end = text.find(|c| match c {
                _ if escaped => {
                    escaped = false;
                    false
                }
                '\\' if quoted.is_some() => {
                    escaped = true;
                    false
                }
                '"' => quoted.is_some(),
                c => c == ' ' && quoted.is_none(),
            });
            let (value, behind) = text.split_at(end.unwrap_or(text.len()));
            fields.push((name.trim_start().to_owned(), value.to_owned()));
            rest = behind.strip_prefix('"').unwrap_or(behind);
        }
        fields
    }

    #[test]
    fn auto_follows_the_stream() {
        let stderr = Some((8, 4711));
        assert_eq!(choose(Some("8:4711"), stderr, false), LogFormat::Journald);
        assert_eq!(choose(Some("8:4712"), stderr, false), LogFormat::Logfmt);
        assert_eq!(choose(Some("8:4712"), stderr, true), LogFormat::Pretty);
        assert_eq!(choose(Some("nonsense"), stderr, false), LogFormat::Logfmt);
        assert_eq!(choose(Some("8:4711"), None, false), LogFormat::Logfmt);
        assert_eq!(choose(None, stderr, true), LogFormat::Pretty);
    }

    #[test]
    fn colours_are_for_a_terminal_whose_user_wants_them() {
        assert!(is_coloured(true, None) && is_coloured(true, Some(OsStr::new(""))));
        assert!(!is_coloured(true, Some(OsStr::new("1"))) && !is_coloured(false, None));
    }

    #[test]
    fn a_level_is_spriteds_own_and_libraries_are_named() {
        let at =
            |text: &str, target: &str, level| filter(text).unwrap().would_enable(target, &level);
        assert!(at("info", "sprited::puller", Level::INFO));
        assert!(!at("info", "sprited::puller", Level::DEBUG));
        assert!(!at("trace", "hyper::client", Level::INFO));
        assert!(at("trace", "hyper::client", Level::WARN));
        assert!(at("info,hyper=debug", "hyper::client", Level::DEBUG));
        assert!(!at("off", "hyper::client", Level::ERROR));
        assert!(at("WARN", "sprited", Level::WARN));
        for wrong in ["", "infoo", "3", "info,", "=info", "hyper=", "a=b=c", "info;debug"] {
            let mistakes =
                LogSettings { level: wrong.to_owned(), ..LogSettings::default() }.check();
            assert_eq!(mistakes.len(), 1, "{wrong:?}");
            assert!(mistakes[0].starts_with("level: found"), "{mistakes:?}");
        }
    }

    #[test]
    fn the_level_changes_while_the_process_runs() {
        let (filter, handle) = reload::Layer::new(filter("info").unwrap());
        let memory = Memory::default();
        let writer = memory.clone();
        let layer: Boxed = lines(LogFormat::Logfmt, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("before");
            let settings = LogSettings { level: "debug".to_owned(), ..LogSettings::default() };
            LogHandle(handle.clone()).set_level(&settings).unwrap();
            tracing::debug!("after");
            let wrong = LogSettings { level: "loud".to_owned(), ..LogSettings::default() };
            LogHandle(handle).set_level(&wrong).unwrap_err();
            tracing::debug!("still");
        });
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("before") && text.contains("after"), "{text}");
        assert!(text.contains("still"), "{text}");
    }
}

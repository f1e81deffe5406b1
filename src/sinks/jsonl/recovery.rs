//! Which events stand in the files already: what a crash kept from being recorded.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr;

use chrono::DateTime;
use flate2::bufread::MultiGzDecoder;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::log::{LogError, failed};
use super::rotation::Names;
use crate::event::{self, AppId, Event, Format, Key};

/// How an envelope written by [`event::Event::render`] begins; the key follows.
const ENVELOPE: &[u8] = br#"{"specversion":"1.0","id":""#;
const KEY_LEN: usize = 32;

/// The longest line that is read to find out its event in the format `callback`, in bytes. An
/// event beyond it counts as not there and is repeated.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// A place in a file up to which everything is recorded: the file, the offset, and the line
/// that stands right before it, because a new file can get the number of a deleted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    offset: u64,
    line_len: u64,
    line_hash: u64,
}

impl Mark {
    /// The mark at `offset`, right after the last of `lines`.
    pub(super) fn new(inode: u64, offset: u64, lines: &[u8]) -> Self {
        let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
        let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = &lines[start..];
        Self { inode, offset, line_len: line.len() as u64, line_hash: hash(Sha256::digest(line)) }
    }

    /// Reads on to the mark. Whether it was made in what `file` holds; if not, the position
    /// afterwards is any.
    fn seek(&self, file: &mut Lines) -> io::Result<bool> {
        let Some(before) = self.offset.checked_sub(self.line_len) else { return Ok(false) };
        file.skip(before)?;
        let mut line = file.reader().take(self.line_len);
        let mut sum = Sha256::new();
        loop {
            let chunk = line.fill_buf()?;
            let read = chunk.len();
            if read == 0 {
                break;
            }
            sum.update(chunk);
            line.consume(read);
        }
        Ok(line.limit() == 0 && hash(sum.finalize()) == self.line_hash)
    }
}

/// Enough of a digest to tell one line from another.
fn hash(digest: impl AsRef<[u8]>) -> u64 {
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{:016x}", self.inode, self.offset, self.line_len, self.line_hash)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(());
        let mark = Self {
            inode: next()?.parse().map_err(drop)?,
            offset: next()?.parse().map_err(drop)?,
            line_len: next()?.parse().map_err(drop)?,
            line_hash: u64::from_str_radix(next()?, 16).map_err(drop)?,
        };
        parts.next().is_none().then_some(mark).ok_or(())
    }
}

/// How a line is written, and how its event is found out again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) format: Format,
    pub(super) app: AppId,
}

impl Reading {
    /// Appends the line of an event. One in the format `callback` is named by its content alone;
    /// where that is not enough, the key follows in blanks: for events of further applications, and
    /// for equal events with keys of their own.
    pub(super) fn write(self, event: &Event, lines: &mut Vec<u8>) {
        event.render(self.format, lines);
        // An event with a TaskId is never taken for a further occurrence: not worth the reading.
        let is_named = || {
            event.app == self.app
                && (event.task_id.is_some() || self.content_key(&event.body) == event.key)
        };
        if self.format == Format::Callback && !is_named() {
            lines.extend(blanks(event.key));
        }
        lines.push(b'\n');
    }

    /// How much of a line it takes, in bytes.
    fn max_line(self) -> usize {
        match self.format {
            Format::CloudEvents => ENVELOPE.len() + KEY_LEN,
            Format::Callback => MAX_LINE,
        }
    }

    /// The key of the event on a line, of which no more than [`Self::max_line`] is given.
    fn key(self, line: &[u8]) -> Option<Key> {
        if let Some(rest) = line.strip_prefix(ENVELOPE) {
            return std::str::from_utf8(rest.get(..KEY_LEN)?).ok()?.parse().ok();
        }
        // The content alone names its event, together with the application.
        let text = std::str::from_utf8(line).ok().filter(|_| self.format == Format::Callback)?;
        let content: &RawValue = serde_json::from_str(text).ok()?;
        Some(key_in_blanks(text).unwrap_or_else(|| self.content_key(content.get())))
    }

    fn content_key(self, content: &str) -> Key {
        event::read(self.app, content, false, DateTime::UNIX_EPOCH).event.key
    }
}

/// A key in white space, which is no part of a JSON value: a bit each, the highest first, a tab
/// for 1 and a space for 0.
fn blanks(key: Key) -> impl Iterator<Item = u8> {
    let key = u128::from_be_bytes(*key.as_bytes());
    (0..u128::BITS).rev().map(move |bit| if key >> bit & 1 == 1 { b'\t' } else { b' ' })
}

/// The key that [`blanks`] wrote at the end of a line.
fn key_in_blanks(line: &str) -> Option<Key> {
    let blanks = &line[line.trim_end_matches([' ', '\t']).len()..];
    let bits = blanks.bytes().fold(0, |bits: u128, blank| bits << 1 | u128::from(blank == b'\t'));
    (blanks.len() == u128::BITS as usize).then(|| Key::from_bytes(bits.to_be_bytes()))
}

/// Which lines were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Those that came after the mark.
    Since,
    /// All there are: the mark is in no file.
    All,
}

/// Calls `found` with the event of each line that stands after the mark, in all files there
/// are. A mark that is in none of them means all lines. Without a mark all came after it.
///
/// # Errors
/// When a file cannot be read. One that is damaged holds nothing from there on.
pub(super) fn scan(
    names: &Names,
    since: Option<&str>,
    reading: Reading,
    mut found: impl FnMut(Key),
) -> Result<Extent, LogError> {
    let mut files: Vec<_> = names
        .earlier()
        .map_err(failed("list the folder of", names.path()))?
        .into_iter()
        .map(|earlier| (earlier.path, earlier.gzip))
        .collect();
    files.push((names.path().to_owned(), false));
    let mut start = None;
    if let Some(mark) = since.and_then(|mark| mark.parse::<Mark>().ok()) {
        // The newest first: it is where the mark stands in all but a crash amid a rotation.
        for (at, (path, gzip)) in files.iter().enumerate().rev() {
            let file = Lines::open(path, *gzip).map_err(failed("read", path))?;
            let Some(mut file) = file.filter(|file| file.inode == Some(mark.inode)) else {
                continue;
            };
            if tolerate(mark.seek(&mut file), path)?.unwrap_or(false) {
                tolerate(file.each(reading, &mut found), path)?;
                start = Some(at + 1);
                break;
            }
        }
    }
    let is_lost = since.is_some() && start.is_none();
    if is_lost {
        let (file, files) = (names.path().display(), files.len());
        tracing::warn!(%file, files, "the last recorded place is in no file; reading them all");
    }
    for (path, gzip) in &files[start.unwrap_or(0)..] {
        if let Some(mut file) = Lines::open(path, *gzip).map_err(failed("read", path))? {
            tolerate(file.each(reading, &mut found), path)?;
        }
    }
    Ok(if is_lost { Extent::All } else { Extent::Since })
}

/// Damage inside a compressed file is told and passed over: it must not stop the deliveries.
fn tolerate<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, LogError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
            ) =>
        {
            tracing::warn!(%error, file = %path.display(), "a rotated file is damaged");
            Ok(None)
        }
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// A file of lines, compressed or not.
struct Lines {
    content: Content,
    /// The number of the file in which its lines were written, if that is known.
    inode: Option<u64>,
}

enum Content {
    Plain(BufReader<File>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl Lines {
    /// Opens the file and makes sure that what is read is on disk; `None` if it is gone.
    fn open(path: &Path, gzip: bool) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.sync_all()?;
        let inode = file.metadata()?.ino();
        let plain = BufReader::new(file);
        if !gzip {
            return Ok(Some(Self { content: Content::Plain(plain), inode: Some(inode) }));
        }
        let decoder = MultiGzDecoder::new(plain);
        let comment = decoder.header().and_then(|header| header.comment());
        let inode = comment.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        Ok(Some(Self { content: Content::Gzip(Box::new(BufReader::new(decoder))), inode }))
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match &mut self.content {
            Content::Plain(reader) => reader,
            Content::Gzip(reader) => reader,
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.content {
            Content::Plain(reader) => reader.seek(SeekFrom::Start(bytes)).map(drop),
            Content::Gzip(reader) => io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop),
        }
    }

    /// Calls `found` for each whole line from here on. Keeps no more of a line than is needed.
    fn each(&mut self, reading: Reading, found: &mut impl FnMut(Key)) -> io::Result<()> {
        let reader = self.reader();
        let mut line = Vec::new();
        loop {
            let chunk = match reader.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = reading.max_line().saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            if end.is_some() {
                if let Some(key) = reading.key(&line) {
                    found(key);
                }
                line.clear();
            }
            reader.consume(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_text_and_back() {
        let mark = Mark::new(u64::MAX, 12, b"{}\n");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", "1:2", "1:2:3:4:5", "x:2:3:00000000", "1:-2:3:0"] {
            assert_eq!(text.parse::<Mark>(), Err(()), "{text}");
        }
    }

    #[test]
    fn the_key_is_read_from_the_beginning_of_an_envelope() {
        let reading = Reading { format: Format::CloudEvents, app: AppId(1) };
        let key = Key::from_bytes([0xab; 16]);
        let line = format!(r#"{{"specversion":"1.0","id":"{key}","x":"\n"}}"#);
        assert_eq!(reading.key(&line.as_bytes()[..reading.max_line()]), Some(key));
        for line in ["", "{}", r#"{"specversion":"1.0","id":"abc"}"#, "\u{fffd}"] {
            assert_eq!(reading.key(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_callback_of_any_application_is_found_again() {
        let reading = Reading { format: Format::Callback, app: AppId(1) };
        for body in [r#"{"EventType":"A","AEvent":{"TaskId":"t"}}"#, r#"{"EventType":"A"}"#] {
            let keys = [AppId(1), AppId(2)].map(|app| {
                let event = event::read(app, body, false, DateTime::UNIX_EPOCH).event;
                let mut line = Vec::new();
                reading.write(&event, &mut line);
                let line = line.strip_suffix(b"\n").unwrap();
                assert_eq!(reading.key(line), Some(event.key), "of {app}");
                assert_eq!(line == body.as_bytes(), app == AppId(1));
                event.key
            });
            assert_ne!(keys[0], keys[1]);
        }
    }

    #[test]
    fn a_key_is_read_from_the_blanks_that_spell_it() {
        let key = Key::from_bytes(*b"\x00sixteen bytes\x01\xff");
        let line = |blanks: &[u8]| format!("{{}}{}", std::str::from_utf8(blanks).unwrap());
        let spelt: Vec<u8> = blanks(key).collect();
        assert_eq!(key_in_blanks(&line(&spelt)), Some(key));
        for other in [&spelt[1..], &[&spelt[..], b" "].concat(), b"", b"\t"] {
            assert_eq!(key_in_blanks(&line(other)), None);
        }
    }
}

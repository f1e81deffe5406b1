//! Which events stand in the files already: what a crash kept from being recorded.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::DateTime;
use flate2::bufread::MultiGzDecoder;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::checkpoint::{Checkpoint, FileId};
use super::error::{LogError, failed, failed_in_folder};
use super::rotation::{Names, gzip_identity};
use crate::event::{self, AppId, Event, EventFormat, Key};
use crate::sinks::OutputPath;

/// How an envelope written by [`event::Event::render`] begins; the key follows.
const ENVELOPE: &[u8] = br#"{"specversion":"1.0","id":""#;
const KEY_LEN: usize = 32;

/// The longest line that is read to find out its event, in bytes. An event beyond it counts as not
/// there and is repeated.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// How a line is written, and how its event is found out again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) format: EventFormat,
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
        if self.format == EventFormat::Callback && !is_named() {
            lines.extend(blanks(event.key));
        }
        lines.push(b'\n');
    }

    /// The key of the event on a line, of which no more than [`MAX_LINE`] is given. A part of a
    /// line holds no event, however it begins: another program, or a write that failed, can leave
    /// one.
    fn key(self, line: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(line).ok()?;
        let whole = || serde_json::from_str::<&RawValue>(text).ok();
        match self.format {
            EventFormat::CloudEvents => {
                let key = text.as_bytes().strip_prefix(ENVELOPE)?.get(..KEY_LEN)?;
                let key = std::str::from_utf8(key).ok()?.parse().ok()?;
                whole().map(|_| key)
            }
            // The content alone names its event, together with the application: whatever it may
            // look like, it is no envelope.
            EventFormat::Callback => {
                let content = whole()?.get();
                Some(key_in_blanks(text).unwrap_or_else(|| self.content_key(content)))
            }
        }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Those that came after the checkpoint.
    Since,
    /// All of the file in which the checkpoint was made: it was emptied or changed since.
    All,
    /// None: nothing is known as the sink's own.
    Nothing,
}

/// Calls `found` with the event of each line that the sink is known to have written after the
/// checkpoint: of those in the very file in which the checkpoint was made, whatever that is called
/// now. Since a new file gets a checkpoint before its first line, there are no others, and without
/// a checkpoint there are none. Whatever else is named like the sink's file is no more its own than
/// what `others` write. Fails when a file cannot be read. One that is damaged holds nothing from
/// there on.
pub(super) fn scan(
    names: &Names,
    others: &[Names],
    since: Option<&str>,
    reading: Reading,
    mut found: impl FnMut(Key),
) -> Result<Extent, LogError> {
    let Some(checkpoint) = since.and_then(|checkpoint| checkpoint.parse::<Checkpoint>().ok())
    else {
        return Ok(Extent::Nothing);
    };
    let Some((path, gzip)) = file_of(names, others, checkpoint.file)? else {
        let file = names.path().display();
        tracing::warn!(%file, "the last written file is gone; repeating events that may be in it");
        return Ok(Extent::Nothing);
    };
    let open = || Lines::open(&path, gzip).map_err(failed("read", &path));
    let mut file = open()?;
    if path != names.path() {
        file.sync().map_err(failed("sync", &path))?;
    }
    if tolerate(file.seek(&checkpoint), &path)?.unwrap_or(false) {
        tolerate(file.each(reading, &mut found), &path)?;
        return Ok(Extent::Since);
    }
    // The number alone may be that of another file.
    if !checkpoint.file.is_certain() {
        return Ok(Extent::Nothing);
    }
    tracing::warn!(file = %path.display(), "the checkpoint does not match the file; reading it from the beginning");
    tolerate(open()?.each(reading, &mut found), &path)?;
    Ok(Extent::All)
}

/// The file in which a checkpoint was made, under its own name or another one in the same folder,
/// and whether it is compressed now. What another sink writes to is never looked at.
fn file_of(
    names: &Names,
    others: &[Names],
    file: FileId,
) -> Result<Option<(PathBuf, bool)>, LogError> {
    let is_it = |path: &Path| {
        let is_it = fs::symlink_metadata(path)
            .is_ok_and(|about| about.is_file() && FileId::of(&about).may_be(file));
        is_it && !others.iter().any(|other| other.write_to(&OutputPath::of(path)))
    };
    if is_it(names.path()) {
        return Ok(Some((names.path().to_owned(), false)));
    }
    let list = failed_in_folder("list the folder of", names.path());
    let entries = fs::read_dir(names.folder()).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    if let Some(entry) = entries.map_err(list)?.iter().find(|entry| is_it(&entry.path())) {
        return Ok(Some((entry.path(), false)));
    }
    let list = failed_in_folder("list the folder of", names.path());
    let (rotated, _) = names.rotated().map_err(list)?;
    let is_of_it = |path: &Path| gzip_identity(path).is_some_and(|own| own.may_be(file));
    let compressed = rotated.into_iter().find(|one| one.gzip && is_of_it(&one.path));
    Ok(compressed.map(|rotated| (rotated.path, true)))
}

/// Damage inside a compressed file is logged and skipped: it must not stop the deliveries.
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

enum Lines {
    Plain(BufReader<File>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl Lines {
    fn open(path: &Path, gzip: bool) -> io::Result<Self> {
        let plain = BufReader::new(File::open(path)?);
        Ok(if gzip {
            Self::Gzip(Box::new(BufReader::new(MultiGzDecoder::new(plain))))
        } else {
            Self::Plain(plain)
        })
    }

    /// Makes what is read last: a compressed file was on disk before it got its name.
    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Plain(reader) => reader.get_ref().sync_all(),
            Self::Gzip(_) => Ok(()),
        }
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader,
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Plain(reader) => reader.seek(SeekFrom::Start(bytes)).map(drop),
            Self::Gzip(reader) => io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop),
        }
    }

    /// Reads on to the checkpoint. Whether its line stands before it; if not, the position
    /// afterwards is any. No line before it is no evidence, but for a file that is certain.
    fn seek(&mut self, checkpoint: &Checkpoint) -> io::Result<bool> {
        let Some((start, length)) = checkpoint.line() else { return Ok(false) };
        if length == 0 && !checkpoint.file.is_certain() {
            return Ok(false);
        }
        self.skip(start)?;
        let mut line = self.reader().take(length);
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
        Ok(line.limit() == 0 && checkpoint.follows(sum))
    }

    /// Calls `found` for each whole line from here on. Keeps no more of a line than [`MAX_LINE`].
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
            let room = MAX_LINE.saturating_sub(line.len());
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
    fn the_key_of_a_whole_envelope_is_read_from_its_beginning() {
        let reading = Reading { format: EventFormat::CloudEvents, app: AppId(1) };
        let key = Key::from_bytes([0xab; 16]);
        let line = format!(r#"{{"specversion":"1.0","id":"{key}","x":"\n"}}"#);
        assert_eq!(reading.key(line.as_bytes()), Some(key));
        for line in ["", "{}", r#"{"specversion":"1.0","id":"abc"}"#, "\u{fffd}"] {
            assert_eq!(reading.key(line.as_bytes()), None, "{line}");
        }
        // Any part of one, alone and with another behind it.
        for end in 0..line.len() {
            let part = &line[..end];
            assert_eq!(reading.key(part.as_bytes()), None, "{part}");
            if end > 0 {
                assert_eq!(reading.key(format!("{part}{line}").as_bytes()), None, "{part}");
            }
        }
    }

    #[test]
    fn a_callback_of_any_application_is_found_again() {
        let reading = Reading { format: EventFormat::Callback, app: AppId(1) };
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

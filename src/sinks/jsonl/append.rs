//! Appends lines to the end of the file: each on a line of its own, whatever other
//! programs do to the file meanwhile.
//!
//! The lock keeps other writers of sprited off, not other programs. One may append a part of a
//! line, empty the file or delete it, between two batches or within one. What stands right before
//! each write is known by where the write has ended, since the system appends in one step: so
//! nothing is asked beyond that offset as long as nobody else writes. A batch whose lines may not
//! all stand in the file is reported as failed and written again: a repeat is better than a loss.

use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use super::checkpoint::Checkpoint;
use super::error::{LogError, failed};
use super::log::{FileEnd, Log, TornWrite};

const DELETED: &str = "another program deleted it meanwhile";
const SHORTENED: &str = "another program shortened it meanwhile";
const SPLIT: &str = "another program wrote into the middle of a line meanwhile";

/// Whether more is to be written after what was put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    All,
    Part,
}

struct LineBatch {
    start: u64,
    /// Where its next line goes, if nobody else writes.
    next: u64,
    /// Whether nobody else has written since it began.
    is_alone: bool,
}

impl LineBatch {
    /// A write of it failed: what is to be taken back begins where no other program has written.
    fn was_cut_short(&mut self, left: Left) {
        match left {
            Left::Nothing => {}
            Left::From(begin) if begin == self.next => {}
            Left::From(begin) if self.next == self.start => self.start = begin,
            Left::From(_) | Left::Mixed => self.is_alone = false,
        }
    }
}

#[derive(Debug)]
enum Left {
    Nothing,
    /// A part, from this offset on.
    From(u64),
    /// Parts, and what others wrote between them.
    Mixed,
}

impl Log {
    /// Appends what `fill` puts into `lines` each time it is called, until it returns that this was
    /// all, and syncs it. All of it then stands there, each line on its own, or it is taken back as
    /// far as nobody else has written behind it. `lines` is empty before each call; what is in it
    /// is of no meaning before and after. Fails when it does not stand there, or may not.
    pub(super) fn append(
        &mut self,
        lines: &mut Vec<u8>,
        fill: impl FnMut(&mut Vec<u8>) -> Filled,
    ) -> Result<Checkpoint, LogError> {
        self.repair()?;
        let start = self.end_line()?;
        let mut batch = LineBatch { start, next: start, is_alone: true };
        if let Err(error) = self.append_batch(&mut batch, lines, fill) {
            self.tail.end = None;
            self.tail.torn = self.torn_by(&batch);
            if let Err(error) = self.repair() {
                tracing::warn!(%error, "cannot undo a failed write yet");
            }
            return Err(failed("write to", &self.path)(error));
        }
        Ok(Checkpoint::new(self.identity(), batch.next, lines))
    }

    fn append_batch(
        &mut self,
        batch: &mut LineBatch,
        lines: &mut Vec<u8>,
        mut fill: impl FnMut(&mut Vec<u8>) -> Filled,
    ) -> io::Result<()> {
        loop {
            lines.clear();
            let filled = fill(lines);
            self.append_lines(batch, lines)?;
            if filled == Filled::All {
                break;
            }
        }
        self.file.sync_data()?;
        let about = self.file.metadata()?;
        if about.nlink() == 0 {
            return Err(io::Error::other(DELETED));
        }
        if about.len() < batch.next {
            return Err(io::Error::other(SHORTENED));
        }
        let end = FileEnd::of(&about);
        self.tail.end = (end.offset == batch.next).then_some(end);
        Ok(())
    }

    /// Appends whole lines. Where the first of them is glued to a part of a line of somebody else,
    /// that one is written again by itself, and is all that is left in `lines`.
    fn append_lines(&mut self, batch: &mut LineBatch, lines: &mut Vec<u8>) -> io::Result<()> {
        for brings_its_line_end in [false, false, true] {
            if brings_its_line_end {
                lines.insert(0, b'\n');
            }
            let begin = self.put(lines).map_err(|(error, left)| {
                batch.was_cut_short(left);
                error
            })?;
            let (expected, has_more) = (batch.next, batch.next > batch.start);
            batch.next = begin + lines.len() as u64;
            if begin == expected {
                return Ok(());
            }
            batch.is_alone = false;
            if begin < expected && has_more {
                return Err(io::Error::other(SHORTENED));
            }
            if brings_its_line_end || self.is_line_start(begin)? {
                return Ok(());
            }
            self.warn_of_partial_line();
            let first = lines.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            lines.truncate(first);
        }
        Ok(())
    }

    /// Appends these bytes, which then stand together, and returns where.
    fn put(&self, bytes: &[u8]) -> Result<u64, (io::Error, Left)> {
        let (mut rest, mut end) = (bytes, None::<u64>);
        while !rest.is_empty() {
            let put = (bytes.len() - rest.len()) as u64;
            let left = || end.map_or(Left::Nothing, |end| Left::From(end - put));
            let written = match (&self.file).write(rest) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), left())),
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err((error, left())),
            };
            let now = (&self.file).stream_position().map_err(|error| (error, Left::Mixed))?;
            if end.is_some_and(|end| end + written as u64 != now) {
                return Err((io::Error::other(SPLIT), Left::Mixed));
            }
            (rest, end) = (&rest[written..], Some(now));
        }
        let length = || self.file.metadata().map(|about| about.len());
        let end = end.map_or_else(length, Ok).map_err(|error| (error, Left::Nothing))?;
        Ok(end.saturating_sub(bytes.len() as u64))
    }

    /// Leaves the file, which is written to no more, with whole lines only.
    pub(super) fn finish(&mut self) -> Result<(), LogError> {
        self.repair()?;
        self.end_line().map(drop)
    }

    /// Makes the file end with a whole line, and returns where that is: another program may have
    /// left a part of one, or a write of ours that could not be taken back.
    pub(super) fn end_line(&mut self) -> Result<u64, LogError> {
        let failed_look = failed("look at", &self.path);
        let end = FileEnd::of(&self.file.metadata().map_err(failed_look)?);
        if self.tail.end == Some(end) {
            return Ok(end.offset);
        }
        // Such a file is opened anew before it is next written to.
        let mut offset = end.offset;
        if !self.is_line_start(offset).map_err(failed("read", &self.path))? {
            self.warn_of_partial_line();
            let put = self.put(b"\n").map_err(|(error, _)| error);
            offset = put.map_err(failed("write to", &self.path))? + 1;
        }
        self.tail.end = (offset == end.offset).then_some(end);
        Ok(offset)
    }

    fn is_line_start(&self, offset: u64) -> io::Result<bool> {
        let Some(before) = offset.checked_sub(1) else { return Ok(true) };
        match self.byte_at(before) {
            Ok(byte) => Ok(byte == b'\n'),
            Err(LogError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    /// Once for an open file: who does it once may do it with every line.
    fn warn_of_partial_line(&mut self) {
        if !std::mem::replace(&mut self.tail.has_warned, true) {
            let file = self.path.display();
            tracing::warn!(
                %file,
                "the file ends with another program's partial line; the next event begins a new \
                 line"
            );
        }
    }

    /// What is to be taken back of a batch that failed: nothing, where others wrote since it began.
    fn torn_by(&self, batch: &LineBatch) -> Option<TornWrite> {
        let to = (&self.file).stream_position().ok()?;
        (batch.is_alone && to > batch.start).then_some(TornWrite { from: batch.start, to })
    }

    /// Takes back what a failed write left. Does nothing where none did, or where somebody wrote
    /// behind it since: that stays, and what is whole in it is repeated.
    pub(super) fn repair(&mut self) -> Result<(), LogError> {
        let Some(torn) = self.tail.torn else { return Ok(()) };
        if self.len()? == torn.to {
            self.file.set_len(torn.from).map_err(failed("undo a failed write to", &self.path))?;
        }
        self.tail.torn = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::sinks::FileMode;
    use crate::sinks::ownership::Ownership;

    const PLAIN: Ownership = Ownership { mode: FileMode(0o640), group: None };

    fn log() -> (tempfile::TempDir, PathBuf, Log) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let log = Log::open(&path, &PLAIN, false).unwrap();
        (folder, path, log)
    }

    fn other(path: &Path, text: &str) {
        File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    /// Appends a batch of these writes; `harm` is done before each of them, by its number.
    fn append(
        log: &mut Log,
        writes: &[&str],
        mut harm: impl FnMut(usize),
    ) -> Result<Checkpoint, LogError> {
        let mut number = 0;
        log.append(&mut b"of the batch before".to_vec(), |lines| {
            harm(number);
            lines.extend(writes[number].bytes());
            number += 1;
            if number == writes.len() { Filled::All } else { Filled::Part }
        })
    }

    /// A write is cut short, behind a line that another program has added since the last look.
    #[test]
    #[ignore = "run by what_others_added_before_a_write_that_failed_stays with a limit on the size of files"]
    fn in_little_space() {
        let Some(path) = std::env::var_os("SPRITED_TEST_LITTLE_SPACE").map(PathBuf::from) else {
            return;
        };
        let mut log = Log::open(&path, &PLAIN, false).unwrap();
        append(&mut log, &["{}\n"], |_| {}).unwrap();
        let long = format!("\"{}\"\n", "x".repeat(1_000_000));
        append(&mut log, &[&long], |_| other(&path, "{\"theirs\":1}\n")).unwrap_err();
        assert_eq!(text(&path), "{}\n{\"theirs\":1}\n");
        append(&mut log, &["{\"a\":1}\n", &long], |number| {
            if number == 1 {
                other(&path, "{\"theirs\":2}\n");
            }
        })
        .unwrap_err();
        assert!(text(&path).starts_with("{}\n{\"theirs\":1}\n{\"a\":1}\n{\"theirs\":2}\n\"xx"));
        println!("came to the end");
    }

    #[test]
    fn what_others_added_before_a_write_that_failed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let limited = std::process::Command::new("/bin/sh")
            .args(["-c", r#"trap "" XFSZ; ulimit -f 1000; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "sinks::jsonl::append::tests::in_little_space"])
            .args(["--ignored", "--nocapture"])
            .env("SPRITED_TEST_LITTLE_SPACE", folder.path().join("a.jsonl"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&limited.stdout);
        assert!(limited.status.success() && said.contains("came to the end"), "{limited:?}");
    }

    #[test]
    fn what_could_not_be_taken_back_at_once_is_before_the_next_write() {
        let (_folder, path, mut log) = log();
        append(&mut log, &["{\"a\":1}\n"], |_| {}).unwrap();
        other(&path, "{\"half");
        log.tail.torn = Some(TornWrite { from: 8, to: 14 });
        append(&mut log, &["{\"b\":2}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"a\":1}\n{\"b\":2}\n");
        // Not where others have written behind it, or emptied the file.
        log.tail.torn = Some(TornWrite { from: 8, to: 12 });
        append(&mut log, &["{}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"a\":1}\n{\"b\":2}\n{}\n");
        log.tail.torn = Some(TornWrite { from: 1, to: 10_000 });
        append(&mut log, &["{}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"a\":1}\n{\"b\":2}\n{}\n{}\n");
    }

    #[test]
    fn the_checkpoint_of_a_batch_is_the_end_of_the_file_however_many_writes_it_took() {
        let (_folder, path, mut log) = log();
        for writes in [&["{}\n{\"b\":1}\n"][..], &["{\"a\":1}\n", "{}\n{}\n"], &["{}\n"; 3]] {
            let checkpoint = append(&mut log, writes, |_| {});
            assert_eq!(checkpoint.unwrap(), log.end().unwrap());
        }
        assert_eq!(text(&path).lines().count(), 8);
    }

    #[test]
    fn a_part_of_a_line_of_others_gets_an_end_before_the_next_batch() {
        let (_folder, path, mut log) = log();
        for part in ["x", "{\"half\":", "whole\nhalf", "\n\nx", "whole\n", ""] {
            append(&mut log, &["{}\n"], |_| {}).unwrap();
            other(&path, part);
            let checkpoint = append(&mut log, &["{\"a\":1}\n"], |_| {}).unwrap();
            let after = format!(
                "{{}}\n{}{{\"a\":1}}\n",
                match part {
                    "" => String::new(),
                    part => format!("{}\n", part.strip_suffix('\n').unwrap_or(part)),
                }
            );
            assert!(text(&path).ends_with(&after), "{part:?}: {:?}", text(&path));
            assert_eq!(checkpoint, log.end().unwrap());
        }
    }

    #[test]
    fn a_part_of_a_line_that_comes_right_before_a_write_costs_a_repeat_of_one_line() {
        let (_folder, path, mut log) = log();
        append(&mut log, &["{\"a\":1}\n"], |_| {}).unwrap();
        let checkpoint = append(&mut log, &["{\"b\":1}\n{\"c\":1}\n", "{\"d\":1}\n"], |_| {
            other(&path, "half");
        });
        let expected = "{\"a\":1}\nhalf{\"b\":1}\n{\"c\":1}\n{\"b\":1}\nhalf{\"d\":1}\n{\"d\":1}\n";
        assert_eq!(text(&path), expected);
        assert_eq!(checkpoint.unwrap(), log.end().unwrap());
        let checkpoint = append(&mut log, &["{\"e\":1}\n"], |_| other(&path, "whole\n")).unwrap();
        assert_eq!(text(&path), format!("{expected}whole\n{{\"e\":1}}\n"));
        assert_eq!(checkpoint, log.end().unwrap());
    }

    #[test]
    fn a_file_that_others_empty_is_written_on() {
        let (_folder, path, mut log) = log();
        let empty = || File::options().write(true).truncate(true).open(&path).map(drop).unwrap();
        append(&mut log, &["{\"a\":1}\n"], |_| {}).unwrap();
        empty();
        append(&mut log, &["{\"b\":1}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"b\":1}\n");
        // Filled again to the same length, by a part of a line; a clock may be coarse.
        let changed = || FileEnd::of(&fs::metadata(&path).unwrap()).changed;
        let before = changed();
        while changed() == before {
            empty();
            other(&path, "{\"b\":1}x");
        }
        append(&mut log, &["{\"c\":1}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"b\":1}x\n{\"c\":1}\n");
        // Right before the first write nothing of the batch is lost; within it may be.
        append(&mut log, &["{\"d\":1}\n"], |_| empty()).unwrap();
        assert_eq!(text(&path), "{\"d\":1}\n");
        let within = |number| {
            if number == 1 {
                empty()
            }
        };
        let error = append(&mut log, &["{\"e\":1}\n", "{\"f\":1}\n"], within).unwrap_err();
        assert!(error.to_string().contains("another program shortened it"), "{error}");
        append(&mut log, &["{\"e\":1}\n", "{\"f\":1}\n"], |_| {}).unwrap();
        assert!(text(&path).ends_with("{\"e\":1}\n{\"f\":1}\n"), "{:?}", text(&path));
    }

    #[test]
    fn what_goes_into_a_file_that_is_deleted_meanwhile_is_not_delivered() {
        let (_folder, path, mut log) = log();
        let error = append(&mut log, &["{}\n"], |_| fs::remove_file(&path).unwrap()).unwrap_err();
        assert!(error.to_string().contains("another program deleted it"), "{error}");
        assert!(!log.is_at_its_path().unwrap());
    }

    #[test]
    fn what_others_wrote_behind_a_batch_that_failed_is_not_cut_off() {
        let (_folder, path, mut log) = log();
        append(&mut log, &["{\"a\":1}\n"], |_| {}).unwrap();
        let batch = |is_alone| LineBatch { start: 8, next: 8, is_alone };
        log.put(b"{\"half").unwrap();
        assert_eq!(log.torn_by(&batch(false)), None);
        log.tail.torn = log.torn_by(&batch(true));
        assert_eq!(log.tail.torn, Some(TornWrite { from: 8, to: 14 }));
        other(&path, "of others\n");
        append(&mut log, &["{\"b\":1}\n"], |_| {}).unwrap();
        assert_eq!(text(&path), "{\"a\":1}\n{\"halfof others\n{\"b\":1}\n");
    }
}

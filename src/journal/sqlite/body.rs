//! How an event's text stands in the journal: compressed where that makes it shorter.
//!
//! Most of a usual event are the names of some forty members, nearly all of them null. They stand
//! in a dictionary, so that a page of the database holds ten events instead of one: that much less
//! is written, twice, and kept.

use std::io::{Error, ErrorKind};

use lz4_flex::block::{
    compress_into_with_dict, decompress_with_dict, get_maximum_output_size, uncompressed_size,
};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// No event is longer, in bytes: nor is any answer of the cloud.
const MAX_LENGTH: usize = 64 * 1024 * 1024;
/// The size of a length, in bytes.
const LENGTH_BYTES: usize = 4;
/// Marks a length as that of a text that is compressed with the dictionary.
const WITH_DICTIONARY: u32 = 1 << 31;
/// What the texts of usual events have in common. Without these very bytes what was compressed with
/// them cannot be read: another dictionary needs another mark.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");
/// Bytes of memory that are kept for the next body. A usual one needs a tenth of them.
const MAX_KEPT: usize = 64 * 1024;

/// Compresses one body after another into the same memory.
#[derive(Default)]
pub(super) struct Compressor {
    compressed: Vec<u8>,
}

impl Compressor {
    /// How `text` is written: as SQLite's text, or as a blob of LZ4 behind its marked length.
    pub(super) fn compress<'a>(&'a mut self, text: &'a str) -> ToSqlOutput<'a> {
        ToSqlOutput::Borrowed(match self.blob(text) {
            Some(blob) if blob.len() < text.len() => ValueRef::Blob(blob),
            _ => ValueRef::Text(text.as_bytes()),
        })
    }

    fn blob(&mut self, text: &str) -> Option<&[u8]> {
        let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MAX_LENGTH)?;
        let room = LENGTH_BYTES + get_maximum_output_size(text.len());
        // What one huge body took is not kept.
        self.compressed.truncate(room.max(MAX_KEPT));
        self.compressed.shrink_to(MAX_KEPT);
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let (marked, compressed) = self.compressed.split_at_mut(LENGTH_BYTES);
        marked.copy_from_slice(&(length | WITH_DICTIONARY).to_le_bytes());
        let size = compress_into_with_dict(text.as_bytes(), compressed, DICTIONARY).ok()?;
        self.compressed.get(..LENGTH_BYTES + size)
    }
}

/// The body in a column of `row`; one that was pruned reads as an empty object.
pub(super) fn column(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let value = row.get_ref(column)?;
    if value == ValueRef::Null {
        return Ok("{}".to_owned());
    }
    read(value).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), error.into())
    })
}

fn read(value: ValueRef<'_>) -> FromSqlResult<String> {
    let ValueRef::Blob(compressed) = value else { return Ok(value.as_str()?.to_owned()) };
    let damaged = |error: &dyn ToString| {
        FromSqlError::Other(Error::new(ErrorKind::InvalidData, error.to_string()).into())
    };
    let (marked, compressed) = uncompressed_size(compressed).map_err(|error| damaged(&error))?;
    let mark = marked & WITH_DICTIONARY as usize;
    // Journals before version 4 have none.
    let dictionary = if mark == 0 { &[] } else { DICTIONARY };
    let length = marked - mark;
    if length > MAX_LENGTH {
        return Err(damaged(&"a text of such a length was never stored"));
    }
    let text =
        decompress_with_dict(compressed, length, dictionary).map_err(|error| damaged(&error))?;
    // One that was cut may end where a shorter text would.
    if text.len() != length {
        return Err(damaged(&"the text is shorter than it was"));
    }
    String::from_utf8(text).map_err(|error| damaged(&error))
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::compress_prepend_size;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    /// What is in the database after `text` was written, and whether it is a blob.
    fn written(text: &str) -> (String, bool) {
        written_by(&mut Compressor::default(), text)
    }

    fn written_by(compressor: &mut Compressor, text: &str) -> (String, bool) {
        let ToSqlOutput::Borrowed(value) = compressor.compress(text) else {
            unreachable!("nothing is copied")
        };
        (read(value).unwrap(), matches!(value, ValueRef::Blob(_)))
    }

    #[test]
    fn what_gains_is_compressed() {
        let event = include_str!("../../../tests/data/create_image_sprite_complete.success.json");
        assert_eq!(written(event), (event.to_owned(), true));
        assert_eq!(written("{}"), ("{}".to_owned(), false));
        assert_eq!(written(""), (String::new(), false));
    }

    #[test]
    fn the_dictionary_is_the_one_that_journals_were_written_with() {
        let digest = Sha256::digest(DICTIONARY);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "8c954a4b3f984b873415824fbca8cd4c55fd086700876a488a1b8a3bccc2bc06");
    }

    #[test]
    fn a_usual_event_takes_less_than_a_fifth() {
        for event in [
            include_str!("../../../tests/data/create_image_sprite_complete.success.json"),
            include_str!("../../../tests/data/procedure_state_changed.sprite_success.json"),
            include_str!("../../../tests/data/new_file_upload.json"),
        ] {
            let event = event.replace(['\n', ' '], "");
            let length = Compressor::default().blob(&event).unwrap().len();
            assert!(length * 5 < event.len(), "{length} of {}", event.len());
        }
    }

    #[test]
    fn what_an_earlier_version_compressed_is_read() {
        let text = "an older journal has no dictionary, no dictionary, no dictionary";
        let earlier = compress_prepend_size(text.as_bytes());
        assert_eq!(read(ValueRef::Blob(&earlier)).unwrap(), text);
    }

    #[test]
    fn bodies_of_any_length_follow_each_other_and_no_memory_is_kept_for_huge_ones() {
        let mut compressor = Compressor::default();
        for length in [10, 3_000_000, 1_000, 70_000, 65_534, 65_536, 0, 500] {
            let text: String = ('a'..='z').cycle().take(length).collect();
            assert_eq!(written_by(&mut compressor, &text).0, text);
        }
        assert_eq!(compressor.compressed.capacity(), MAX_KEPT);
    }

    #[test]
    fn what_is_damaged_is_an_error_and_takes_no_memory() {
        let good = compress_prepend_size(&[b'x'; 500]);
        let huge = [&[0xff; 4], &good[4..]].concat();
        let cut = &good[..good.len() - 1];
        let no_text = compress_prepend_size(&[0xff; 500]);
        let event = include_str!("../../../tests/data/create_image_sprite_complete.success.json");
        let marked = Compressor::default().blob(event).unwrap().to_vec();
        let length = u32::try_from(event.len() + 1).unwrap() | WITH_DICTIONARY;
        let longer = [&length.to_le_bytes()[..], &marked[4..]].concat();
        for length in 0..marked.len() {
            assert!(read(ValueRef::Blob(&marked[..length])).is_err(), "{length}");
        }
        for bytes in [&[][..], &[1, 2], &huge, cut, &no_text, &longer, &marked[4..]] {
            assert!(read(ValueRef::Blob(bytes)).is_err(), "{bytes:?}");
        }
        assert!(read(ValueRef::Null).is_err() && read(ValueRef::Integer(1)).is_err());
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_it_was_written(part in ".{0,40}", times in 0_usize..60) {
            let text = part.repeat(times);
            prop_assert_eq!(written(&text).0, text);
        }

        #[test]
        fn any_blob_is_a_text_or_an_error(bytes in any::<Vec<u8>>()) {
            drop(read(ValueRef::Blob(&bytes)));
        }
    }
}

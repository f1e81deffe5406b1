//! How an event's text stands in the journal: compressed where that makes it shorter.
//!
//! A page of the database holds one usual event as it is, and three or four compressed: that much
//! less is written, twice, and kept.

use std::io::{Error, ErrorKind};

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended, uncompressed_size};
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

/// No event is longer, in bytes: nor is any answer of the cloud.
const MAX_LENGTH: usize = 64 * 1024 * 1024;

/// A text, to be written as SQLite's text, or as a blob of LZ4 behind its length.
#[derive(Debug)]
pub(super) struct Body<'a>(pub(super) &'a str);

impl ToSql for Body<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let compressed = compress_prepend_size(self.0.as_bytes());
        if compressed.len() < self.0.len() { Ok(compressed.into()) } else { self.0.to_sql() }
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

/// Reads what a [`Body`] was written as.
fn read(value: ValueRef<'_>) -> FromSqlResult<String> {
    let ValueRef::Blob(compressed) = value else { return Ok(value.as_str()?.to_owned()) };
    let damaged = |error: &dyn ToString| {
        FromSqlError::Other(Error::new(ErrorKind::InvalidData, error.to_string()).into())
    };
    let (length, _) = uncompressed_size(compressed).map_err(|error| damaged(&error))?;
    if length > MAX_LENGTH {
        return Err(damaged(&"a text of such a length was never stored"));
    }
    let text = decompress_size_prepended(compressed).map_err(|error| damaged(&error))?;
    String::from_utf8(text).map_err(|error| damaged(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is in the database after `text` was written, and whether it is a blob.
    fn written(text: &str) -> (String, bool) {
        let body = Body(text);
        let output = body.to_sql().unwrap();
        let value = match &output {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => value.into(),
            _ => unreachable!("it is one of the two"),
        };
        (read(value).unwrap(), matches!(value, ValueRef::Blob(_)))
    }

    #[test]
    fn what_gains_is_compressed() {
        let event = include_str!("../../tests/data/create_image_sprite_complete.success.json");
        assert_eq!(written(event), (event.to_owned(), true));
        assert_eq!(written("{}"), ("{}".to_owned(), false));
        assert_eq!(written(""), (String::new(), false));
    }

    #[test]
    fn what_is_damaged_is_told_and_takes_no_memory() {
        let good = compress_prepend_size(&[b'x'; 500]);
        let huge = [&[0xff; 4], &good[4..]].concat();
        let cut = &good[..good.len() - 1];
        let no_text = compress_prepend_size(&[0xff; 500]);
        for bytes in [&[][..], &[1, 2], &huge, cut, &no_text] {
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

//! The text of a configuration's file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::mistake::{ConfigErrors, Mistake};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads the file, which is text of at most [`MAX_FILE`].
pub(super) fn read_text(path: &Path) -> Result<String, ConfigErrors> {
    let unreadable = |message: String| ConfigErrors {
        file: path.to_owned(),
        mistakes: vec![Mistake { place: None, message }],
        warnings: Vec::new(),
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        unreadable(format!(
            "cannot read the configuration: {error}; name another file with --config or \
             SPRITED_CONFIG"
        ))
    })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(unreadable(format!("the configuration is larger than {MAX_FILE} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|_| unreadable("the configuration is not UTF-8 text".to_owned()))
}

//! A copy of a database whose files are gone, through the connection that still has it open.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::maintenance::write_copy;
use super::store::Store;
use crate::journal::error::{MaintenanceError, Result};
use crate::journal::files::Files;
use crate::journal::side_files;

/// What became of a journal whose files are gone.
#[derive(Debug)]
pub struct Rescue {
    /// The copy and its size, or why there is none.
    pub copy: std::result::Result<(PathBuf, ByteSize), MaintenanceError>,
    /// Whether its folder is gone as well, so that none can be made.
    pub is_folder_gone: bool,
    /// Whether what is open is damaged itself.
    pub is_damaged: bool,
    /// Events that a sink still has to take.
    pub pending: u64,
    /// Those of them that the cloud still has in its queue, since they were not confirmed.
    pub unconfirmed: u64,
}

impl Store {
    /// Copies what the connection has open to a new file beside the journal's place, and leaves
    /// nothing there that would damage another database. Blocks for as long as it takes to write
    /// and read it. Fails when it cannot even be read.
    pub(in crate::journal) fn rescue(&self, files: Option<&Files>) -> Result<Rescue> {
        let (pending, unconfirmed) = self.connection.query_row(
            "SELECT count(*),
               count(*) FILTER (WHERE origin = 0 AND id NOT IN (SELECT event FROM confirmations))
             FROM events WHERE id IN (SELECT event FROM pending)",
            [],
            |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
            },
        )?;
        let path = &self.settings.path;
        let to = side_files::rescued_name(path);
        let copy = write_copy(&self.connection, path, &to, &mut |_, _| {});
        let is_folder_gone = to.parent().is_some_and(|folder| !folder.exists());
        let is_damaged = copy.as_ref().is_err_and(MaintenanceError::is_damage);
        if !is_damaged {
            self.settle(files);
        }
        let copy = copy.map(|size| (to, size));
        Ok(Rescue { copy, is_folder_gone, is_damaged, pending, unconfirmed })
    }

    /// Brings what the write-ahead log holds into the database, wherever the two were moved to: it
    /// is whole by itself then, and the log empty. One that stands beside another database all the
    /// same makes way.
    fn settle(&self, files: Option<&Files>) {
        if let Err(error) = self.empty_log() {
            tracing::warn!(%error, "journal gone; its write-ahead log cannot be emptied");
        }
        let Some(files) = files.filter(|files| files.are_mixed()) else { return };
        match side_files::set_log_aside(&self.settings.path, files.log()) {
            Ok(aside) => tracing::warn!(
                to = %aside.display(),
                "write-ahead log of another database moved away from the journal"
            ),
            Err(error) => tracing::error!(
                %error,
                log = %files.log().display(),
                "write-ahead log of another database beside the journal would damage it; move it \
                 away by hand"
            ),
        }
    }
}

//! `/sprites/<id>/<set>/<number>`: a sheet of a mirror's folder, read piece by piece.

use std::fs::File;
use std::io::{self, Read as _};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::disk::SpriteDisk;
use super::mirrored::OpenSheet;

/// Read at once.
const PIECE: usize = 256 * 1024;
/// The name of a set tells its content, which never changes; no cache that others share keeps it.
const FOR_GOOD: &str = "private, max-age=31536000, immutable";

pub(super) fn answer(disk: SpriteDisk, sheet: OpenSheet) -> Response {
    let OpenSheet { file, length, format } = sheet;
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CACHE_CONTROL, FOR_GOOD.to_owned()),
    ];
    let pieces = stream::try_unfold((file, length), move |(file, left)| {
        let disk = disk.clone();
        async move {
            if left == 0 {
                return Ok(None);
            }
            let read = disk.read(move || read_piece(file, left)).await;
            let (file, piece) = read.ok_or(io::ErrorKind::TimedOut)??;
            let left = left - piece.len() as u64;
            Ok::<_, io::Error>(Some((piece, (file, left))))
        }
    });
    (headers, Body::from_stream(pieces)).into_response()
}

/// Blocks. A file that has become shorter is an error: its length was told.
fn read_piece(mut file: File, left: u64) -> io::Result<(File, Bytes)> {
    let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let mut piece = vec![0; length];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

//! Writes a picture of few colours as PNG.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// The size of a chunk without data, such as the last one.
const EMPTY_CHUNK: usize = 12;

/// A picture of `width` by `height` pixels; `pixel` gives the index in `palette` of each.
pub(super) fn encode(
    width: u32,
    height: u32,
    palette: &[[u8; 3]],
    pixel: impl Fn(u32, u32) -> u8,
) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    // Eight bits a pixel, palette, and the only compression, filter and order there are.
    header.extend_from_slice(&[8, 3, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"PLTE", palette.as_flattened());
    let mut data = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut row = Vec::new();
    for y in 0..height {
        row.clear();
        row.push(0);
        row.extend((0..width).map(|x| pixel(x, y)));
        data.write_all(&row).expect("writing to a Vec cannot fail");
    }
    chunk(&mut png, *b"IDAT", &data.finish().expect("writing to a Vec cannot fail"));
    chunk(&mut png, *b"IEND", &[]);
    png
}

/// Makes a picture this many bytes long, if it is shorter by 12 at least: by a chunk that who reads it
/// has to pass over.
pub(super) fn pad(png: &mut Vec<u8>, size: usize) {
    let Some(padding) = size.checked_sub(png.len() + EMPTY_CHUNK) else { return };
    let end = png.split_off(png.len() - EMPTY_CHUNK);
    chunk(png, *b"paDd", &vec![0; padding]);
    png.extend_from_slice(&end);
}

fn chunk(png: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a sheet is far smaller than 4 GiB");
    let mut check = Crc::new();
    check.update(&name);
    check.update(data);
    png.extend_from_slice(&length.to_be_bytes());
    png.extend_from_slice(&name);
    png.extend_from_slice(data);
    png.extend_from_slice(&check.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_picture_has_the_known_check_sums() {
        let png = encode(1, 1, &[[0, 0, 0]], |_, _| 0);
        assert_eq!(png[png.len() - 12..], *b"\0\0\0\0IEND\xaeB`\x82");
        assert_eq!(png[8..16], *b"\0\0\0\rIHDR");
    }
}

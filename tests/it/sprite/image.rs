//! What is a sheet, by its bytes.

use std::io::Cursor;

use sprited::sprite::{NotASheet, SheetFormat, SheetImage, look_at};

fn looked_at(bytes: &[u8]) -> Result<SheetImage, NotASheet> {
    look_at(Cursor::new(bytes), bytes.len().try_into().unwrap())
}

fn refused(bytes: &[u8]) -> (String, bool) {
    let error = looked_at(bytes).unwrap_err();
    (error.to_string(), error.is_final())
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    bytes.extend_from_slice(b"\xff\xc0\0\x0b\x08");
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(b"\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0");
    bytes.extend_from_slice(&[0x55; 5_000]);
    bytes.extend_from_slice(b"\xff\xd9");
    bytes
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(b"\x08\x02\0\0\0\0\0\0\0");
    bytes.extend_from_slice(&[0x55; 5_000]);
    bytes.extend_from_slice(b"\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

/// An extended WebP.
fn webp(width: u32, height: u32) -> Vec<u8> {
    let mut chunks = b"WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    chunks.extend_from_slice(&(width - 1).to_le_bytes()[..3]);
    chunks.extend_from_slice(&(height - 1).to_le_bytes()[..3]);
    chunks.extend_from_slice(&[0x55; 5_000]);
    let length = u32::try_from(chunks.len()).unwrap();
    [b"RIFF", &length.to_le_bytes()[..], &chunks].concat()
}

#[test]
fn sheets_are_known_by_their_bytes() {
    for (bytes, format) in [
        (jpeg(1420, 800), SheetFormat::Jpeg),
        (png(1420, 800), SheetFormat::Png),
        (webp(1420, 800), SheetFormat::Webp),
    ] {
        let expected = SheetImage { format, width: 1420, height: 800 };
        assert_eq!(looked_at(&bytes).unwrap(), expected);
        // What some writers put behind an image.
        for padding in [&b"\0"[..], b"\r\n", &[0; 512]] {
            assert_eq!(looked_at(&[&bytes[..], padding].concat()).unwrap(), expected);
        }
    }
    let huge = looked_at(&jpeg(65_535, 65_535)).unwrap();
    assert_eq!((huge.width, huge.height), (65_535, 65_535));
    assert_eq!(looked_at(&png(u32::MAX, 1)).unwrap().width, u32::MAX);
    // With a profile before its size.
    let profile = [&b"\xff\xe2\xff\xff"[..], &vec![0; 65_533]].concat();
    let long = [&b"\xff\xd8"[..], &profile.repeat(10), &jpeg(1420, 800)[2..]].concat();
    assert_eq!(looked_at(&long).unwrap().width, 1420);
}

#[test]
fn sheets_are_whole() {
    for (bytes, error) in [
        (jpeg(1420, 800), "the JPEG is cut off: it has no end mark"),
        (png(1420, 800), "the PNG is cut off: it has no end mark"),
        (webp(1420, 800), "the WebP is cut off: it is shorter than it says"),
    ] {
        for length in [bytes.len() - 1, bytes.len() / 2, 100] {
            assert_eq!(refused(&bytes[..length]), (error.to_owned(), false), "{length}");
        }
    }
    for (bytes, error) in [
        (jpeg(0, 800), "the JPEG has no size in its header"),
        (png(1420, 0), "the PNG has no size in its header"),
        (b"\xff\xd8\xff\xd9".to_vec(), "the JPEG has no size in its header"),
        (b"RIFF\x04\0\0\0WEBP".to_vec(), "the WebP has no size in its header"),
        (
            b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec(),
            "the WebP has no size in its header",
        ),
    ] {
        assert_eq!(refused(&bytes), (error.to_owned(), false));
    }
}

#[test]
fn what_is_no_sheet_is_refused_in_words() {
    for (bytes, error, is_final) in [
        (&b""[..], "the file is empty", false),
        (b"<html>403</html>", "it is HTML, not an image", false),
        (b"\n<!DOCTYPE html><svg>", "it is HTML, not an image", false),
        (b"<?xml?><Error>", "it is XML, not an image", false),
        (b"{\"code\":-1}", "it is JSON, not an image", false),
        (b"WEBVTT\n", "it is WebVTT, not an image", false),
        (b"\x1f\x8b\x08", "it is compressed, not an image", false),
        (b"\0\0\0\0", "it is not an image", false),
        (b"Forbidden", "it is not an image", false),
        (b"GIF89a\x01\0\x01\0", "it is a GIF; a sheet is a JPEG, PNG or WebP", true),
        (b"<svg xmlns=''/>", "it is an SVG; a sheet is a JPEG, PNG or WebP", true),
        (b"<?xml?><!-- x --><SVG>", "it is an SVG; a sheet is a JPEG, PNG or WebP", true),
        (b"\0\0\0\x18ftypheic\0\0", "it is a HEIC; a sheet is a JPEG, PNG or WebP", true),
        (b"\0\0\0\x18ftypavif\0\0", "it is an AVIF; a sheet is a JPEG, PNG or WebP", true),
        (b"\0\0\0\x18ftypisom\0\0", "it is a video; a sheet is a JPEG, PNG or WebP", true),
        (b"BM\x01\0\0\0\0\0\0\0", "it is a BMP; a sheet is a JPEG, PNG or WebP", true),
    ] {
        assert_eq!(refused(bytes), (error.to_owned(), is_final), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_header_of_nothing_but_markers_costs_no_time() {
    let started = std::time::Instant::now();
    let mut bytes = b"\xff\xd8".to_vec();
    bytes.extend(b"\xff\xe0\0\x02".repeat(8 << 20));
    bytes.extend_from_slice(b"\xff\xd9");
    assert_eq!(refused(&bytes).0, "the JPEG has no size in its header");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn formats_have_the_names_of_files_and_answers() {
    for (format, extension, media_type, json) in [
        (SheetFormat::Jpeg, "jpg", "image/jpeg", "\"jpeg\""),
        (SheetFormat::Png, "png", "image/png", "\"png\""),
        (SheetFormat::Webp, "webp", "image/webp", "\"webp\""),
    ] {
        assert_eq!((format.extension(), format.media_type()), (extension, media_type));
        assert_eq!(serde_json::to_string(&format).unwrap(), json);
    }
}

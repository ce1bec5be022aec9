//! Image files that end too early, where the decoders fill up what is missing and Pillow refuses the file.

/// Whether a JPEG, GIF or WebP file ends before its image does. Files of other formats are for their decoders to judge.
pub(super) fn is_truncated(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xd8") {
        !has_end_marker(bytes)
    } else if bytes.starts_with(b"GIF8") {
        gif_blocks(bytes).is_none()
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        let length = bytes[4..8].try_into().map_or(0, u32::from_le_bytes);
        (bytes.len() as u64) < 8 + u64::from(length)
    } else {
        false
    }
}

/// Whether a JPEG has the marker that ends an image, which libjpeg waits for (ITU-T T.81, B.1.1 and B.2.1).
fn has_end_marker(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        at += match (first, marker) {
            (0xff, 0xd9) => return true,
            // A byte of the image's data, a filling byte, or a marker that stands alone.
            (0xff, 0xff) => 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => 2,
            (0xff, _) => {
                2 + bytes.get(at + 2..at + 4).map_or(0, |length| usize::from(length[0]) << 8 | usize::from(length[1]))
            }
            _ => 1,
        };
    }
    false
}

/// The blocks of the first image of a GIF, if the file has all of them (GIF89a, 18 to 22).
fn gif_blocks(bytes: &[u8]) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        at = match *bytes.get(at)? {
            b'!' => blocks(bytes, at + 2)?,
            // The number before the blocks is the first size of codes.
            b',' => return blocks(bytes, at + 10 + table(*bytes.get(at + 9)?) + 1).map(drop),
            _ => return Some(()),
        };
    }
}

/// The place after blocks with their lengths in front, of which an empty one is the last. It may be missing at the end of a
/// file, as Pillow allows.
fn blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(bytes.get(at).copied().unwrap_or(0));
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
        if at > bytes.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, RgbImage};

    /// An image in a format, and how many bytes of its end it can do without.
    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 6) as u8, (y * 8) as u8, (x * y % 256) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn files_that_end_too_early_are_found_as_pillow_finds_them() {
        // Pillow 12 opens GIFs without the block and the byte that end them, and no other of these files.
        for (format, spare) in [(ImageFormat::Jpeg, 0), (ImageFormat::Gif, 2), (ImageFormat::WebP, 0)] {
            let bytes = encoded(format);
            for length in bytes.len() - 64..=bytes.len() {
                assert_eq!(is_truncated(&bytes[..length]), bytes.len() - length > spare, "{format:?} {length}");
            }
            assert!(is_truncated(&bytes[..bytes.len() / 2]), "{format:?}");
            // What follows an image does not count.
            assert!(!is_truncated(&[bytes.as_slice(), &[0; 9]].concat()), "{format:?}");
        }
    }

    #[test]
    fn damaged_files_end() {
        for bytes in [b"\xff\xd8\xff".as_slice(), b"\xff\xd8\xff\xe0\xff", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBP"] {
            assert!(is_truncated(bytes), "{bytes:?}");
        }
        assert!(!is_truncated(b"") && !is_truncated(b"RIFF") && !is_truncated(b"BM"));
    }
}

//! Reading files of unknown origin: none that could wait for ever, such as a pipe or device, and no more than a limit.

use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file that people write: a pipeline file, a catalogue of GPUs.
pub const MAX_PIPELINE_BYTE_COUNT: u64 = 1 << 20;
/// Most bytes of a file that is parsed as a whole: JSON and vocabularies of checkpoints, locks, reports. The largest
/// `tokenizer.json` in use are of 35 MB.
pub const MAX_DOCUMENT_BYTE_COUNT: u64 = 64 << 20;
/// Most bytes of an ONNX file: protobuf messages are smaller than 2 GiB. Weights next to it have no such limit.
pub const MAX_GRAPH_BYTE_COUNT: u64 = (1 << 31) - 1;
/// Most files of a folder or repository; the Hub advises to keep below it.
pub const MAX_FILE_COUNT: usize = 100_000;

/// Opens a regular file.
///
/// # Errors
/// I/O errors that name the path; of [`io::ErrorKind::InvalidData`] for a folder, pipe, socket or device.
pub fn open_file(path: &Path) -> io::Result<fs_err::File> {
    // Opening a pipe waits for its other end.
    let kind = fs_err::metadata(path)?.file_type();
    if kind.is_file() {
        return fs_err::File::open(path);
    }
    let found = if kind.is_dir() { "a folder" } else { "a pipe, socket or device" };
    Err(invalid(format!("`{}` is {found}; expected a file", path.display())))
}

/// Opens a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_file`], and a file that is larger.
pub fn open_bounded(path: &Path, limit: u64) -> io::Result<fs_err::File> {
    let file = open_file(path)?;
    match file.metadata()?.len() {
        length if length > limit => Err(too_large(path, &length.to_string(), limit)),
        _ => Ok(file),
    }
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_bounded`].
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_bounded(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0));
    // Files of the kernel have no length before they are read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(path, &format!("more than {limit}"), limit)) } else { Ok(bytes) }
}

/// The text of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read_file`], and bytes that are not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read_file(path, limit)?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        invalid(format!("`{}` is not UTF-8 text: byte {place} is invalid", path.display()))
    })
}

fn too_large(path: &Path, found: &str, limit: u64) -> io::Error {
    invalid(format!("`{}` is too large: {found} bytes; expected at most {limit}", path.display()))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_types::ErrorKind;

    #[test]
    fn files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "12345678").unwrap();
        assert_eq!(read_text(&path, 8).unwrap(), "12345678");
        let error = read_file(&path, 7).unwrap_err();
        assert!(error.to_string().ends_with("file` is too large: 8 bytes; expected at most 7"), "{error}");
        assert_eq!(ErrorKind::of_io(&error), ErrorKind::BadInput);
        // It has no length before it is read.
        let error = read_file(Path::new("/proc/self/status"), 7).unwrap_err().to_string();
        assert!(error.ends_with("more than 7 bytes; expected at most 7"), "{error}");
        fs_err::write(&path, [b'a', 0xff]).unwrap();
        assert!(read_text(&path, 8).unwrap_err().to_string().contains("byte 1 is invalid"));
    }

    #[test]
    fn what_may_never_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, found) in [
            (pipe.as_path(), "a pipe, socket or device"),
            (Path::new("/dev/zero"), "device"),
            (folder.path(), "a folder"),
        ] {
            let error = read_file(path, 8).unwrap_err();
            assert!(error.to_string().contains(found) && error.to_string().contains("expected a file"), "{error}");
            assert_eq!(ErrorKind::of_io(&error), ErrorKind::BadInput);
        }
        let missing = read_file(&folder.path().join("missing"), 8).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}

//! A builder's progress, from the log that it writes.

use planforge_core::{Progress, Step};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Texts of the lines with which `trtexec` reports its phases.
const PHASES: [&str; 4] =
    ["Start parsing network model", "Finished parsing network model", "Engine built in", "Created engine with size"];
const INFORMATION: &str = "[I] ";

/// The end of a log that grows.
pub(super) struct LogTail<'a> {
    path: &'a Path,
    subject: &'a str,
    read_byte_count: u64,
}

impl<'a> LogTail<'a> {
    /// The log of the engine called `subject`.
    pub(super) fn new(path: &'a Path, subject: &'a str) -> Self {
        Self { path, subject, read_byte_count: 0 }
    }

    /// Sends the phases that the log has gained since the last call as notes.
    pub(super) fn pass_on(&mut self, progress: &dyn Progress) {
        for line in self.new_lines().lines().filter(|line| PHASES.iter().any(|phase| line.contains(phase))) {
            let text = line.split_once(INFORMATION).map_or(line, |(_, text)| text);
            progress.note(Step::Compile, self.subject, text);
        }
    }

    /// Whole lines that came since; nothing while there is no log.
    fn new_lines(&mut self) -> String {
        let mut text = String::new();
        let Ok(mut file) = fs_err::File::open(self.path) else { return text };
        let read = file.seek(SeekFrom::Start(self.read_byte_count)).and_then(|_| file.read_to_string(&mut text));
        text.truncate(read.ok().and_then(|_| text.rfind('\n')).map_or(0, |end| end + 1));
        self.read_byte_count += text.len() as u64;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_testkit::Log;

    #[test]
    fn each_phase_is_reported_once_its_line_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("build.log");
        let (notes, mut tail) = (Log::default(), LogTail::new(&path, "m"));
        tail.pass_on(&notes);
        fs_err::write(&path, "[I] other\n[11/26/2026-10:00:00] [I] Start parsing network model.\n[I] Engine bui")
            .unwrap();
        tail.pass_on(&notes);
        tail.pass_on(&notes);
        assert_eq!(notes.texts(), ["Start parsing network model."]);
        let text = fs_err::read_to_string(&path).unwrap();
        fs_err::write(&path, format!("{text}lt in 3 sec.\n")).unwrap();
        tail.pass_on(&notes);
        assert_eq!(notes.texts(), ["Start parsing network model.", "Engine built in 3 sec."]);
    }
}

//! The end of a log.

use std::path::Path;

/// The last line of a log, for an error.
pub(crate) fn last_log_line(log: &Path) -> String {
    let log = fs_err::read_to_string(log).unwrap_or_default();
    log.lines().next_back().map_or_else(|| "its log is empty".to_owned(), |line| format!("last log line: {line}"))
}

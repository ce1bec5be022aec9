//! The files of a report.

use crate::csv::{load_csv, probe_csv};
use crate::page::page;
use crate::record::Report;
use crate::{Error, Result};
use planforge_core::{mask_secrets, write_atomically};
use std::path::{Path, PathBuf};

/// Writes `report.html`, `report.json`, `probe.csv` and `load.csv` into `folder` and returns their
/// paths. Equal reports give equal bytes; a CSV without results has only its head, so that figures of
/// an earlier run do not stay behind.
///
/// # Errors
/// I/O errors name the path.
pub fn write_report(report: &Report, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut json = serde_json::to_vec_pretty(report).map_err(Error::Json)?;
    json.push(b'\n');
    let files = [
        ("report.html", page(report).into_bytes()),
        ("report.json", json),
        ("probe.csv", probe_csv(report.capacity.as_ref()).into_bytes()),
        ("load.csv", load_csv(report.load.as_ref()).into_bytes()),
    ];
    let mut paths = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = folder.join(name);
        // All of them are text.
        write_atomically(&path, mask_secrets(&String::from_utf8_lossy(&bytes)).as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use planforge_core::Task;

    #[test]
    fn equal_reports_give_equal_files() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let written = write_report(&sample::full(), first.path()).unwrap();
        write_report(&sample::full(), second.path()).unwrap();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["report.html", "report.json", "probe.csv", "load.csv"]);
        for name in names {
            let read = |folder: &tempfile::TempDir| fs_err::read(folder.path().join(name)).unwrap();
            assert_eq!(read(&first), read(&second), "{name}");
        }
    }

    #[test]
    fn json_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        for report in [sample::full(), Report::new("m", Task::FeatureExtraction)] {
            write_report(&report, folder.path()).unwrap();
            let bytes = fs_err::read(folder.path().join("report.json")).unwrap();
            let read: Report = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&report).unwrap());
        }
    }

    #[test]
    fn durations_are_numbers_of_seconds_and_older_reports_are_still_read() {
        let mut json = serde_json::to_value(sample::full()).unwrap();
        assert_eq!(json["engines"][0]["build_duration_seconds"], 2.34);
        assert_eq!(json["load"]["total"]["latency"]["p95_seconds"], 0.096);
        let row = json["artifacts"][0].as_object_mut().unwrap();
        row.remove("elapsed_seconds");
        row.insert("elapsed".to_owned(), serde_json::json!({ "secs": 2, "nanos": 400_000_000 }));
        let report: Report = serde_json::from_value(json).unwrap();
        assert_eq!(report.artifacts[0].elapsed, sample::full().artifacts[0].elapsed);
    }

    #[test]
    fn an_old_csv_does_not_stay_behind() {
        let folder = tempfile::tempdir().unwrap();
        write_report(&sample::full(), folder.path()).unwrap();
        write_report(&Report::new("m", Task::FeatureExtraction), folder.path()).unwrap();
        let text = fs_err::read_to_string(folder.path().join("load.csv")).unwrap();
        assert_eq!(text.lines().count(), 1);
    }
}

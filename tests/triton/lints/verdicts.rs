//! Many small archives, each judged by `planforge lint` and by a real server.

mod archive;
mod ensembles;
mod files;
mod scheduling;

use super::super::with_own_server;
use crate::support::Workspace;
use archive::{Archive, Spec};
use planforge_testkit::{TritonOptions, TritonServer};
use planforge_triton_config::{Finding, Severity};
use std::path::Path;
use std::process::Command;

/// Fewest archives, and fewest of each verdict among them.
const FEWEST: (usize, usize) = (250, 100);

/// Archives that lint refuses and the server loads, with the reason.
const STRICTER: &[(&str, &str)] = &[
    ("links: dangling, not used, in the version", "whether a model needs a file is not known without reading it"),
    ("links: two in a circle, not used", "whether a model needs a file is not known without reading it"),
    ("links: hard, absolute", "GNU tar takes the first `/` away; other programs refuse it"),
    ("links: hard, leads out", "GNU tar takes `../` away; other programs refuse it"),
];

/// Archives that the same server was asked about once, each for itself: it hangs, or a signal ends it. So it may after it has
/// refused a state of `scheduling::refused_states`.
fn recorded() -> Vec<Case> {
    let warmup = |rest: &str| {
        let tensor = "key: \"x\" value { data_type: TYPE_FP32 dims: 4";
        Archive::of(&Spec::with(&format!("model_warmup {{ inputs {{ {tensor} {rest} }}")))
    };
    let python = |extra: &str| {
        Archive::default().file("m/config.pbtxt", Spec::with(extra).config().replace("planforge", "python"))
    };
    let label = "output { name: \"z\" data_type: TYPE_FP32 dims: 4 label_filename: \"f\" }";
    let script = "class TritonPythonModel: pass";
    let named = [
        ("a warm-up batch above `max_batch_size`: SIGSEGV", warmup("zero_data: true } } batch_size: 9")),
        (
            "a folder as a warm-up file: an exception",
            warmup("input_data_file: \"f\" } } batch_size: 1").folder("m/warmup/f"),
        ),
        ("a folder as a label file: SIGABRT", python(label).file("m/1/model.py", script).folder("m/f")),
        ("a Python model that is a dangling link: no answer in 60 s", python("").link("m/1/model.py", "none")),
        ("a Python model that is missing: no answer in 15 s", python("").folder("m/1")),
        (
            "a batch output without a target, of Triton's Python backend: SIGSEGV",
            python("batch_output { source_input: \"x\" }").file("m/1/model.py", script),
        ),
    ];
    named.into_iter().map(|(name, archive)| (name.to_owned(), archive)).collect()
}

#[test]
fn archives_that_no_server_survives_are_refused() {
    for (what, archive) in [recorded(), scheduling::refused_states()].concat() {
        let folder = tempfile::tempdir().unwrap();
        let findings = planforge_triton_config::lint(&archive.pack(folder.path())).unwrap();
        let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{what}: {findings:?}");
    }
}

/// An archive, and what it is.
type Case = (String, Archive);

/// What lint and the server make of an archive.
struct Verdicts {
    name: String,
    findings: Vec<Finding>,
    is_served: bool,
    logged: String,
}

impl Verdicts {
    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// What lint and the server disagree about.
    fn disagreement(&self) -> Option<String> {
        let is_stricter = STRICTER.iter().any(|(name, _)| *name == self.name);
        let found: Vec<_> = self.findings.iter().map(|finding| &finding.message).collect();
        match (self.errors().next().is_some(), self.is_served) {
            (true, true) if is_stricter => None,
            (true, true) => Some(format!("FALSE ALARM {}: {found:?}", self.name)),
            (false, false) => Some(format!("MISSED {}: {found:?}; the server: {}", self.name, self.logged)),
            _ if is_stricter => Some(format!("AGREES, though it is listed as stricter: {}", self.name)),
            (false, true) => None,
            (true, false) => {
                let answers: Vec<_> = self.errors().filter_map(|error| error.answer.as_deref()).collect();
                // Without an answer that is predicted there is nothing to compare.
                let is_predicted = answers.is_empty() || answers.iter().any(|answer| self.logged.contains(answer));
                (!is_predicted)
                    .then(|| format!("OTHER ANSWER {}: {:?}; the server: {}", self.name, self.findings, self.logged))
            }
        }
    }
}

#[test]
fn verdicts_are_those_of_the_server() {
    let options = TritonOptions { auto_complete: true, ..TritonOptions::default() };
    with_own_server(concat!(module_path!(), "::verdicts_are_those_of_the_server"), &options, |server| {
        let workspace = Workspace::empty();
        let cases: Vec<Case> = [ensembles::cases(), files::cases(), scheduling::cases()].concat();
        let judged: Vec<_> =
            cases.into_iter().map(|(name, archive)| judge(&server, &workspace.path("work"), name, &archive)).collect();
        let wrong: Vec<_> = judged.iter().filter_map(Verdicts::disagreement).collect();
        let served = judged.iter().filter(|verdicts| verdicts.is_served).count();
        let all = judged.len();
        println!("{all} archives: {served} are served, {} are not; {} disagree", all - served, wrong.len());
        assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(all >= FEWEST.0 && served >= FEWEST.1 && all - served >= FEWEST.1, "{served} of {all} are served");
        // Unloading all of them would take longer than everything before.
        drop(server);
    });
}

fn judge(server: &TritonServer, folder: &Path, name: String, archive: &Archive) -> Verdicts {
    fs_err::create_dir(folder).unwrap();
    let packed = archive.pack(folder);
    let findings = planforge_triton_config::lint(&packed).unwrap();
    let target = format!("{}.tar.gz", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let unpacked = TritonServer::model_folder(&target);
    fs_err::create_dir_all(&unpacked).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&packed).arg("-C").arg(&unpacked).output().unwrap();
    let (is_served, logged) = if tar.status.success() {
        let before = server.log().len();
        let answer = server.load_unpacked(&target);
        (answer.status == 200, format!("{}\n{}", answer.text(), &server.log()[before..]))
    } else {
        (false, String::from_utf8_lossy(&tar.stderr).into_owned())
    };
    fs_err::remove_dir_all(folder).unwrap();
    Verdicts { name, findings, is_served, logged }
}

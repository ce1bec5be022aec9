//! Mistakes that newcomers make, and the answers to them: each folder of `fixtures/mistakes` has a pipeline file, and a
//! transcript of the command with its messages and exit code. `PLANFORGE_BLESS=1` writes the transcripts.

use crate::support::Workspace;
use planforge_testkit::repository;
use std::path::Path;

#[test]
fn every_mistake_of_a_newcomer_gets_its_answer() {
    let mut folders: Vec<_> = fs_err::read_dir(repository().join("fixtures/mistakes")).unwrap().collect();
    assert!(folders.len() >= 40);
    folders.sort_by_key(|folder| folder.as_ref().unwrap().file_name());
    let mut wrong = Vec::new();
    for folder in folders {
        let folder = folder.unwrap().path();
        let file = folder.join("answer.txt");
        let expected = fs_err::read_to_string(&file).unwrap();
        let found = transcript(&folder, expected.lines().next().unwrap());
        if std::env::var_os("PLANFORGE_BLESS").is_some() {
            fs_err::write(&file, &found).unwrap();
        } else if found != expected {
            wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a command line that starts with `$ planforge` in a folder with the pipeline file and the tiny checkpoint.
fn transcript(folder: &Path, command_line: &str) -> String {
    let workspace = Workspace::tiny();
    fs_err::copy(folder.join("pipeline.toml"), workspace.path("pipeline.toml")).unwrap();
    let arguments: Vec<&str> = command_line.split_whitespace().skip(2).chain(["--quiet"]).collect();
    let ended = workspace.planforge(&arguments);
    let messages = ended.stderr.replace(workspace.folder.path().to_str().unwrap(), "");
    let code = ended.status.code().unwrap();
    assert!(messages.is_empty() == (code == 0), "{messages}");
    format!("{command_line}\n{messages}exit code {code}\n")
}

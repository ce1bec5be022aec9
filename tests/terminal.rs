//! What the program prints for people: tables that fit a terminal, and colours only where they are wanted.

use crate::support::Workspace;

/// Lines of tables that are wider than a terminal, but for those with a path or digest that stays in one piece.
fn wide_lines(text: &str) -> Vec<&str> {
    let is_wide = |line: &&str| line.starts_with(' ') && line.chars().count() > 80;
    text.lines().filter(is_wide).filter(|line| line.split(' ').all(|word| word.len() <= 45)).collect()
}

#[test]
fn tables_fit_80_columns() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["lock", "tiny.toml", "--gpu", "rtx-pro-6000,t4"]).succeeds();
    for arguments in [
        ["run", "tiny.toml"].as_slice(),
        &["plan", "tiny.toml", "--gpu", "all"],
        &["verify", "tiny.toml"],
        &["inspect", "tiny.toml"],
        &["inspect", "planforge-out/tiny/archives/onnx-fp32/tiny.tar.gz"],
        &["cache", "list"],
        &["cache", "size"],
        &["gpus"],
        &["doctor"],
        &["unpublish", "tiny.toml", "--dry-run"],
    ] {
        let text = workspace.planforge(arguments).stdout;
        assert!(text.lines().count() > 1, "{arguments:?}: {text}");
        assert_eq!(wide_lines(&text), [""; 0], "{arguments:?}");
    }
}

#[test]
fn colours_need_a_terminal_or_color_always() {
    let workspace = Workspace::tiny();
    let has_colours = |arguments: &[&str]| {
        let ended = workspace.planforge(arguments);
        (ended.stdout.contains('\u{1b}'), ended.stderr.contains('\u{1b}'))
    };
    assert_eq!(has_colours(&["doctor"]), (false, false));
    assert!(has_colours(&["doctor", "--color", "always"]).0);
    assert!(has_colours(&["check", "missing.toml", "--color", "always"]).1);
    assert_eq!(has_colours(&["check", "missing.toml", "--color", "never"]), (false, false));
    assert_eq!(has_colours(&["doctor", "--json", "--color", "always"]), (false, false));
}

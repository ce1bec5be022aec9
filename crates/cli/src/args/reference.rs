//! The reference of the command line, generated from its definition.

use super::Cli;
use clap::{Arg, Command, CommandFactory};

const HEAD: &str = "\
# Command line

<!-- Generated from crates/cli/src/args.rs; `PLANFORGE_BLESS=1 scripts/test` writes it. -->

";

/// The reference as Markdown.
fn cli_reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = HEAD.to_owned();
    text.push_str(&format!("{}\n\n", root.get_about().map(ToString::to_string).unwrap_or_default()));
    text.push_str(&format!("{}\n", root.get_after_help().map(ToString::to_string).unwrap_or_default()));
    let globals: Vec<&Arg> = root.get_arguments().filter(|argument| argument.is_global_set()).collect();
    text.push_str(&format!("\n## Options of every command\n\n{}", options(&globals)));
    for command in visible(&root) {
        text.push_str(&section(command, "planforge", "##"));
    }
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

fn section(command: &Command, parent: &str, heading: &str) -> String {
    let path = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n{heading} `{path}`\n\n{about}.\n");
    let own: Vec<&Arg> = own_arguments(command).collect();
    if !own.is_empty() {
        let usage = command.clone().render_usage().to_string();
        text.push_str(&format!("\n```text\n{}\n```\n\n{}", usage.trim_start_matches("Usage: "), options(&own)));
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines = examples.trim_start_matches("Examples:\n").trim_start_matches("Example: ").lines();
        let lines: Vec<&str> = lines.map(str::trim_end).collect();
        let indent =
            lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len()).min();
        let lines = lines.iter().map(|line| line.get(indent.unwrap_or(0)..).unwrap_or(line));
        text.push_str(&format!("\n```console\n{}\n```\n", lines.collect::<Vec<_>>().join("\n")));
    }
    for inner in visible(command) {
        text.push_str(&section(inner, &path, "###"));
    }
    text
}

/// Arguments and options of a command, without those of every command.
fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_own = |argument: &&Arg| !argument.is_global_set() && !argument.is_hide_set();
    command.get_arguments().filter(is_own).filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
}

fn options(arguments: &[&Arg]) -> String {
    let rows: String = arguments.iter().map(|argument| row(argument)).collect();
    format!("| option | default | description |\n|---|---|---|\n{rows}")
}

fn row(argument: &Arg) -> String {
    let (description, default) = description_and_default(argument);
    let variable = argument.get_env().map(|name| format!(" Variable: `{}`.", name.to_string_lossy()));
    let choices: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let choices = if choices.is_empty() || !takes_value(argument) {
        String::new()
    } else {
        format!(" One of {}.", choices.join(", "))
    };
    format!("| `{}` | {} | {description}.{choices}{} |\n", name_of(argument), default, variable.unwrap_or_default())
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

/// `-o, --output <DIR>`, with other names of the option after the first.
fn name_of(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let values: String = values.iter().map(|value| format!(" <{value}>")).collect();
    let values = if takes_value(argument) { values } else { String::new() };
    let aliases = argument.get_visible_aliases().unwrap_or_default();
    let aliases: String = aliases.iter().map(|alias| format!(", --{alias}")).collect();
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{aliases}{values}"),
        (None, Some(long)) => format!("--{long}{aliases}{values}"),
        _ => values.trim_start().to_owned(),
    }
}

/// Defaults that depend on the machine are in the help text: `… [default: the nearest .native]`.
fn description_and_default(argument: &Arg) -> (String, String) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let (description, named) = match help.split_once(" [default: ") {
        Some((description, default)) => (description.to_owned(), Some(default.trim_end_matches(']').to_owned())),
        None => (help, None),
    };
    let values = argument.get_default_values();
    let default = if let Some(default) = named {
        default
    } else if takes_value(argument) && !values.is_empty() {
        let values = values.iter().map(|value| value.to_string_lossy().into_owned());
        format!("`{}`", values.collect::<Vec<_>>().join(","))
    } else if argument.is_required_set() {
        "required".to_owned()
    } else if takes_value(argument) {
        "none".to_owned()
    } else {
        "off".to_owned()
    };
    (description, default)
}

#[test]
fn every_argument_has_a_description_and_every_command_an_example() {
    let mut root = Cli::command();
    root.build();
    let mut commands: Vec<&Command> = visible(&root).collect();
    commands.extend(visible(&root).flat_map(visible).collect::<Vec<_>>());
    for command in commands {
        assert!(command.get_about().is_some() && command.get_after_help().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    let path = planforge_testkit::repository().join("docs/cli-reference.md");
    planforge_testkit::check_generated(&path, &cli_reference());
}

//! From arguments to the command, and from its result to the exit code.

use crate::args::{Cli, Command};
use crate::commands::context::CommandContext;
use crate::commands::{
    bench_engine, cache, doctor, endpoint, gpus, infer, inspect, internal, lint, metrics, plan, report, run, unpublish,
    verify,
};
use crate::failure::{exit_code, kind};
use crate::printer;
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::{Context, Result};
use clap::Parser;
use planforge_core::Step;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::EnvFilter;

/// Parses the arguments, runs the command and reports its error.
pub(crate) fn dispatch() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return print_usage(&usage),
    };
    printer::set_colors(cli.global.color);
    start_log(cli.global.verbose);
    planforge_core::raise_descriptor_limit();
    planforge_core::keep_contained_panics_quiet();
    match run_command(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    printer::error(error);
    exit_code(kind(error))
}

/// Prints help, the version, or what is wrong with the arguments.
fn print_usage(usage: &clap::Error) -> ExitCode {
    match printer::written(usage.print()) {
        Ok(()) => ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2)),
        Err(error) => failed(&error),
    }
}

fn run_command(cli: &Cli) -> Result<()> {
    let settings = Settings::resolve(&cli.global)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be started")?;
    if let Command::Internal(command) = &cli.command {
        return internal::internal(command, &runtime);
    }
    let terminal = Terminal::new(settings.quiet);
    stop_on_signals(&runtime, &terminal);
    let context = CommandContext { settings, terminal, runtime };
    let result = run_visible(&context, &cli.command);
    context.terminal.clear();
    // A thread may still sit in a native library; it must not keep the process.
    context.runtime.shutdown_background();
    result
}

fn run_visible(context: &CommandContext, command: &Command) -> Result<()> {
    match command {
        Command::Run(pipelines) => run::run(context, pipelines),
        Command::Fetch(arguments) => run::fetch(context, arguments),
        Command::Export(pipelines) => run::make(context, pipelines, Step::Export),
        Command::Check(arguments) => run::check(context, arguments),
        Command::Infer(arguments) => infer::infer(context, arguments),
        Command::Inspect(arguments) => inspect::inspect(context, arguments),
        Command::Compile(pipelines) => run::make(context, pipelines, Step::Compile),
        Command::BenchEngine(arguments) => bench_engine::bench_engine(context, arguments),
        Command::Plan(arguments) => plan::plan(context, arguments),
        Command::Package(pipelines) => run::make(context, pipelines, Step::Package),
        Command::Publish(pipelines) => run::make(context, pipelines, Step::Publish),
        Command::Unpublish(arguments) => unpublish::unpublish(context, arguments),
        Command::Lock(arguments) => run::lock(context, arguments),
        Command::Verify(arguments) => verify::verify(context, arguments),
        Command::Host(arguments) => endpoint::host(context, arguments),
        Command::Probe(arguments) => endpoint::probe(context, arguments),
        Command::Load(arguments) => endpoint::load(context, arguments),
        Command::Report(arguments) => report::report(context, arguments),
        Command::Cache(command) => cache::cache(context, command),
        Command::Lint(arguments) => lint::lint(context, arguments),
        Command::MetricsModel(arguments) => metrics::metrics_model(context, arguments),
        Command::Gpus(arguments) => gpus::gpus(arguments, &context.settings),
        Command::Doctor => doctor::doctor(&context.settings),
        Command::Internal(_) => Ok(()),
    }
}

/// The first Ctrl-C (or SIGTERM) asks the work to stop, the second does not wait for it.
fn stop_on_signals(runtime: &Runtime, terminal: &Arc<Terminal>) {
    let terminal = Arc::clone(terminal);
    runtime.spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if planforge_core::Progress::is_cancelled(&*terminal) {
                terminal.clear();
                std::process::exit(130);
            }
            terminal.cancel();
            terminal.say("stopping; once more to stop at once");
        }
    });
}

/// Logs go to standard error. `PLANFORGE_LOG` takes a filter in the syntax of `tracing`.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "planforge=warn",
        1 => "warn,planforge=info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("PLANFORGE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| printer::LogWriter);
    log.with_target(false).with_ansi(printer::stderr_has_colors()).init();
}

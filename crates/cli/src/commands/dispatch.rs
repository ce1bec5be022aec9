//! From arguments to the command, and from its result to the exit code.

use crate::args::{Cli, Command};
use crate::commands::{
    bench_engine, cache, doctor, endpoint, gpus, infer, inspect, internal, lint, metrics, plan, report, run, unpublish,
    verify,
};
use crate::failure::Failure;
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

/// What every command is given.
pub(super) struct Surroundings {
    pub(super) settings: Settings,
    pub(super) terminal: Arc<Terminal>,
    pub(super) runtime: Runtime,
}

impl Surroundings {
    /// Prints a result: as JSON where that is asked for, else `text`.
    pub(super) fn show(&self, value: &impl serde::Serialize, text: &str) -> Result<()> {
        self.terminal.clear();
        let text = if self.settings.json { serde_json::to_string(value)? + "\n" } else { text.to_owned() };
        printer::stdout(&text);
        Ok(())
    }
}

/// Parses the arguments, runs the command and reports its error.
pub(crate) fn dispatch() -> ExitCode {
    let cli = Cli::parse();
    printer::set_colors(cli.global.color);
    start_log(cli.global.verbose);
    match run_command(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer::error(&error);
            Failure::of(&error).exit_code()
        }
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
    let surroundings = Surroundings { settings, terminal, runtime };
    let result = run_visible(&surroundings, &cli.command);
    surroundings.terminal.clear();
    // A thread may still sit in a native library; it must not keep the process.
    surroundings.runtime.shutdown_background();
    result
}

fn run_visible(surroundings: &Surroundings, command: &Command) -> Result<()> {
    match command {
        Command::Run(pipelines) => run::run(surroundings, pipelines),
        Command::Fetch(arguments) => run::fetch(surroundings, arguments),
        Command::Export(pipelines) => run::make(surroundings, pipelines, Step::Export),
        Command::Check(pipelines) => run::make(surroundings, pipelines, Step::Check),
        Command::Infer(arguments) => infer::infer(surroundings, arguments),
        Command::Inspect(arguments) => inspect::inspect(surroundings, arguments),
        Command::Compile(pipelines) => run::make(surroundings, pipelines, Step::Compile),
        Command::BenchEngine(arguments) => bench_engine::bench_engine(surroundings, arguments),
        Command::Plan(arguments) => plan::plan(surroundings, arguments),
        Command::Package(pipelines) => run::make(surroundings, pipelines, Step::Package),
        Command::Publish(pipelines) => run::make(surroundings, pipelines, Step::Publish),
        Command::Unpublish(arguments) => unpublish::unpublish(surroundings, arguments),
        Command::Lock(arguments) => run::lock(surroundings, arguments),
        Command::Verify(arguments) => verify::verify(surroundings, arguments),
        Command::Host(arguments) => endpoint::host(surroundings, arguments),
        Command::Probe(arguments) => endpoint::probe(surroundings, arguments),
        Command::Load(arguments) => endpoint::load(surroundings, arguments),
        Command::Report(arguments) => report::report(surroundings, arguments),
        Command::Cache(command) => cache::cache(surroundings, command),
        Command::Lint(arguments) => lint::lint(surroundings, arguments),
        Command::MetricsModel(arguments) => metrics::metrics_model(surroundings, arguments),
        Command::Gpus(arguments) => gpus::gpus(arguments, &surroundings.settings),
        Command::Doctor => doctor::doctor(&surroundings.settings),
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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(printer::stderr_has_colors()).init();
}

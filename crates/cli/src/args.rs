//! Arguments of the command line.

mod bench_engine;
mod endpoint;
mod models;
#[cfg(test)]
mod reference;
mod values;

pub(crate) use bench_engine::BenchEngineArguments;
use clap::{Args, Parser, Subcommand};
pub(crate) use endpoint::{ContainerArgument, EndpointArguments, HostArguments, ProbeArguments};
pub(crate) use models::{CheckArguments, InferArguments};
use planforge_core::{MemorySize, Precision};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use values::{parse_count, parse_duration, parse_memory, parse_precision};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed; 2 bad usage or pipeline file; 3 the environment lacks something \
(see `planforge doctor`); 4 a check did not hold; 130 interrupted.";

/// Turns pretrained models from the Hugging Face Hub into TensorRT engines and ONNX packages for
/// Triton multi-model endpoints, and measures how many fit and how much traffic they take.
#[derive(Debug, Parser)]
#[command(name = "planforge", version, long_version = crate::version::LONG, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder that results are written to.
    #[arg(long, short, global = true, value_name = "DIR", default_value = "planforge-out")]
    pub(crate) output: PathBuf,
    /// Artifact cache [default: .cache in the output folder].
    #[arg(long, global = true, value_name = "DIR", env = "PLANFORGE_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Lock file of the pipeline [default: next to the pipeline file; where that folder is read-only, in the output folder].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Folder of native libraries that scripts/setup fills [default: the nearest .native].
    #[arg(long, global = true, value_name = "DIR", env = "PLANFORGE_NATIVE_DIR")]
    pub(crate) native: Option<PathBuf>,
    /// planforge's Triton backend, for archives that contain it [default: libtriton_planforge.so next to the program].
    #[arg(long, global = true, value_name = "FILE", env = "PLANFORGE_TRITON_BACKEND")]
    pub(crate) triton_backend: Option<PathBuf>,
    /// NVIDIA's trtexec, for pipelines with `builder = "trtexec"` [default: the one on the PATH, or in the
    /// folder of NVIDIA's packages and containers].
    #[arg(long, global = true, value_name = "FILE", env = "PLANFORGE_TRTEXEC")]
    pub(crate) trtexec: Option<PathBuf>,
    /// The program that builds engines [default: planforge-engine-worker next to planforge].
    #[arg(long, global = true, value_name = "FILE", env = "PLANFORGE_ENGINE_WORKER")]
    pub(crate) engine_worker: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colour output: on a terminal unless NO_COLOR is set, always, or never.
    #[arg(long, global = true, value_name = "WHEN", default_value_t)]
    pub(crate) color: clap::ColorChoice,
    /// Suppress progress output.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print more about each step; twice: with the logs of the native libraries.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline from the Hub to the report.
    #[command(after_help = "\
Examples:
  planforge run pipelines/all-MiniLM-L6-v2.toml
  planforge run pipelines/all-MiniLM-L6-v2.toml --locked")]
    Run(Pipelines),
    /// Fetch the snapshot of a pipeline's repository.
    #[command(after_help = "\
Examples:
  planforge fetch pipelines/all-MiniLM-L6-v2.toml
  HF_HUB_OFFLINE=1 planforge fetch pipelines/all-MiniLM-L6-v2.toml")]
    Fetch(FetchArguments),
    /// Export a pipeline's model to ONNX, and to TorchScript if the pipeline names it.
    #[command(after_help = "Example: planforge export pipelines/all-MiniLM-L6-v2.toml")]
    Export(Pipelines),
    /// Run the exported model on the samples and compare precisions.
    #[command(after_help = "\
Examples:
  planforge check pipelines/all-MiniLM-L6-v2.toml
  planforge check pipelines/all-MiniLM-L6-v2.toml --served --container triton")]
    Check(CheckArguments),
    /// Run the exported model on your own texts or images and print the result.
    #[command(after_help = "\
Examples:
  planforge infer pipelines/all-MiniLM-L6-v2.toml --text 'A man plays a guitar.' --text 'Somebody makes music.'
  planforge infer pipelines/resnet50.toml --image cat.jpg")]
    Infer(InferArguments),
    /// Show a model's inputs, outputs, parameters and cost per profile, an engine's figures, or an archive's origin.
    #[command(after_help = "\
Examples:
  planforge inspect pipelines/all-MiniLM-L6-v2.toml
  planforge inspect pipelines/all-MiniLM-L6-v2.toml --graph
  planforge inspect model.onnx
  planforge inspect planforge-out/resnet50/engines/tensorrt-fp16-l4/model.plan
  planforge inspect planforge-out/resnet50/archives/tensorrt-fp16-l4/resnet50.tar.gz")]
    Inspect(InspectArguments),
    /// Build TensorRT engines for the pipeline's GPU types; no GPU is needed.
    #[command(after_help = "\
Examples:
  planforge compile pipelines/all-MiniLM-L6-v2.toml --gpu l40s
  planforge compile 'pipelines/*.toml' --gpu a10g,l4,rtx-pro-6000 --fat --memory '8 GiB'")]
    Compile(Pipelines),
    /// Measure latency, throughput and memory of an engine on a GPU of this machine.
    #[command(after_help = "\
Examples:
  planforge bench-engine planforge-out/resnet50/engines/tensorrt-fp16-l4/model.plan --batch 8
  planforge bench-engine model.plan --shape input_ids=8x64 --shape attention_mask=8x64 --streams 2 --cuda-graph --json")]
    BenchEngine(BenchEngineArguments),
    /// Predict the memory of a loaded copy, and how many copies fit each GPU, for several maximum batch sizes.
    #[command(after_help = "Example: planforge plan pipelines/resnet50.toml --gpu l4,a10g --build")]
    Plan(PlanArguments),
    /// Package models and engines as archives for Triton.
    #[command(after_help = "Example: planforge package pipelines/all-MiniLM-L6-v2.toml")]
    Package(Pipelines),
    /// Lint Triton archives for multi-model endpoints.
    #[command(after_help = "Example: planforge lint planforge-out/all-MiniLM-L6-v2/archives/onnx-fp32/*.tar.gz")]
    Lint(LintArguments),
    /// Write the archive of a model that reports the GPU memory of a Triton server through its endpoint.
    #[command(after_help = "\
Example: planforge metrics-model
Publish it together with other models. The response to an empty request has the readings:
  {\"inputs\": []}")]
    MetricsModel(MetricsArguments),
    /// Publish N copies of every archive to the pipeline's store.
    #[command(after_help = "Example: planforge publish pipelines/all-MiniLM-L6-v2.toml")]
    Publish(Pipelines),
    /// Remove the published copies of a pipeline from its store, and nothing else.
    #[command(after_help = "Example: planforge unpublish pipelines/all-MiniLM-L6-v2.toml --dry-run")]
    Unpublish(UnpublishArguments),
    /// Build the archives of a pipeline and write its lock file: commit, digests and versions.
    #[command(after_help = "\
Examples:
  planforge lock 'pipelines/*.toml'
  planforge lock --update pipelines/all-MiniLM-L6-v2.toml")]
    Lock(LockArguments),
    /// Rebuild everything in a pipeline's lock file in an empty folder and compare digests; exit code 4 if some differ.
    #[command(after_help = "Example: planforge verify pipelines/all-MiniLM-L6-v2.toml")]
    Verify(VerifyArguments),
    /// Serve the published copies as a local multi-model endpoint, until Ctrl-C.
    #[command(after_help = "\
Example: planforge host pipelines/all-MiniLM-L6-v2.toml --port 8080
Then, from another terminal:
  curl -s http://127.0.0.1:8080/endpoints/all-MiniLM-L6-v2/invocations \\
    -H 'X-Amzn-SageMaker-Target-Model: all-MiniLM-L6-v2-v0.tar.gz' \\
    -H 'Content-Type: application/json' -d @request.json")]
    Host(HostArguments),
    /// Measure how many copies fit into an endpoint's memory.
    #[command(after_help = "Example: planforge probe pipelines/all-MiniLM-L6-v2.toml --url http://127.0.0.1:8080")]
    Probe(ProbeArguments),
    /// Measure latency and throughput under the pipeline's load stages.
    #[command(after_help = "Example: planforge load pipelines/all-MiniLM-L6-v2.toml --url http://127.0.0.1:8080")]
    Load(EndpointArguments),
    /// Write report.html and the CSV files again from a run's report.json.
    #[command(after_help = "Example: planforge report planforge-out/all-MiniLM-L6-v2/report.json")]
    Report(ReportArguments),
    /// List GPU types, and the precisions that each builder supports for them.
    #[command(after_help = "\
Examples:
  planforge gpus
  planforge gpus ml.g5.2xlarge A100
  planforge gpus --catalogue own.toml --json
A catalogue file adds or replaces types:
  [[gpu]]
  name = \"a16\"
  product = \"NVIDIA A16\"
  compute_capability = \"8.6\"
  memory_gib = 16")]
    Gpus(GpusArguments),
    /// List, check and prune the artifact cache.
    #[command(
        subcommand,
        after_help = "\
Examples:
  planforge cache list
  planforge cache prune --unused-for 30d --max-size '50 GiB'"
    )]
    Cache(CacheCommand),
    /// Show which native libraries were found, and how to install missing ones.
    #[command(after_help = "Example: planforge doctor")]
    Doctor,
    /// Processes that planforge starts itself.
    #[command(hide = true, subcommand)]
    Internal(Internal),
}

/// Pipeline files and what to change in them.
#[derive(Debug, Args)]
pub(crate) struct Pipelines {
    /// Pipeline files; patterns in quotation marks, such as 'pipelines/*.toml', are expanded.
    #[arg(required = true, value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// GPU types instead of the pipeline's key `compile.gpus`: names or AWS instance types; `all` for every type in AWS's
    /// instances that the builder supports, `auto` for the GPUs of this machine.
    #[arg(long = "gpu", value_name = "NAME", value_delimiter = ',')]
    pub(crate) gpus: Vec<String>,
    /// Precisions instead of the pipeline's key `export.precisions`.
    #[arg(long = "precision", value_name = "PRECISION", value_delimiter = ',', value_parser = parse_precision)]
    pub(crate) precisions: Vec<Precision>,
    /// File with additional GPU types, besides the pipeline's key `compile.catalogue`; `planforge gpus --help` shows its form.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,
    /// Build one engine for all GPU types rather than one for each.
    #[arg(long)]
    pub(crate) fat: bool,
    /// Limit of the memory of all engine builds together, such as "8 GiB" [default: 80 % of the available memory].
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub(crate) memory: Option<MemorySize>,
    /// Limit of the engines built at the same time [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroUsize>)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Number of copies instead of the pipeline's key `package.copies`.
    #[arg(long, value_name = "N")]
    pub(crate) copies: Option<u32>,
    /// Do not change the lock file; exit with code 4 before anything is published if results differ from it.
    #[arg(long)]
    pub(crate) locked: bool,
}

/// `fetch`.
#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    #[command(flatten)]
    pub(crate) pipelines: Pipelines,
    /// Fetch every file of the repository, not only those that the pipeline needs.
    #[arg(long)]
    pub(crate) all_files: bool,
}

/// `lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    #[command(flatten)]
    pub(crate) pipelines: Pipelines,
    /// Update the lock file to the current commit of the revision.
    #[arg(long, conflicts_with = "locked")]
    pub(crate) update: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Pipeline files; patterns in quotation marks, such as 'pipelines/*.toml', are expanded.
    #[arg(required = true, value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// File with additional GPU types, besides the pipeline's key `compile.catalogue`.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,
    /// Limit of the memory of all engine builds together [default: 80 % of the available memory].
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub(crate) memory: Option<MemorySize>,
    /// Limit of the engines built at the same time [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroUsize>)]
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// `metrics-model`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArguments {
    /// Path of the archive.
    #[arg(long = "output-file", value_name = "FILE", default_value = "planforge-metrics.tar.gz")]
    pub(crate) file: PathBuf,
    /// Leave out planforge's Triton backend, for servers that have it installed.
    #[arg(long)]
    pub(crate) without_backend: bool,
}

/// `unpublish`.
#[derive(Debug, Args)]
pub(crate) struct UnpublishArguments {
    /// Pipeline files; patterns in quotation marks, such as 'pipelines/*.toml', are expanded.
    #[arg(required = true, value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// List what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `gpus`.
#[derive(Debug, Args)]
pub(crate) struct GpusArguments {
    /// GPU types or AWS instance types to show [default: all].
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// File with additional GPU types.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,
}

/// `cache`.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the entries: kind, name, size, and time since the last use.
    #[command(after_help = "Example: planforge cache list --json")]
    List,
    /// Print the size of each kind of entry.
    #[command(after_help = "Example: planforge cache size")]
    Size,
    /// Compute every digest again and list corrupt entries; exit code 4 if there are any.
    #[command(after_help = "Example: planforge cache check")]
    Check,
    /// Remove entries, after waiting until no other planforge uses the cache. Unfinished entries are always removed.
    #[command(after_help = "Example: planforge cache prune --unused-for 30d --damaged")]
    Prune(PruneArguments),
}

/// `cache prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Entries that were not used for this time, such as 12h or 30d.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) unused_for: Option<Duration>,
    /// The least recently used entries, until the cache is no larger than this.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub(crate) max_size: Option<MemorySize>,
    /// Corrupt entries.
    #[arg(long)]
    pub(crate) damaged: bool,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) pipelines: Pipelines,
    /// Build the engine of every maximum batch size, instead of estimating from the model where there is none.
    #[arg(long)]
    pub(crate) build: bool,
}

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// A pipeline file, an ONNX file, an engine (.plan), or an archive (.tar.gz).
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Also show the graph: every weight and every node. Always shown for an ONNX file.
    #[arg(long)]
    pub(crate) graph: bool,
}

/// `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The report.json of an earlier run.
    #[arg(value_name = "REPORT")]
    pub(crate) report: PathBuf,
}

/// `lint`.
#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// Archives (.tar.gz); patterns in quotation marks are expanded.
    #[arg(value_name = "ARCHIVE", required = true)]
    pub(crate) archives: Vec<PathBuf>,
}

/// Processes of planforge's own.
#[derive(Debug, Subcommand)]
pub(crate) enum Internal {
    /// Runs one engine on a GPU: request on standard input, answer on standard output.
    RunEngine,
    /// Serves one endpoint: options on standard input; ends when standard input does.
    Host,
    /// Runs a server in namespaces that are there already: standard input is a socket; ends when that does.
    Isolated,
}

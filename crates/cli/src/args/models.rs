//! Arguments of `infer` and `check`.

use super::values::{parse_precision, parse_url};
use super::{ContainerArgument, Pipelines};
use clap::Args;
use planforge_core::Precision;
use std::path::PathBuf;

/// `infer`.
#[derive(Debug, Args)]
pub(crate) struct InferArguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: PathBuf,
    /// A text or a question; may be given several times [default: the pipeline's samples].
    #[arg(long = "text", value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// The second text of a pair: the text with the answer to a question, a passage for a query, a hypothesis for a premise.
    /// Given once for all texts, or as often as --text; or several times for one --text.
    #[arg(long = "context", visible_alias = "text-pair", value_name = "TEXT", requires = "texts")]
    pub(crate) contexts: Vec<String>,
    /// An image file (JPEG, PNG, WebP, GIF, BMP); may be given several times.
    #[arg(long = "image", value_name = "FILE", conflicts_with = "texts")]
    pub(crate) images: Vec<PathBuf>,
    /// Precision of the export [default: the pipeline's first].
    #[arg(long, value_name = "PRECISION", value_parser = parse_precision)]
    pub(crate) precision: Option<Precision>,
    /// Write the body of the request that a served copy takes to a file, and print how to send it.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) request: Option<PathBuf>,
    /// Ask the first copy behind a running `planforge host` instead of running the export.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) url: Option<String>,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) pipelines: Pipelines,
    /// Also publish each ONNX variant, serve it, and compare what the endpoint answers with the fp32 export.
    #[arg(long)]
    pub(crate) served: bool,
    /// With `--served`: compare what a running endpoint answers, of the variant that the pipeline serves.
    #[arg(long, value_name = "URL", value_parser = parse_url, requires = "served", conflicts_with = "container")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) container: ContainerArgument,
}

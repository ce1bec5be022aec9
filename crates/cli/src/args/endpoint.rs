//! Arguments of `host`, `probe` and `load`.

use super::values::parse_url;
use clap::Args;
use std::path::PathBuf;

/// `host`.
#[derive(Debug, Args)]
pub(crate) struct HostArguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: PathBuf,
    /// Port on 127.0.0.1; 0 chooses a free one.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
}

/// `probe` and `load`.
#[derive(Debug, Args)]
pub(crate) struct EndpointArguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: PathBuf,
    /// URL of a running `planforge host` [default: one is started for the measurement].
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) url: Option<String>,
}

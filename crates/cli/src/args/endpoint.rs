//! Arguments of `host`, `probe` and `load`.

use super::values::{parse_container, parse_count, parse_url};
use clap::Args;
use planforge_core::HostContainer;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// `host`.
#[derive(Debug, Args)]
pub(crate) struct HostArguments {
    /// Pipeline files; patterns in quotation marks, such as 'pipelines/*.toml', are expanded. Each is an endpoint with memory of its
    /// own.
    #[arg(required = true, value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// Port; 0 chooses a free one.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// IP address to listen on. One that other machines reach needs the variable PLANFORGE_HOST_TOKEN: a secret that requests carry as
    /// `Authorization: Bearer`, or as the access key of an AWS SDK.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    #[command(flatten)]
    pub(crate) container: ContainerArgument,
}

/// What runs the models of the endpoint that is started.
#[derive(Debug, Args)]
pub(crate) struct ContainerArgument {
    /// What runs the models instead of the pipeline's key `host.container`: `embedded`, `triton`, or the address of a running
    /// container such as http://127.0.0.1:8080.
    #[arg(long, value_name = "CONTAINER", value_parser = parse_container)]
    pub(crate) container: Option<HostContainer>,
}

/// `probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArguments {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArguments,
    /// Stop after this many copies, whether or not more fit [default: all published copies].
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroUsize>)]
    pub(crate) max_copies: Option<NonZeroUsize>,
}

/// `load`.
#[derive(Debug, Args)]
pub(crate) struct EndpointArguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: PathBuf,
    /// URL of a running `planforge host` [default: one is started for the measurement].
    #[arg(long, value_name = "URL", value_parser = parse_url, conflicts_with = "container")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) container: ContainerArgument,
}

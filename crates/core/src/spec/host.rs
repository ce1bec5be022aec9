//! The table `[host]`.

use super::values::MemorySize;
use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The local multi-model endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"variant": "onnx-fp32", "memory": "8 GiB"}))]
pub struct HostSpec {
    /// Variant that the endpoint serves.
    #[schemars(
        extend("x-example" = "onnx-fp32", "x-allowed" = "a variant such as `onnx-fp32` or `tensorrt-fp16-l4`", "x-default" = "the first ONNX variant",
            "x-also" = ["model", "platform"])
    )]
    pub variant: Option<String>,
    /// Memory that all loaded models together may use.
    #[schemars(extend("x-example" = "8 GiB", "x-also" = ["memory_budget", "memory_limit", "budget"]))]
    pub memory: MemorySize,
    /// Threads of one inference.
    #[schemars(range(min = 1), extend("x-example" = 1, "x-also" = ["threads"]))]
    pub intra_op_threads: usize,
    /// What runs the models: planforge itself, a Triton that it starts as the AWS image does, or a container that runs
    /// already and speaks SageMaker's contract.
    #[schemars(extend("x-example" = "triton", "x-default" = "embedded", "x-also" = ["server", "engine", "runtime"]))]
    pub container: HostContainer,
    /// The program `tritonserver` for `container = "triton"`.
    #[schemars(extend("x-example" = "/opt/tritonserver/bin/tritonserver", "x-allowed" = "a path to the program", "x-default" = "the one that `scripts/setup` fetches"))]
    pub tritonserver: Option<PathBuf>,
    /// Folder that a running container sees as `/opt/ml/models`.
    #[schemars(extend("x-example" = "/opt/ml/models", "x-allowed" = "a path to a folder", "x-default" = "`/opt/ml/models`"))]
    pub container_models: Option<PathBuf>,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            variant: None,
            memory: MemorySize(ByteSize::gib(1)),
            intra_op_threads: 1,
            container: HostContainer::Embedded,
            tritonserver: None,
            container_models: None,
        }
    }
}

/// What runs the models of the local endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("x-allowed" = "`embedded`, `triton`, or an address such as `http://127.0.0.1:8080`"))]
pub enum HostContainer {
    /// planforge itself.
    #[default]
    Embedded,
    /// Triton, started for the endpoint.
    Triton,
    /// A container at this IP address and port.
    Address(SocketAddr),
}

impl TryFrom<String> for HostContainer {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.as_str() {
            "embedded" => return Ok(Self::Embedded),
            "triton" => return Ok(Self::Triton),
            _ => {}
        }
        let address =
            text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').replace("localhost", "127.0.0.1"));
        address.and_then(|address| address.parse().ok()).map(Self::Address).ok_or_else(|| {
            format!("invalid container `{text}`; expected `embedded`, `triton`, or an IP address and port such as `http://127.0.0.1:8080`")
        })
    }
}

impl From<HostContainer> for String {
    fn from(container: HostContainer) -> Self {
        match container {
            HostContainer::Embedded => "embedded".to_owned(),
            HostContainer::Triton => "triton".to_owned(),
            HostContainer::Address(address) => format!("http://{address}"),
        }
    }
}

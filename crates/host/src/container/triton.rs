//! Triton as the AWS image starts it.

use super::contract::default_place;
use super::isolated::{IsolatedRequest, IsolatedServer};
use crate::Result;
use crate::options::TritonOptions;
use std::collections::BTreeMap;
use std::path::Path;

/// The port of SageMaker's containers. The network is the server's own.
const PORT: u16 = 8080;

/// Starts a server that sees `folder` where SageMaker's containers expect models; its repository is next to that folder.
///
/// # Errors
/// As [`IsolatedServer::start`], and I/O errors of the folders.
pub(crate) fn start_triton(options: &TritonOptions, folder: &Path) -> Result<IsolatedServer> {
    let repository = folder.with_extension("repository");
    fs_err::create_dir_all(&repository)?;
    fs_err::create_dir_all(folder)?;
    let mut arguments = vec![
        "--allow-sagemaker=true".to_owned(),
        "--allow-http=false".to_owned(),
        "--allow-grpc=false".to_owned(),
        "--allow-metrics=false".to_owned(),
        "--model-control-mode=explicit".to_owned(),
        "--model-namespacing=true".to_owned(),
        format!("--sagemaker-port={PORT}"),
        format!("--model-repository={}", repository.display()),
    ];
    arguments.extend(options.backends.iter().map(|folder| format!("--backend-directory={}", folder.display())));
    arguments.extend(options.arguments.iter().cloned());
    let environment = [("SAGEMAKER_MULTI_MODEL", "true"), ("SAGEMAKER_TRITON_PING_MODE", "live")];
    let request = IsolatedRequest {
        program: options.server.clone(),
        arguments,
        environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        port: PORT,
        folder: folder.to_owned(),
        place: default_place().to_owned(),
        log: options.log.clone(),
    };
    IsolatedServer::start(&options.program, &options.program_arguments, &request)
}

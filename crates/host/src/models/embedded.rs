//! Opens models in this process.

use super::model::{EmbeddedModel, Runner};
use crate::api_error::{ApiError, with_causes};
use crate::blocking::blocking;
use crate::infer::Interface;
use crate::model_folder::ModelFolder;
use crate::options::EngineOptions;
use crate::resident::make_resident;
use planforge_package::UnpackedModel;
use planforge_runtime::{EngineModel, ExecutionOptions, Gpu, OnnxSession, Session, SessionOptions};
use planforge_triton_config::Backend;

/// Opens a session. As in a server, working memory comes from an arena, which keeps what the largest request so far needed.
pub(super) async fn open(
    target_model: &str,
    unpacked: UnpackedModel,
    folder: ModelFolder,
    intra_op_threads: usize,
    engines: Option<EngineOptions>,
) -> Result<Runner, ApiError> {
    let options = SessionOptions { intra_op_threads, arena: true, ..SessionOptions::default() };
    let place = format!("{}/", folder.path().display());
    let work = move || {
        let fail = |error: &dyn std::error::Error| with_causes(error);
        let session = match engines.filter(|_| unpacked.backend == Backend::TensorrtRtx) {
            Some(engines) => open_engine(&engines, &unpacked),
            None => OnnxSession::load(&unpacked.model_file, &options).map(|session| Session::Onnx(Box::new(session))),
        };
        let session = session.map_err(|error| fail(&error))?;
        let interface = Interface::new(&unpacked, session.inputs(), session.outputs())?;
        make_resident(folder.path()).map_err(|error| fail(&error))?;
        Ok(Runner::Embedded(EmbeddedModel::new(session, interface, folder)))
    };
    let opened: Result<Runner, String> = blocking(work).await?;
    // Paths are those in the archive.
    opened.map_err(|text| ApiError::load_failed(target_model, &text.replace(&place, "")))
}

/// Every copy has weights of its own, as on SageMaker.
fn open_engine(engines: &EngineOptions, unpacked: &UnpackedModel) -> planforge_runtime::Result<Session> {
    let mut plan = &unpacked.model_file;
    if !unpacked.files_by_capability.is_empty() {
        let capability = Gpu::open(engines.gpu)?.facts().compute_capability;
        // The error of another GPU's engine names the GPU it is for.
        plan = unpacked.files_by_capability.get(&capability.to_string()).unwrap_or(plan);
    }
    let engine = EngineModel::load(&engines.library, plan, engines.gpu)?;
    Ok(Session::Engine(Box::new(engine.session(ExecutionOptions::default())?)))
}

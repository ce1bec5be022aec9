//! ONNX Runtime, opened for the stages that run models.

use crate::Result;
use crate::context::PipelineContext;

/// Opens ONNX Runtime, unless it is open, and returns its version.
pub(crate) fn load_onnx_runtime(context: &PipelineContext) -> Result<String> {
    let path = context.options.native.existing_onnx_runtime()?;
    Ok(planforge_runtime::load_library(&path)?)
}

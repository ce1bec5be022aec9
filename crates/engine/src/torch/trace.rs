//! From an architecture to what libtorch saves of its trace.

use super::failure::failed;
use super::interpreter::Torch;
use crate::Result;
use crate::arch::Architecture;
use std::path::Path;
use tch::{CModule, Tensor};

/// Name of the module's class.
const CLASS: &str = "Model";

/// Runs `architecture` once as it is, which loads the weights and finds every mistake, and once traced; writes the
/// module to `path`.
///
/// # Errors
/// Those of the architecture and its weights, and libtorch's.
pub(super) fn trace(architecture: &Architecture, torch: &mut Torch<'_>, path: &Path) -> Result<()> {
    // There is little to compute; threads would wait for each other where processors are busy.
    tch::set_num_threads(1);
    tch::no_grad(|| {
        architecture.forward(torch)?;
        torch.outputs()?;
        let inputs = torch.inputs();
        let mut failure = None;
        let traced = CModule::create_by_tracing(CLASS, "forward", &inputs, &mut |_| {
            torch.rewind();
            let outputs = architecture.forward(torch).and_then(|()| torch.outputs()).and_then(as_one);
            outputs.unwrap_or_else(|error| {
                failure = Some(error);
                Vec::new()
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => traced.and_then(|module| module.save(path)).map_err(|error| failed("trace", &error)),
        }
    })
}

/// libtorch's tracer, as tch offers it, returns one tensor. Several outputs go into an operation that takes a list of
/// any shapes, and [`super::archive`] puts a tuple in its place.
fn as_one(outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    if outputs.len() == 1 {
        return Ok(outputs);
    }
    let mut letters = 'a'..='z';
    let indices = |output: &Tensor| letters.by_ref().take(output.dim()).collect::<String>();
    let equation = outputs.iter().map(indices).collect::<Vec<_>>().join(",");
    let one = Tensor::f_einsum(&format!("{equation}->"), &outputs, None::<&[i64]>);
    one.map(|one| vec![one]).map_err(|error| failed("einsum", &error))
}

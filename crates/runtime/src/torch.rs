//! TorchScript modules on the CPU or a GPU, through libtorch.

use crate::check::check_inputs;
use crate::{Device, Error, Result, SessionOptions, Tensor, TensorValues};
use half::{bf16, f16};
use planforge_core::TensorSpec;
use std::path::{Path, PathBuf};
use tch::kind::Element;
use tch::{CModule, Cuda, IValue, Kind, TchError};

/// A loaded TorchScript module. Dropping it frees its weights.
#[derive(Debug)]
pub struct TorchSession {
    path: PathBuf,
    module: CModule,
    device: tch::Device,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl TorchSession {
    /// Loads the module file `module`, which takes `inputs` by position and returns `outputs` in this order: a
    /// TorchScript file names neither. Of the options, the device counts, and the threads of one operator, which are those
    /// of the whole process from now on: the modules that planforge writes have no operators that run at the same time,
    /// and libtorch's allocator is not to be chosen.
    ///
    /// # Errors
    /// [`Error::Io`] for a missing file, [`Error::NoCudaForTorch`], [`Error::Torch`] for one that libtorch refuses.
    pub fn load(
        module: &Path,
        (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
        options: &SessionOptions,
    ) -> Result<Self> {
        let path = fs_err::canonicalize(module)?;
        let device = torch_device(options.device)?;
        tch::set_num_threads(i32::try_from(options.intra_op_threads).unwrap_or(1).max(1));
        let module = CModule::load_on_device(&path, device).map_err(|error| failed(&path, &error))?;
        Ok(Self { path, module, device, inputs: inputs.to_vec(), outputs: outputs.to_vec() })
    }

    /// Runs the module on `inputs` and returns all outputs.
    ///
    /// # Errors
    /// A mistake in the inputs, found before anything runs, or [`Error::Torch`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        check_inputs(&self.inputs, &inputs.iter().map(Tensor::view).collect::<Vec<_>>())?;
        let given = self.inputs.iter().filter_map(|spec| inputs.iter().find(|input| input.name == spec.name));
        let run = || {
            let values = given
                .map(|input| Ok(IValue::Tensor(to_torch(input)?.f_to_device(self.device)?)))
                .collect::<Computed<Vec<_>>>()?;
            let found = match tch::no_grad(|| self.module.forward_is(&values))? {
                IValue::Tensor(tensor) => vec![tensor],
                IValue::Tuple(values) => values.into_iter().map(tch::Tensor::try_from).collect::<Computed<_>>()?,
                other => return Err(TchError::Kind(format!("the module returns {other:?}"))),
            };
            if found.len() != self.outputs.len() {
                let (found, expected) = (found.len(), self.outputs.len());
                return Err(TchError::Kind(format!("the module returns {found} tensors, expected {expected}")));
            }
            self.outputs.iter().zip(&found).map(|(spec, tensor)| from_torch(&spec.name, tensor)).collect()
        };
        run().map_err(|error| failed(&self.path, &error))
    }
}

type Computed<T> = std::result::Result<T, TchError>;

fn torch_device(device: Device) -> Result<tch::Device> {
    let Device::Cuda(number) = device else { return Ok(tch::Device::Cpu) };
    let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    match usize::try_from(number) {
        Ok(index) if i64::from(number) < count => Ok(tch::Device::Cuda(index)),
        _ => Err(Error::NoCudaForTorch { number, count }),
    }
}

/// libtorch's account, without the addresses in its library that follow.
fn failed(path: &Path, error: &TchError) -> Error {
    let message = error.to_string();
    let message = message.split("Exception raised from").next().unwrap_or_default();
    let words: Vec<&str> = message.split_whitespace().collect();
    Error::Torch { path: path.to_owned(), message: words.join(" ") }
}

fn to_torch(tensor: &Tensor) -> Computed<tch::Tensor> {
    let flat = match &tensor.values {
        TensorValues::Fp32(values) => tch::Tensor::f_from_slice(values),
        TensorValues::Fp16(values) => tch::Tensor::f_from_slice(values),
        TensorValues::Bf16(values) => tch::Tensor::f_from_slice(values),
        TensorValues::Int64(values) => tch::Tensor::f_from_slice(values),
        TensorValues::Int32(values) => tch::Tensor::f_from_slice(values),
        TensorValues::Bool(values) => tch::Tensor::f_from_slice(values),
    }?;
    flat.f_reshape(tensor.shape.iter().map(|&size| size as i64).collect::<Vec<_>>().as_slice())
}

fn from_torch(name: &str, tensor: &tch::Tensor) -> Computed<Tensor> {
    let values = match tensor.f_kind()? {
        Kind::Float => TensorValues::Fp32(elements(tensor)?),
        Kind::Half => TensorValues::Fp16(elements::<f16>(tensor)?),
        Kind::BFloat16 => TensorValues::Bf16(elements::<bf16>(tensor)?),
        Kind::Int64 => TensorValues::Int64(elements(tensor)?),
        Kind::Int => TensorValues::Int32(elements(tensor)?),
        Kind::Bool => TensorValues::Bool(elements(tensor)?),
        other => return Err(TchError::Kind(format!("output `{name}` has type {other:?}"))),
    };
    let shape = tensor.size().iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    Ok(Tensor { name: name.to_owned(), shape, values })
}

fn elements<T: Element + Clone + Default>(tensor: &tch::Tensor) -> Computed<Vec<T>> {
    let mut values = vec![T::default(); tensor.numel()];
    tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

//! A checkpoint's tensors as libtorch's, each read once.

use super::failure::failed;
use crate::Result;
use crate::checkpoint::{Checkpoint, Parameters, TensorIdentity};
use crate::convert::convert_tensor;
use crate::onnx::WeightUse;
use crate::reporter::Reporter;
use planforge_core::DataType;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// The weights of one export.
pub(super) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    parameters: &'a mut Parameters,
    reporter: Reporter<'a>,
    used: BTreeMap<String, WeightUse>,
    /// By file, place and bytes of an element: what two names share is one tensor.
    loaded: BTreeMap<(usize, TensorIdentity, usize), Rc<Tensor>>,
    read_byte_count: u64,
}

impl<'a> Weights<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, parameters: &'a mut Parameters, reporter: Reporter<'a>) -> Self {
        let (used, loaded) = (BTreeMap::new(), BTreeMap::new());
        Self { checkpoint, parameters, reporter, used, loaded, read_byte_count: 0 }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.parameters.contains(name)
    }

    /// Those taken so far, by name.
    pub(super) fn used(&self) -> impl Iterator<Item = &WeightUse> {
        self.used.values()
    }

    /// The tensor of this full name and shape as `data_type`, and whether it is a parameter.
    ///
    /// # Errors
    /// Missing and misshapen tensors, values that the type cannot hold, I/O errors, and cancellation.
    pub(super) fn take(
        &mut self,
        name: &str,
        shape: &[usize],
        data_type: DataType,
        trained: bool,
    ) -> Result<Rc<Tensor>> {
        let source = self.parameters.take(name, shape)?;
        let key = (source.file, source.tensor.identity(), data_type.byte_count());
        let weight = WeightUse { name: name.to_owned(), source, data_type, trained };
        let tensor = match self.loaded.get(&key) {
            Some(tensor) => Rc::clone(tensor),
            None => {
                let tensor = Rc::new(self.read(&weight)?);
                self.loaded.insert(key, Rc::clone(&tensor));
                tensor
            }
        };
        self.used.insert(name.to_owned(), weight);
        Ok(tensor)
    }

    fn read(&mut self, weight: &WeightUse) -> Result<Tensor> {
        let shape = &weight.source.tensor.shape;
        let mut bytes = Vec::with_capacity(weight.data_type.bytes_of(shape.iter().product()));
        convert_tensor(self.checkpoint, weight, &mut bytes, self.reporter.progress)?;
        self.read_byte_count += weight.source.tensor.byte_count;
        self.reporter.advanced(self.read_byte_count);
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        Tensor::f_from_data_size(&bytes, &sizes, kind(weight.data_type)).map_err(|error| failed(&weight.name, &error))
    }
}

/// libtorch's name of an element type.
pub(super) const fn kind(data_type: DataType) -> Kind {
    match data_type {
        DataType::Fp32 => Kind::Float,
        DataType::Fp16 => Kind::Half,
        DataType::Bf16 => Kind::BFloat16,
        DataType::Int64 => Kind::Int64,
        DataType::Int32 => Kind::Int,
        DataType::Bool => Kind::Bool,
    }
}

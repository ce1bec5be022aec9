//! The state of running an architecture on libtorch.

use super::failure::failed;
use super::weights::{Weights, kind};
use crate::{Error, ExportOptions, Result};
use planforge_core::{DataType, Dim, Precision, TensorSpec, TokenType};
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, TchError, Tensor};

/// Size of the batch that the first run makes up.
const BATCH: i64 = 2;
/// Length of its texts, where the position table has as many rows.
const SEQUENCE: i64 = 3;

/// Interpreter of [`crate::Ops`] that runs each operation as it is written.
///
/// What depends on the batch or the sequence is taken from tensors, never from their sizes as numbers: under
/// tracing, numbers would become part of the graph.
pub(super) struct Torch<'a> {
    pub(super) weights: Weights<'a>,
    /// Tables of numbers by name, made in the first run: what libtorch makes while it traces becomes an operation.
    tables: BTreeMap<String, Value>,
    precision: Precision,
    token_type: TokenType,
    sequence: i64,
    inputs: Vec<(TensorSpec, Rc<Tensor>)>,
    next_input: usize,
    outputs: Vec<(TensorSpec, Value)>,
    failure: Option<Error>,
}

/// A value; none after an operation that failed, and what follows from it.
#[derive(Debug, Clone)]
pub(super) struct Value(Option<Rc<Tensor>>);

impl From<Rc<Tensor>> for Value {
    fn from(tensor: Rc<Tensor>) -> Self {
        Self(Some(tensor))
    }
}

/// Result of one of libtorch's operations.
pub(super) type Computed = std::result::Result<Tensor, TchError>;

impl<'a> Torch<'a> {
    /// Nothing run yet. Texts have at most `max_sequence` tokens.
    pub(super) fn new(options: &ExportOptions, max_sequence: Option<u64>, weights: Weights<'a>) -> Self {
        let most = max_sequence.and_then(|most| i64::try_from(most).ok()).unwrap_or(SEQUENCE);
        let (inputs, outputs) = (Vec::new(), Vec::new());
        let sequence = SEQUENCE.min(most).max(1);
        let tables = BTreeMap::new();
        let (precision, token_type) = (options.precision, options.token_type);
        Self { weights, tables, precision, token_type, sequence, inputs, next_input: 0, outputs, failure: None }
    }

    /// Inputs and outputs, in order.
    pub(super) fn interface(&self) -> (Vec<TensorSpec>, Vec<TensorSpec>) {
        let inputs = self.inputs.iter().map(|(spec, _)| spec.clone()).collect();
        (inputs, self.outputs.iter().map(|(spec, _)| spec.clone()).collect())
    }

    /// The input as the module takes it: tokens in their type.
    pub(super) fn given(&self, spec: &TensorSpec) -> TensorSpec {
        TensorSpec { data_type: self.token_type.of_input(spec.data_type), ..spec.clone() }
    }

    /// The inputs of the last run.
    pub(super) fn inputs(&self) -> Vec<Tensor> {
        self.inputs.iter().map(|(_, tensor)| tensor.shallow_clone()).collect()
    }

    /// The outputs of the last run.
    ///
    /// # Errors
    /// The first operation that failed.
    pub(super) fn outputs(&mut self) -> Result<Vec<Tensor>> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.outputs.iter().filter_map(|(_, value)| Some(value.0.as_ref()?.shallow_clone())).collect()),
        }
    }

    /// Forgets the outputs, so that the architecture can be run on the same inputs and weights again.
    pub(super) fn rewind(&mut self) {
        self.next_input = 0;
        self.outputs.clear();
    }

    /// The input of the earlier run, or one of zeros, which are a token and a colour everywhere.
    pub(super) fn next_input(&mut self, spec: &TensorSpec) -> Value {
        if self.next_input == self.inputs.len() {
            let size = |dim: &Dim| match dim {
                Dim::Fixed(size) => *size as i64,
                Dim::Dynamic(name) if name == "batch" => BATCH,
                Dim::Dynamic(_) => self.sequence,
            };
            let sizes: Vec<i64> = spec.dims.iter().map(size).collect();
            let zeros = Tensor::f_zeros(&sizes, (kind(spec.data_type), Device::Cpu));
            let Value(Some(zeros)) = self.keep(&spec.name, zeros) else { return Value(None) };
            self.inputs.push((spec.clone(), zeros));
        }
        let (_, tensor) = &self.inputs[self.next_input];
        self.next_input += 1;
        Value(Some(Rc::clone(tensor)))
    }

    pub(super) fn add_output(&mut self, spec: &TensorSpec, value: &Value) {
        let value = self.cast(value, kind(spec.data_type));
        self.outputs.push((spec.clone(), value));
    }

    /// Type of weights and matrix products.
    pub(super) const fn compute_kind(&self) -> Kind {
        kind(self.precision.data_type())
    }

    /// The parameter of this full name, which must have this shape, in the precision of the export.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        self.weights.take(name, shape, self.precision.data_type(), true).map(Value::from)
    }

    /// The tensor of this full name, which is kept in binary32, and whether it is a parameter.
    pub(super) fn wide(&mut self, name: &str, shape: &[usize], trained: bool) -> Result<Value> {
        self.weights.take(name, shape, DataType::Fp32, trained).map(Value::from)
    }

    /// A list of numbers under a name of its own.
    pub(super) fn table(&mut self, name: &str, numbers: &[i64]) -> Value {
        if let Some(table) = self.tables.get(name) {
            return table.clone();
        }
        let table = self.keep(name, Tensor::f_from_slice(numbers));
        self.tables.insert(name.to_owned(), table.clone());
        table
    }

    /// Runs `operation`, which errors call `name`, unless one of its inputs failed.
    pub(super) fn run<const N: usize>(
        &mut self,
        name: &str,
        inputs: [&Value; N],
        operation: impl FnOnce([&Tensor; N]) -> Computed,
    ) -> Value {
        let tensors: Vec<&Tensor> = inputs.iter().filter_map(|value| value.0.as_deref()).collect();
        match <[&Tensor; N]>::try_from(tensors) {
            Ok(tensors) => self.keep(name, operation(tensors)),
            Err(_) => Value(None),
        }
    }

    /// `value` as another type.
    pub(super) fn cast(&mut self, value: &Value, kind: Kind) -> Value {
        self.run("to", [value], |[x]| {
            if x.f_kind()? == kind { Ok(x.shallow_clone()) } else { x.f_to_dtype(kind, false, false) }
        })
    }

    fn keep(&mut self, name: &str, computed: Computed) -> Value {
        match computed {
            Ok(tensor) => Value(Some(Rc::new(tensor))),
            Err(error) => {
                self.failure.get_or_insert_with(|| failed(name, &error));
                Value(None)
            }
        }
    }
}

//! Nodes of one kind each, and the type that arithmetic runs in.

use super::graph::{OnnxGraph, Value};
use crate::Scope;
use crate::ops::{AttentionShape, Window};
use planforge_core::DataType;
use planforge_onnx::AttributeProto;

impl OnnxGraph<'_> {
    /// Arithmetic in the precision of the export. A value that must stay in binary32 is computed in binary32,
    /// and so is what is computed from one; only the result goes back to the precision of the export.
    pub(super) fn compute(
        &mut self,
        op: &str,
        hint: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        let compute = self.compute_type();
        let wide = self.is_wide(hint);
        let value = if !wide && inputs.iter().all(|input| input.data_type == compute) {
            self.node(op, hint, inputs, attributes, compute)
        } else {
            let inputs: Vec<_> = inputs.iter().map(|input| self.cast(input, DataType::Fp32)).collect();
            self.node(op, hint, &inputs.iter().collect::<Vec<_>>(), attributes, DataType::Fp32)
        };
        self.note_computed(&value);
        if wide { value } else { self.cast(&value, compute) }
    }

    pub(super) fn compute_binary(&mut self, op: &str, hint: &str, a: &Value, b: &Value) -> Value {
        self.compute(op, hint, &[a, b], Vec::new())
    }

    /// Two inputs and the result of one type.
    pub(super) fn binary(&mut self, op: &str, hint: &str, a: &Value, b: &Value) -> Value {
        self.node(op, hint, &[a, b], Vec::new(), a.data_type)
    }

    pub(super) fn transpose(&mut self, hint: &str, x: &Value, permutation: &[i64]) -> Value {
        self.node("Transpose", hint, &[x], vec![AttributeProto::ints("perm", permutation)], x.data_type)
    }

    pub(super) fn reshape(&mut self, hint: &str, x: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", hint, &[x, &shape], Vec::new(), x.data_type)
    }

    pub(super) fn unsqueeze(&mut self, hint: &str, x: &Value, axes: &[i64]) -> Value {
        let axes = self.integers(axes);
        self.node("Unsqueeze", hint, &[x, &axes], Vec::new(), x.data_type)
    }

    /// Rows of `table` along `axis`.
    pub(super) fn gather(&mut self, hint: &str, table: &Value, index: &Value, axis: i64) -> Value {
        self.node("Gather", hint, &[table, index], vec![AttributeProto::int("axis", axis)], table.data_type)
    }

    /// The first rows of `table`, as many as `ids` has columns.
    pub(super) fn leading(&mut self, scope: &Scope, table: &Value, ids: &Value) -> Value {
        let length = self.size(&scope.tensor("length"), ids, 1);
        let (start, axis) = (self.integers(&[0]), self.integers(&[0]));
        self.node("Slice", &scope.tensor("rows"), &[table, &start, &length, &axis], Vec::new(), table.data_type)
    }

    /// Size of one dimension as a list of one integer.
    pub(super) fn size(&mut self, hint: &str, x: &Value, dimension: i64) -> Value {
        let range = vec![AttributeProto::int("start", dimension), AttributeProto::int("end", dimension + 1)];
        self.node("Shape", hint, &[x], range, DataType::Int64)
    }

    /// `[batch, sequence, width]` to `[batch, heads, sequence, head_width]`, or with the last two axes swapped.
    pub(super) fn split_heads(&mut self, hint: &str, shape: AttentionShape, x: &Value, permutation: &[i64]) -> Value {
        let heads = self.reshape(&format!("{hint}/heads"), x, &[0, 0, shape.heads as i64, shape.head_width as i64]);
        self.transpose(hint, &heads, permutation)
    }
}

/// A window as `Conv` and `MaxPool` take it.
pub(super) fn window_attributes(window: Window) -> Vec<AttributeProto> {
    let Window { size, stride, padding } = window;
    vec![
        AttributeProto::ints("kernel_shape", &[size as i64; 2]),
        AttributeProto::ints("pads", &[padding as i64; 4]),
        AttributeProto::ints("strides", &[stride as i64; 2]),
    ]
}

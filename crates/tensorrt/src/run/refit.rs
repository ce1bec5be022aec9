//! Putting weights into an engine that was built without, as `NvInferRuntime.h` of TensorRT-RTX 1.7 asks for (`IRefitter`).
//!
//! Weights are passed by their address in the host's memory; the library copies them to the GPU before it returns. The
//! parser's own refitter (`IParserRefitter`) would need the graph and the parser's library wherever an engine is loaded, and
//! would read the weights itself; what it does is known from the build instead.
#![expect(unsafe_code, reason = "the library's interface is in C++")]

use super::messages::{clear_messages, messages};
use super::native::NativeEngine;
use crate::types::data_type_name;
use crate::{Error, Result};
use cxx::UniquePtr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::path::Path;
use trtx::trtx_sys::{self, DataType, Weights, nvinfer1};

/// Weights that an error names.
const NAMED: usize = 3;

/// A weight's elements in the order of the graph.
#[derive(Debug, Clone, Copy)]
pub struct WeightValues<'a> {
    /// Its name in the engine.
    pub name: &'a str,
    /// KServe name of its element type.
    pub data_type: &'a str,
    /// Its number of elements.
    pub element_count: u64,
    /// The elements, aligned to their size.
    pub bytes: &'a [u8],
}

/// A call that writes at most this number of names, and returns how many there are.
type NamesCall = unsafe extern "C" fn(*mut c_void, i32, *mut *const c_char) -> i32;

/// What puts weights into an engine.
pub(super) struct NativeRefitter<'a> {
    refitter: UniquePtr<nvinfer1::IRefitter>,
    _engine: PhantomData<&'a mut NativeEngine>,
}

impl NativeRefitter<'_> {
    /// `refitter` is of an engine that stays for as long as the result.
    pub(super) const fn new(refitter: UniquePtr<nvinfer1::IRefitter>) -> Self {
        Self { refitter, _engine: PhantomData }
    }

    /// Puts the weights that the engine asks for into it.
    pub(super) fn refit(mut self, plan: &Path, weights: &[WeightValues<'_>]) -> Result<()> {
        let given: BTreeMap<&str, &WeightValues<'_>> = weights.iter().map(|weight| (weight.name, weight)).collect();
        let asked = self.names(trtx_sys::trtx_refitter_get_all_weights);
        let absent: Vec<&str> = asked.iter().map(String::as_str).filter(|name| !given.contains_key(name)).collect();
        if !absent.is_empty() {
            return Err(missing(plan, &absent));
        }
        for name in &asked {
            self.set(plan, given[name.as_str()])?;
        }
        let missed = self.names(trtx_sys::trtx_refitter_get_missing_weights);
        if !missed.is_empty() {
            return Err(missing(plan, &missed.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        clear_messages();
        if !self.refitter.pin_mut().refitCudaEngine() {
            return Err(Error::Refit { path: plan.to_owned(), log: messages() });
        }
        // Where it cannot give back what it took on the GPU, the engine is right nevertheless.
        let _ = self.refitter.pin_mut().releaseRefitResources();
        Ok(())
    }

    fn set(&mut self, plan: &Path, weight: &WeightValues<'_>) -> Result<()> {
        let name = CString::new(weight.name).expect("it is the engine's own name, which is a C string");
        // SAFETY: the name is a C string.
        let prototype = unsafe { self.refitter.getWeightsPrototype(name.as_ptr()) };
        let data_type = DataType::from(prototype.type_.clone());
        let (found, expected) = (
            (weight.element_count, weight.data_type),
            (u64::try_from(prototype.count).unwrap_or(0), data_type_name(data_type)),
        );
        if found != expected {
            let text = |(count, data_type): (u64, &str)| format!("{count} elements of type {data_type}");
            let (path, name) = (plan.to_owned(), weight.name.to_owned());
            return Err(Error::WeightValues { path, name, found: text(found), expected: text(expected) });
        }
        let bits = weight.element_count.saturating_mul(data_type.size_bits() as u64);
        if weight.bytes.len() as u64 != bits / 8 {
            let (path, name) = (plan.to_owned(), weight.name.to_owned());
            let (found, expected) = (format!("{} bytes", weight.bytes.len()), format!("{}", bits / 8));
            return Err(Error::WeightValues { path, name, found, expected });
        }
        let values =
            Weights { type_: prototype.type_.clone(), values: weight.bytes.as_ptr().cast(), count: prototype.count };
        clear_messages();
        // SAFETY: the name is a C string; the bytes are as many as type and count say, and outlive this object, which is
        // consumed by the one call that also borrows them.
        let is_set = unsafe { self.refitter.pin_mut().setNamedWeights(name.as_ptr(), values) };
        if is_set { Ok(()) } else { Err(Error::Refit { path: plan.to_owned(), log: messages() }) }
    }

    /// The names that a call gives; a weight without a name is identified by its index.
    fn names(&self, call: NamesCall) -> Vec<String> {
        let refitter = self.refitter.as_ptr().cast_mut().cast();
        // Without an address the bridge to C++ gives 0.
        let mut nowhere = std::ptr::null();
        // SAFETY: without room for names the call gives their number alone.
        let count = unsafe { call(refitter, 0, &raw mut nowhere) };
        let mut names = vec![std::ptr::null(); usize::try_from(count).unwrap_or(0)];
        // SAFETY: there is room for this number of names.
        let count = unsafe { call(refitter, count.max(0), names.as_mut_ptr()) };
        names.truncate(usize::try_from(count).unwrap_or(0));
        let name = |(place, name): (usize, &*const c_char)| {
            if name.is_null() {
                return format!("without a name, number {place}");
            }
            // SAFETY: the names are C strings that live as long as the engine.
            unsafe { CStr::from_ptr(*name) }.to_string_lossy().into_owned()
        };
        names.iter().enumerate().map(name).collect()
    }
}

fn missing(plan: &Path, names: &[&str]) -> Error {
    let shown: Vec<_> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let rest = names.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    Error::MissingWeights { path: plan.to_owned(), count: names.len(), names: format!("{}{more}", shown.join(", ")) }
}

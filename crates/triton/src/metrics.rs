//! A model that runs nothing: it tells what memory the server's GPUs and its host have, so that a measurement can ask for
//! that through the endpoint.

use crate::batch::RequestTensors;
use crate::execute::{Answers, Computed};
use crate::{Error, Result};
use bytemuck::cast_slice;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use planforge_core::{
    DataType, GPU_MEMORY_TOTAL, GPU_MEMORY_USED, GPU_UTILIZATION, HOST_MEMORY_AVAILABLE, HOST_MEMORY_TOTAL,
    SERVER_MEMORY_RESIDENT,
};
use planforge_runtime::TensorView;

/// Where the readings come from.
pub(crate) struct Metrics {
    /// None where there is no driver, and so no GPU.
    nvml: Option<Nvml>,
}

/// The values of an output.
type Reading = (&'static str, Vec<i64>);

impl Metrics {
    /// Opens NVIDIA's management library, which comes with the driver.
    pub(crate) fn open() -> Self {
        Self { nvml: Nvml::init().ok() }
    }

    /// How many GPUs are read.
    pub(crate) fn gpu_count(&self) -> u32 {
        self.nvml.as_ref().and_then(|nvml| nvml.device_count().ok()).unwrap_or(0)
    }

    /// Answers each request with readings of its own.
    pub(crate) fn answer_all(&self, requests: &[RequestTensors<'_>], answers: &mut dyn Answers) {
        for (index, request) in requests.iter().enumerate() {
            let begun = answers.now();
            let readings = self.read();
            let computed = Computed { begun, start: begun, end: answers.now() };
            match readings {
                Ok(readings) => {
                    let wanted = |(name, _): &&Reading| request.outputs.iter().any(|output| output == name);
                    let shapes: Vec<[usize; 1]> = readings.iter().map(|(_, values)| [values.len()]).collect();
                    let views = readings.iter().zip(&shapes).filter(|(reading, _)| wanted(reading));
                    let views: Vec<TensorView<'_>> = views.map(|(reading, shape)| view(reading, shape)).collect();
                    answers.ran(1, computed);
                    answers.answer(index, Ok(&views), computed);
                }
                Err(error) => answers.answer(index, Err(error), computed),
            }
        }
    }

    fn read(&self) -> Result<Vec<Reading>> {
        let gpus = self.nvml.as_ref().map_or(Ok(Vec::new()), gpus).map_err(Error::Gpu)?;
        let column = |name, index: usize| (name, gpus.iter().map(|gpu| gpu[index]).collect::<Vec<i64>>());
        let memory = fs_err::read_to_string("/proc/meminfo")?;
        let own = fs_err::read_to_string("/proc/self/status")?;
        Ok(vec![
            column(GPU_MEMORY_TOTAL, 0),
            column(GPU_MEMORY_USED, 1),
            column(GPU_UTILIZATION, 2),
            (HOST_MEMORY_TOTAL, vec![kibibytes(&memory, "MemTotal:")]),
            (HOST_MEMORY_AVAILABLE, vec![kibibytes(&memory, "MemAvailable:")]),
            (SERVER_MEMORY_RESIDENT, vec![kibibytes(&own, "VmRSS:")]),
        ])
    }
}

/// Of each GPU: bytes in all, bytes taken, percent in use.
fn gpus(nvml: &Nvml) -> std::result::Result<Vec<[i64; 3]>, NvmlError> {
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    (0..nvml.device_count()?)
        .map(|index| {
            let device = nvml.device_by_index(index)?;
            let memory = device.memory_info()?;
            // Slices of a GPU (MIG) do not tell.
            let utilization = device.utilization_rates().map_or(0, |rates| rates.gpu);
            Ok([bytes(memory.total), bytes(memory.used), i64::from(utilization)])
        })
        .collect()
}

/// The line of the kernel's account that starts with `key`, in bytes; 0 where there is none.
fn kibibytes(text: &str, key: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<i64>().ok());
    number.unwrap_or(0) * 1024
}

fn view<'a>((name, values): &'a Reading, shape: &'a [usize]) -> TensorView<'a> {
    TensorView { name, data_type: DataType::Int64, shape, bytes: cast_slice(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::metrics_outputs;

    /// What a request got.
    #[derive(Default)]
    struct Got(Vec<(String, Vec<i64>)>);

    impl Answers for Got {
        fn now(&self) -> u64 {
            0
        }

        fn answer(&mut self, _: usize, outputs: Result<&[TensorView<'_>]>, _: Computed) {
            let values = |output: &TensorView<'_>| (output.name.to_owned(), bytemuck::pod_collect_to_vec(output.bytes));
            self.0.extend(outputs.unwrap().iter().map(values));
        }

        fn ran(&mut self, _: usize, _: Computed) {}
    }

    #[test]
    fn every_output_is_read_and_only_what_is_asked_for_is_given() {
        let (metrics, mut got) = (Metrics { nvml: None }, Got::default());
        let names: Vec<String> = metrics_outputs().into_iter().map(|output| output.name).collect();
        metrics.answer_all(&[RequestTensors { inputs: Vec::new(), outputs: names.clone() }], &mut got);
        assert_eq!(got.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
        assert!(got.0[..3].iter().all(|(_, values)| values.is_empty()));
        assert!(got.0[3..].iter().all(|(_, values)| values[0] > 1 << 20), "{:?}", got.0);
        let mut one = Got::default();
        metrics.answer_all(&[RequestTensors { inputs: Vec::new(), outputs: names[4..5].to_vec() }], &mut one);
        assert_eq!(one.0.len(), 1);
    }

    #[test]
    fn the_kernels_account_is_in_kibibytes() {
        assert_eq!(kibibytes("MemFree: 1 kB\nMemTotal:       24576 kB\n", "MemTotal:"), 24576 * 1024);
        assert_eq!(kibibytes("", "MemTotal:"), 0);
    }
}

//! How an engine is run.

/// How an engine is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecutionOptions {
    /// Whether the library records all kernels of a set of shapes as one CUDA graph, and starts that from then on.
    pub cuda_graphs: bool,
    /// When kernels are compiled for the very shapes that an engine with dynamic dimensions is run with.
    pub specialization: KernelSpecialization,
    /// Whether each run is timed on the GPU.
    pub timings: bool,
}

/// When kernels are compiled for the very shapes that an engine with dynamic dimensions is run with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KernelSpecialization {
    /// During the first runs, which use general kernels.
    #[default]
    Lazy,
    /// Within the first run.
    Eager,
    /// Never.
    None,
}

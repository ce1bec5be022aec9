//! Options of a session of ONNX Runtime.

/// Options of a session. The defaults are for many models in one process, where memory has to come back when a model
/// is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads of one operator, at least 1. With 1 the caller's thread does all the work.
    pub intra_op_threads: usize,
    /// Threads for operators that do not depend on each other, at least 1. With 1 one operator runs after the other.
    pub inter_op_threads: usize,
    /// How idle threads wait for more work.
    pub spinning: Spinning,
    /// Whether working memory comes from ONNX Runtime's arena, which doubles its reservation as it grows and keeps
    /// everything it ever took until the session ends, so that one long sequence is paid for by every later request.
    /// Without it, tensors come from the system's allocator and go back after each run.
    pub arena: bool,
    /// Whether one block is planned for each set of input shapes, and the plans kept. With free batch and sequence
    /// sizes there would be a plan for every pair.
    pub memory_pattern: bool,
    /// Where the model runs.
    pub device: Device,
}

/// How an idle thread waits for more work: actively it is there at once, and takes the processor from other models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spinning {
    /// It sleeps.
    Never,
    /// Actively for this number of microseconds, and then it sleeps. ONNX Runtime can do so from 1.26 on; with an earlier one,
    /// or one whose version is unknown, it sleeps.
    Microseconds(u32),
    /// Actively for as long as ONNX Runtime does by itself, which is longer than most models leave a thread idle.
    Long,
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU by its CUDA number; the library needs its CUDA provider next to it ([`crate::has_cuda_provider`]).
    Cuda(i32),
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            intra_op_threads: 1,
            inter_op_threads: 1,
            spinning: Spinning::Never,
            arena: false,
            memory_pattern: false,
            device: Device::Cpu,
        }
    }
}

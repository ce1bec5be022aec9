//! What is asked of a checkpoint.

use planforge_core::{ImageSize, Task};

/// What a network is read for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// Decides the outputs.
    pub(super) task: Task,
    /// Size of images, where it is not to be the checkpoint's own.
    pub(super) image_size: Option<ImageSize>,
}

//! Checkpoints as `torch.save` writes them (PyTorch 1.6 and later), read without running what they hold.
//!
//! Such a file is a zip container with a pickle, which is a program, and one record of bytes for each
//! storage. [`pickle`] interprets the few opcodes that a dictionary of tensors needs, and no others;
//! [`file`] checks what comes out against the records. Weights stay where they are, as with safetensors.

mod archive;
mod file;
mod opcode;
mod pickle;
mod subject;
#[cfg(test)]
mod tests;
mod values;

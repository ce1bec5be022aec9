//! Checkpoints as `torch.save` writes them, read without running what they hold.
//!
//! Since PyTorch 1.6 such a file is a zip container with a pickle, which is a program, and one record of bytes for each
//! storage. [`pickle`] interprets the few opcodes that a dictionary of tensors needs, and no others;
//! [`file`] checks what comes out against the records. Weights stay where they are, as with safetensors. [`legacy`] reads what
//! PyTorch wrote before.

mod archive;
mod file;
mod legacy;
mod opcode;
mod pickle;
mod read;
mod storages;
mod subject;
#[cfg(test)]
mod tests;
mod values;

//! The finished `model.pt`: what libtorch saved, with named inputs, all outputs, and the same bytes in every build.
//!
//! A TorchScript file is a zip container: the module's code as text, its constants as raw records, and pickles that
//! tie them together. libtorch's tracer, as tch offers it, numbers the inputs and returns one tensor; the code's text
//! is mended here. What only serves debugging is left out.

use crate::{Error, Result};
use planforge_core::TensorSpec;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::{
    CompressionMethod, FileReader, Header, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
    ZipArchiveWriter,
};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// Folder of all records in the container; PyTorch names it after the file.
const ROOT: &str = "model";
/// Records start on multiples of this, as PyTorch writes them, so that they can be mapped.
const ALIGNMENT: u64 = 64;
/// What PyTorch calls the field that it pads with.
const PADDING: ExtraFieldId = ExtraFieldId::new(u16::from_le_bytes(*b"FB"));
/// Bytes of a zip entry's header before its name, and of a field's before its content.
const HEADER_BYTE_COUNT: (u64, u64) = (30, 4);

/// Start of the call that [`super::trace`] makes one tensor of all outputs with.
const JOINED: &str = "torch.einsum(\"";

/// A record of the container that libtorch saved.
struct Record {
    /// Without the container's own folder.
    name: String,
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
}

/// Writes what libtorch saved as `traced` to `target`, with these inputs and outputs.
///
/// # Errors
/// I/O errors, and a container or code of another shape than libtorch's.
pub(super) fn finish(traced: &Path, target: &Path, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<()> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let zip = ZipArchive::from_file(fs_err::File::open(traced)?.into_file(), &mut buffer).map_err(unexpected)?;
    let file = BufWriter::with_capacity(1 << 20, fs_err::File::create(target)?);
    let mut output = ZipArchiveWriter::new(file);
    for record in records(&zip, &mut buffer)? {
        let name = record.name.as_str();
        if name.ends_with(".py") {
            let code = String::from_utf8(content(&zip, &record)?).map_err(unexpected)?;
            let code = mended(&code, inputs, outputs).ok_or_else(|| unexpected(last_line(&code)))?;
            write(&mut output, name, &mut code.as_bytes())?;
        } else if record.method == CompressionMethod::STORE {
            let entry = zip.get_entry(record.place).map_err(unexpected)?;
            write(&mut output, name, &mut entry.reader())?;
        } else {
            write(&mut output, name, &mut content(&zip, &record)?.as_slice())?;
        }
    }
    Ok(output.finish().map_err(unexpected)?.flush()?)
}

/// The records that a module needs, in order.
fn records(zip: &ZipArchive<FileReader>, buffer: &mut [u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut entries = zip.entries(buffer);
    while let Some(entry) = entries.next_entry().map_err(unexpected)? {
        let path = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        let Some((_, name)) = path.split_once('/') else { return Err(unexpected(format!("it has a record `{path}`"))) };
        if !name.ends_with(".debug_pkl") && name != ".data/serialization_id" {
            let (place, method) = (entry.wayfinder(), entry.compression_method());
            records.push(Record { name: name.to_owned(), place, method });
        }
    }
    Ok(records)
}

/// A record's bytes, inflated.
fn content(zip: &ZipArchive<FileReader>, record: &Record) -> Result<Vec<u8>> {
    let entry = zip.get_entry(record.place).map_err(unexpected)?;
    let mut bytes = Vec::new();
    entry.reader().read_to_end(&mut bytes)?;
    match record.method {
        CompressionMethod::STORE => Ok(bytes),
        CompressionMethod::DEFLATE => miniz_oxide::inflate::decompress_to_vec(&bytes).map_err(unexpected),
        other => Err(unexpected(format!("record `{}` is compressed by method {other:?}", record.name))),
    }
}

/// Adds a record, aligned.
fn write<W: Write>(output: &mut ZipArchiveWriter<W>, name: &str, content: &mut impl Read) -> Result<()> {
    let path = format!("{ROOT}/{name}");
    let (entry_header, field_header) = HEADER_BYTE_COUNT;
    let start = output.stream_offset() + entry_header + path.len() as u64 + field_header;
    let padding = vec![b'Z'; usize::try_from(start.next_multiple_of(ALIGNMENT) - start).unwrap_or(0)];
    let (mut entry, config) = output
        .new_file(&path)
        .extra_field(PADDING, &padding, Header::LOCAL)
        .and_then(|file| file.compression_method(CompressionMethod::STORE).start())
        .map_err(unexpected)?;
    let mut writer = config.wrap(&mut entry);
    io::copy(content, &mut writer)?;
    let (_, descriptor) = writer.finish().map_err(unexpected)?;
    entry.finish(descriptor).map_err(unexpected)?;
    Ok(())
}

/// The traced code with the inputs' names, and returning a tuple where there are several outputs; none for code that
/// the tracer does not write.
fn mended(code: &str, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Option<String> {
    let mut code = code.to_owned();
    // From the last, so that the first does not match the start of the tenth.
    for (index, input) in inputs.iter().enumerate().rev() {
        code = code.replace(&format!("argument_{}", index + 1), &input.name);
    }
    if outputs.len() < 2 {
        return Some(code);
    }
    // Either `return torch.einsum("ab,cd->", VALUES)`, or `_9 = torch…` and `return _9`.
    let (before, joined) = code.rsplit_once(JOINED)?;
    let (before, start) = before.rsplit_once('\n')?;
    let (call, end) = joined.split_once(")\n")?;
    let (_equation, values) = call.split_once("\", ")?;
    let is_returned = match start.trim().strip_suffix(" =") {
        Some(name) => end.trim().strip_prefix("return ") == Some(name),
        None => start.trim() == "return" && end.is_empty(),
    };
    let tuple = match values.strip_prefix('[').and_then(|values| values.strip_suffix(']')) {
        Some(values) => format!("({values})"),
        None => {
            let each: Vec<String> = (0..outputs.len()).map(|index| format!("{values}[{index}]")).collect();
            format!("({})", each.join(", "))
        }
    };
    let (head, body) = before.split_once(") -> Tensor:")?;
    let types = vec!["Tensor"; outputs.len()].join(", ");
    is_returned.then(|| format!("{head}) -> Tuple[{types}]:{body}\n    return {tuple}\n"))
}

fn last_line(code: &str) -> String {
    format!("its code ends with `{}`", code.trim_end().lines().next_back().unwrap_or_default().trim())
}

fn unexpected(what: impl std::fmt::Display) -> Error {
    Error::Torch { subject: "save".to_owned(), message: format!("the saved module is of an unknown kind: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::DataType;

    fn specs(names: &[&str]) -> Vec<TensorSpec> {
        names.iter().map(|name| TensorSpec::new(name, DataType::Fp32, Vec::new())).collect()
    }

    fn code(body: &str) -> String {
        format!(
            "class Model(Module):\n  def forward(self: __torch__.Model,\n    argument_1: Tensor) -> Tensor:\n{body}"
        )
    }

    #[test]
    fn inputs_are_named_and_outputs_become_a_tuple() {
        let traced = code("    _0 = [argument_1, argument_1]\n    return torch.einsum(\"ab,cd->\", _0)\n");
        let mended = mended(&traced, &specs(&["ids"]), &specs(&["a", "b"])).unwrap();
        let tail = "\n    ids: Tensor) -> Tuple[Tensor, Tensor]:\n    _0 = [ids, ids]\n    return (_0[0], _0[1])\n";
        assert!(mended.ends_with(tail), "{mended}");
    }

    #[test]
    fn a_list_in_the_call_becomes_the_tuple() {
        let call = "torch.einsum(\"ab,cd->\", [argument_1, torch.tanh(argument_1)])";
        let traced = code(&format!("    _0 = {call}\n    return _0\n"));
        let mended = mended(&traced, &specs(&["x"]), &specs(&["a", "b"])).unwrap();
        assert!(mended.ends_with("    return (x, torch.tanh(x))\n"), "{mended}");
    }

    #[test]
    fn one_output_is_returned_as_it_is_and_other_code_is_refused() {
        let traced = code("    return torch.relu(argument_1)\n");
        let one = mended(&traced, &specs(&["x"]), &specs(&["a"])).unwrap();
        assert!(
            one.ends_with("(self: __torch__.Model,\n    x: Tensor) -> Tensor:\n    return torch.relu(x)\n"),
            "{one}"
        );
        assert!(mended(&traced, &specs(&["x"]), &specs(&["a", "b"])).is_none());
    }
}

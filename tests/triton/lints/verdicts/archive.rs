//! Archives of small models, which planforge's backend loads.

use planforge_onnx::{
    AttributeProto, ElementType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    tensor_shape_proto::Dimension,
};
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An input or output: name, data type without `TYPE_`, dims.
pub(super) type Io = (&'static str, &'static str, Vec<i64>);

/// A model whose outputs are its first input, in other types and shapes.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) inputs: Vec<Io>,
    pub(super) outputs: Vec<Io>,
    pub(super) max_batch_size: i64,
    /// Further fields of the configuration.
    pub(super) extra: String,
}

impl Spec {
    /// A model with an input `x` and an output `y` of four numbers each.
    pub(super) fn new() -> Self {
        let four = |name| (name, "FP32", vec![4]);
        Self { inputs: vec![four("x")], outputs: vec![four("y")], max_batch_size: 8, extra: String::new() }
    }

    pub(super) fn with(extra: &str) -> Self {
        Self { extra: extra.to_owned(), ..Self::new() }
    }

    pub(super) fn tensors(&self) -> String {
        let of = |kind: &str, tensors: &[Io]| -> String {
            let field = |(name, data_type, dims): &Io| {
                format!("{kind} {{ name: \"{name}\" data_type: TYPE_{data_type} dims: {dims:?} }}\n")
            };
            tensors.iter().map(field).collect()
        };
        of("input", &self.inputs) + &of("output", &self.outputs)
    }

    pub(super) fn config(&self) -> String {
        let Self { max_batch_size, extra, .. } = self;
        let tensors = self.tensors();
        let parameters = "parameters { key: \"intra_op_thread_count\" value { string_value: \"1\" } }";
        format!("backend: \"planforge\"\nmax_batch_size: {max_batch_size}\n{tensors}{parameters}\n{extra}\n")
    }

    fn full_dims(&self, dims: &[i64]) -> Vec<i64> {
        (self.max_batch_size > 0).then_some(-1).into_iter().chain(dims.iter().copied()).collect()
    }

    pub(super) fn graph(&self) -> Vec<u8> {
        let value = |(name, data_type, dims): &Io| {
            let dims = self.full_dims(dims).into_iter().enumerate().map(|(place, dim)| match dim {
                -1 => Dimension::dynamic(&format!("{name}_{place}")),
                dim => Dimension::fixed(dim),
            });
            ValueInfoProto::tensor(name, element_type(data_type), dims.collect())
        };
        let (first, _, own) = &self.inputs[0];
        let mut graph = GraphProto {
            name: Some("small".to_owned()),
            input: self.inputs.iter().map(value).collect(),
            output: self.outputs.iter().map(value).collect(),
            ..GraphProto::default()
        };
        for (name, data_type, dims) in &self.outputs {
            let to = AttributeProto::int("to", i64::from(i32::from(element_type(data_type))));
            let cast = if dims == own { (*name).to_owned() } else { format!("{name}_cast") };
            graph.node.push(NodeProto::new("Cast", vec![(*first).to_owned()], vec![cast.clone()], vec![to]));
            if dims != own {
                let full = self.full_dims(dims);
                let bytes = full.iter().flat_map(|dim| dim.to_le_bytes()).collect();
                let shape = format!("{name}_shape");
                let tensor = TensorProto::new(&shape, ElementType::Int64, vec![full.len() as i64]);
                graph.initializer.push(tensor.with_raw_data(bytes));
                graph.node.push(NodeProto::new("Reshape", vec![cast, shape], vec![(*name).to_owned()], Vec::new()));
            }
        }
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto::new("", 17)],
            graph: Some(graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

fn element_type(data_type: &str) -> ElementType {
    match data_type {
        "FP16" => ElementType::Float16,
        "INT32" => ElementType::Int32,
        "INT64" => ElementType::Int64,
        _ => ElementType::Float,
    }
}

/// Files and links by path; a folder has no content.
#[derive(Clone, Default)]
pub(super) struct Archive {
    files: BTreeMap<String, Option<Vec<u8>>>,
    links: Vec<(String, String)>,
    /// Hard links by their target's path; with GNU tar's help they need not lead to a file of the archive.
    hard_links: Vec<(String, String)>,
    /// Arguments of GNU tar.
    form: &'static [&'static str],
}

impl Archive {
    /// One model, in the folder `m`.
    pub(super) fn of(spec: &Spec) -> Self {
        Self::default().model("m", spec)
    }

    pub(super) fn model(self, folder: &str, spec: &Spec) -> Self {
        self.file(&format!("{folder}/config.pbtxt"), spec.config())
            .file(&format!("{folder}/1/model.onnx"), spec.graph())
    }

    pub(super) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), Some(content.into()));
        self
    }

    pub(super) fn folder(mut self, path: &str) -> Self {
        self.files.insert(path.to_owned(), None);
        self
    }

    pub(super) fn without(mut self, path: &str) -> Self {
        assert!(self.files.remove(path).is_some(), "{path}");
        self
    }

    pub(super) fn moved(mut self, from: &str, to: &str) -> Self {
        let content = self.files.remove(from).unwrap();
        self.files.insert(to.to_owned(), content);
        self
    }

    pub(super) fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    pub(super) fn hard_link(mut self, path: &str, target: &str) -> Self {
        self.hard_links.push((path.to_owned(), target.to_owned()));
        self
    }

    pub(super) fn packed_as(self, form: &'static [&'static str]) -> Self {
        Self { form, ..self }
    }

    /// Packs it with GNU tar, and hard links as they are written.
    pub(super) fn pack(&self, folder: &Path) -> PathBuf {
        let top = folder.join("top");
        let place = |path: &str| {
            let path = top.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        fs_err::create_dir(&top).unwrap();
        for (path, content) in &self.files {
            match content {
                None => fs_err::create_dir_all(place(path)).unwrap(),
                Some(content) => fs_err::write(place(path), content).unwrap(),
            }
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, place(path)).unwrap();
        }
        let (tar, packed) = (folder.join("a.tar"), folder.join("a.tar.gz"));
        let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
        run(Command::new("tar").args(self.form).arg("-cf").arg(&tar).arg("-C").arg(&top).arg("."));
        if !self.hard_links.is_empty() {
            self.append_hard_links(&tar);
        }
        run(Command::new("gzip").arg("-1").arg(&tar));
        packed
    }

    /// Adds entries in the place of tar's end mark.
    fn append_hard_links(&self, tar: &Path) {
        let mut bytes = fs_err::read(tar).unwrap();
        let end = bytes.chunks(512).rposition(|block| block.iter().any(|byte| *byte != 0)).unwrap();
        bytes.truncate((end + 1) * 512);
        for (path, target) in &self.hard_links {
            bytes.extend(hard_link_header(path, target));
        }
        bytes.resize(bytes.len() + 1024, 0);
        fs_err::write(tar, bytes).unwrap();
    }
}

/// A header of POSIX tar for a hard link.
fn hard_link_header(path: &str, target: &str) -> [u8; 512] {
    let mut header = [0; 512];
    let mut write = |place: usize, text: &str| header[place..place + text.len()].copy_from_slice(text.as_bytes());
    write(0, path);
    write(100, "0000644\0");
    write(124, "00000000000\0");
    write(136, "00000000000\0");
    write(148, "        ");
    write(156, "1");
    write(157, target);
    write(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

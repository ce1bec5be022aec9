//! Graphs with and without their parts in nodes of planforge's, on the real library.

use super::super::tests::library;
use super::rewrite::{ATTENTION, LINEAR, NORM};
use super::*;
use crate::{OnnxSession, SessionOptions, Tensor, TensorValues};
use planforge_onnx::{
    Attribute, Dimension, DimensionValue, EXTERNAL, GraphProto, NodeProto, OperatorSetId, Shape, StringEntry,
    TensorProto, TensorType, TypeProto, ValueInfo,
};

/// Width of rows, which is two heads of 32.
const WIDTH: usize = 64;

/// Makes a graph node by node.
#[derive(Default)]
struct Maker(GraphProto);

impl Maker {
    fn node(&mut self, op: &str, inputs: &[&str], result: &str, attribute: Vec<Attribute>) -> String {
        self.0.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![result.to_owned()],
            op_type: op.to_owned(),
            attribute,
            ..NodeProto::default()
        });
        result.to_owned()
    }

    fn constant(&mut self, name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) -> String {
        let (name, dims) = (name.to_owned(), dims.to_vec());
        self.0.initializer.push(TensorProto {
            name: name.clone(),
            dims,
            data_type,
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// Numbers of both signs that differ from place to place and from name to name.
    fn floats(&mut self, name: &str, dims: &[i64]) -> String {
        let count = dims.iter().product::<i64>();
        let seed = name.bytes().map(i64::from).sum::<i64>();
        let number = |place: i64| (((place * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0) * 0.2;
        self.constant(name, dims, 1, (0..count).flat_map(|place| number(place).to_le_bytes()).collect())
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len() as i64], 7, raw)
    }

    /// A product with a bias.
    fn linear(&mut self, name: &str, x: &str, [input, output]: [usize; 2], transposed: bool) -> String {
        let (input, output) = (input as i64, output as i64);
        let (weights, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.floats(&bias, &[output]);
        let factor = if transposed {
            self.floats(&weights, &[output, input]);
            self.node("Transpose", &[&weights], &format!("{name}.turned"), vec![Attribute::ints("perm", &[1, 0])])
        } else {
            self.floats(&weights, &[input, output])
        };
        let product = self.node("MatMul", &[x, &factor], &format!("{name}.product"), Vec::new());
        self.node("Add", &[&product, &bias], &format!("{name}.sum"), Vec::new())
    }

    fn norm(&mut self, name: &str, x: &str) -> String {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.floats(&weight, &[WIDTH as i64]);
        self.floats(&bias, &[WIDTH as i64]);
        let attributes = vec![Attribute::int("axis", -1), Attribute::float("epsilon", 1e-5)];
        self.node("LayerNormalization", &[x, &weight, &bias], &format!("{name}.normalized"), attributes)
    }

    /// Attention of two heads over queries, keys and values, with these summands.
    fn attention(&mut self, query_key_value: [&str; 3], summands: &[&str]) -> String {
        self.scaled_attention(0.2, query_key_value, summands)
    }

    /// The same with this factor of its scores.
    fn scaled_attention(&mut self, scale: f32, [query, key, value]: [&str; 3], summands: &[&str]) -> String {
        let heads = self.integers("heads", &[0, 0, 2, 32]);
        let merged = self.integers("merged", &[0, 0, WIDTH as i64]);
        let scale = self.constant("scale", &[], 1, scale.to_le_bytes().to_vec());
        let mut split = |name: &str, x: &str, order: &[i64]| {
            let heads = self.node("Reshape", &[x, &heads], &format!("{name}.heads"), Vec::new());
            self.node("Transpose", &[&heads], &format!("{name}.split"), vec![Attribute::ints("perm", order)])
        };
        let query = split("q", query, &[0, 2, 1, 3]);
        let key = split("k", key, &[0, 2, 3, 1]);
        let value = split("v", value, &[0, 2, 1, 3]);
        let query = self.node("Mul", &[&query, &scale], "q.scaled", Vec::new());
        let mut scores = self.node("MatMul", &[&query, &key], "scores", Vec::new());
        for summand in summands {
            scores = self.node("Add", &[&scores, summand], &format!("scores+{summand}"), Vec::new());
        }
        let weights = self.node("Softmax", &[&scores], "weights", vec![Attribute::int("axis", -1)]);
        let context = self.node("MatMul", &[&weights, &value], "context", Vec::new());
        let turned = self.node("Transpose", &[&context], "turned", vec![Attribute::ints("perm", &[0, 2, 1, 3])]);
        self.node("Reshape", &[&turned, &merged], "attended", Vec::new())
    }

    fn input(&mut self, name: &str, dims: &[i64]) -> String {
        self.0.input.push(value(name, dims));
        name.to_owned()
    }

    fn model(mut self, outputs: &[(&str, usize)]) -> ModelProto {
        self.0.output = outputs.iter().map(|(name, rank)| value(name, &vec![-1; *rank])).collect();
        ModelProto {
            ir_version: 9,
            opset_import: vec![OperatorSetId { domain: String::new(), version: 20 }],
            graph: Some(self.0),
            ..ModelProto::default()
        }
    }
}

/// A tensor of 32-bit floats. Negative sizes may be any.
fn value(name: &str, dims: &[i64]) -> ValueInfo {
    let free = |place: usize| DimensionValue::DimParam(format!("{name}_{place}"));
    let size = |(place, &size): (usize, &i64)| if size < 0 { free(place) } else { DimensionValue::DimValue(size) };
    let dim = dims.iter().enumerate().map(|dim| Dimension { value: Some(size(dim)) }).collect();
    let tensor_type = TensorType { elem_type: 1, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// A layer of an encoder as planforge exports it, with these summands of its scores.
fn layer(maker: &mut Maker, x: &str, summands: &[&str]) -> String {
    let square = [WIDTH, WIDTH];
    let [query, key, value] = ["query", "key", "value"].map(|name| maker.linear(name, x, square, true));
    let attended = maker.attention([&query, &key, &value], summands);
    let projected = maker.linear("projection", &attended, square, true);
    let sum = maker.node("Add", &[&projected, x], "first", Vec::new());
    let x = maker.norm("first_norm", &sum);
    let up = maker.linear("up", &x, [WIDTH, 128], false);
    let up = maker.node("Gelu", &[&up], "gelu", vec![Attribute::string("approximate", "none")]);
    let down = maker.linear("down", &up, [128, WIDTH], true);
    let sum = maker.node("Add", &[&x, &down], "second", Vec::new());
    maker.norm("second_norm", &sum)
}

fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|place| ((place * 31 + 7) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::new(name, shape, TensorValues::Fp32(values)).unwrap()
}

fn written(model: &ModelProto) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model.onnx");
    fs_err::write(&graph, model.encode_to_vec()).unwrap();
    (folder, graph)
}

/// How many nodes of each kind planforge computes.
fn counts(graph: &Path) -> [usize; 3] {
    crate::load_library(&library()).unwrap();
    let Some(fused) = Fused::load(graph, 1) else { return [0; 3] };
    let graph = ModelProto::decode(fused.bytes.as_slice()).unwrap().graph.unwrap();
    [LINEAR, ATTENTION, NORM]
        .map(|kind| graph.node.iter().filter(|node| node.domain == DOMAIN && node.op_type == kind).count())
}

/// Runs the graph with and without own kernels, on one thread and two.
fn assert_same(graph: &Path, inputs: &[Tensor]) {
    crate::load_library(&library()).unwrap();
    let options = SessionOptions::default();
    let expected = OnnxSession::load(graph, &options).unwrap().run(inputs, &[]).unwrap();
    for intra_op_threads in [1, 2] {
        let options = SessionOptions { fused: true, intra_op_threads, ..options };
        let mut session = OnnxSession::load(graph, &options).unwrap();
        assert!(session.own_nodes() > 0, "own kernels are not used");
        let found = session.run(inputs, &[]).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.name, &found.shape), (&expected.name, &expected.shape));
            let (TensorValues::Fp32(found), TensorValues::Fp32(expected)) = (&found.values, &expected.values) else {
                panic!("floats");
            };
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{found}, expected {expected}");
            }
        }
    }
}

#[test]
fn a_layer_is_computed_by_own_kernels() {
    for summands in [&[][..], &["mask"], &["mask", "pairs"]] {
        let mut maker = Maker::default();
        let x = maker.input("x", &[-1, -1, WIDTH as i64]);
        let x = maker.norm("before", &x);
        maker.input("mask", &[-1, 1, 1, -1]);
        maker.input("pairs", &[1, 2, -1, -1]);
        let result = layer(&mut maker, &x, summands);
        let (_folder, graph) = written(&maker.model(&[(&result, 3)]));
        // Queries, keys and values are one product; the projection and the two around the activation are the others.
        assert_eq!(counts(&graph), [4, 1, 3], "{summands:?}");
        for (batch, sequence) in [(1, 1), (3, 7), (2, 40)] {
            let mask = numbers("mask", &[batch, 1, 1, sequence]);
            let pairs = numbers("pairs", &[1, 2, sequence, sequence]);
            assert_same(&graph, &[numbers("x", &[batch, sequence, WIDTH]), mask, pairs]);
        }
    }
}

/// Queries, keys and values are sometimes one product that is split.
#[test]
fn one_product_that_is_split_is_attended_to() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let joined = maker.linear("joined", &x, [WIDTH, 3 * WIDTH], true);
    let sizes = maker.integers("sizes", &[WIDTH as i64; 3]);
    maker.node("Split", &[&joined, &sizes], "first_third", vec![Attribute::int("axis", -1)]);
    maker.0.node.last_mut().unwrap().output.extend(["second_third".to_owned(), "last_third".to_owned()]);
    let result = maker.attention(["first_third", "second_third", "last_third"], &[]);
    let (_folder, graph) = written(&maker.model(&[(&result, 3)]));
    assert_eq!(counts(&graph), [1, 1, 0]);
    assert_same(&graph, &[numbers("x", &[2, 9, WIDTH])]);
}

/// With another factor, scores of keys that are not there would count.
#[test]
fn a_scale_that_is_not_positive_is_left_to_onnx_runtime() {
    for (scale, attentions) in [(0.2, 1), (0.0, 0), (-0.2, 0)] {
        let mut maker = Maker::default();
        let x = maker.input("x", &[-1, -1, WIDTH as i64]);
        let [query, key, value] = ["q", "k", "v"].map(|name| maker.linear(name, &x, [WIDTH, WIDTH], true));
        let result = maker.scaled_attention(scale, [&query, &key, &value], &[]);
        let (_folder, graph) = written(&maker.model(&[(&result, 3)]));
        assert_eq!(counts(&graph)[1], attentions, "{scale}");
        assert_same(&graph, &[numbers("x", &[2, 5, WIDTH])]);
    }
}

/// What others use, or what is an output of the graph, stays.
#[test]
fn what_is_used_elsewhere_is_kept() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let result = layer(&mut maker, &x, &[]);
    let outputs = [(&*result, 3), ("weights", 4), ("up.sum", 3), ("projection.product", 3), ("query.sum", 3)];
    let (_folder, graph) = written(&maker.model(&outputs));
    assert_eq!(counts(&graph), [6, 0, 2], "attention gives its weights away, so its products stay apart");
    assert_same(&graph, &[numbers("x", &[2, 5, WIDTH])]);
}

/// A sum of other shapes is none that a product can end with.
#[test]
fn sums_that_spread_are_left_to_onnx_runtime() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let position = maker.input("position", &[-1, WIDTH as i64]);
    let product = maker.linear("only", &x, [WIDTH, WIDTH], false);
    let spread = maker.node("Add", &[&position, &product], "spread", Vec::new());
    let twice = maker.node("Add", &[&spread, &spread], "twice", Vec::new());
    let (_folder, graph) = written(&maker.model(&[(&twice, 3)]));
    assert_eq!(counts(&graph), [1, 0, 0]);
    // The value that is added has another first size than the product.
    assert_same(&graph, &[numbers("x", &[1, 3, WIDTH]), numbers("position", &[3, WIDTH])]);
}

/// Widths that no vector fits, weights of two products, and other axes.
#[test]
fn what_has_no_kernel_is_left_to_onnx_runtime() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let odd = maker.linear("odd", &x, [WIDTH, 33], false);
    let y = maker.input("y", &[-1, WIDTH as i64, WIDTH as i64]);
    let free = maker.node("MatMul", &[&x, &y], "free", Vec::new());
    let (weight, bias) = (maker.floats("w", &[WIDTH as i64, WIDTH as i64]), maker.floats("b", &[WIDTH as i64]));
    let axis = vec![Attribute::int("axis", -2)];
    let both = maker.node("LayerNormalization", &[&y, &weight], "both", axis);
    let gelu = maker.node("Add", &[&free, &bias], "biased", Vec::new());
    let (_folder, graph) = written(&maker.model(&[(&odd, 3), (&both, 3), (&gelu, 3)]));
    assert_eq!(counts(&graph), [0; 3]);
    crate::load_library(&library()).unwrap();
    let session = OnnxSession::load(&graph, &SessionOptions { fused: true, ..SessionOptions::default() });
    assert_eq!(session.unwrap().own_nodes(), 0);
}

/// Weights in a file of their own, with and without what is needed to find them.
#[test]
fn weights_beside_the_graph_are_read() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let result = maker.linear("only", &x, [WIDTH, WIDTH], true);
    let mut model = maker.model(&[(&result, 3)]);
    let (folder, graph) = written(&model);
    let weight = &mut model.graph.as_mut().unwrap().initializer[1];
    assert_eq!(weight.name, "only.weight");
    let bytes = std::mem::take(&mut weight.raw_data);
    let entry = |key: &str, value: &str| StringEntry { key: key.to_owned(), value: value.to_owned() };
    weight.data_location = EXTERNAL;
    weight.external_data =
        vec![entry("location", "weights"), entry("offset", "16"), entry("length", &bytes.len().to_string())];
    let lay = |graph_bytes: &ModelProto, weights: &[u8]| {
        fs_err::write(&graph, graph_bytes.encode_to_vec()).unwrap();
        fs_err::write(folder.path().join("weights"), weights).unwrap();
        counts(&graph)
    };
    let file = [&[0; 16][..], &bytes].concat();
    assert_eq!(lay(&model, &file), [1, 0, 0]);
    assert_same(&graph, &[numbers("x", &[2, 3, WIDTH])]);
    assert_eq!(lay(&model, &file[..file.len() - 1]), [0; 3], "a byte is missing");
    let with = |key: usize, value: &str| {
        let mut model = model.clone();
        value.clone_into(&mut model.graph.as_mut().unwrap().initializer[1].external_data[key].value);
        model
    };
    assert_eq!(lay(&with(0, "../weights"), &file), [0; 3], "outside of the graph's folder");
    assert_eq!(lay(&with(1, "18446744073709551600"), &file), [0; 3], "beyond the file");
    assert_eq!(lay(&with(2, "12"), &file), [0; 3], "another length than the shape has");
}

/// A file with something that is not known here would lose it.
#[test]
fn graphs_with_more_in_them_are_left_as_they_are() {
    let mut maker = Maker::default();
    let x = maker.input("x", &[-1, -1, WIDTH as i64]);
    let result = maker.linear("only", &x, [WIDTH, WIDTH], true);
    let (_folder, graph) = written(&maker.model(&[(&result, 3)]));
    assert_eq!(counts(&graph), [1, 0, 0]);
    // `metadata_props`, field 14 of `ModelProto`: one entry with an empty key.
    let bytes = [fs_err::read(&graph).unwrap(), vec![14 << 3 | 2, 2, 10, 0]].concat();
    fs_err::write(&graph, bytes).unwrap();
    assert_eq!(counts(&graph), [0; 3]);
}

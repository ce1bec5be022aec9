//! Ensembles, their steps, and the models of the steps.

use super::Case;
use super::archive::{Archive, Io, Spec};

/// The two steps that most of them have.
const STEPS: [Step<'static>; 2] = [
    ("a", "model_version: -1", &[("x", "x")], &[("y", "t")]),
    ("b", "model_version: -1", &[("x", "t")], &[("y", "y")]),
];
/// Where a model takes and gives four numbers.
const LATEST: &str = "model_version: -1";
const DECOUPLED: &str = "model_transaction_policy { decoupled: true }";

/// Model, version, and pairs of the model's tensor and the ensemble's.
type Step<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

pub(super) fn cases() -> Vec<Case> {
    let named =
        |cases: Vec<(&str, Archive)>| cases.into_iter().map(|(name, archive)| (name.to_owned(), archive)).collect();
    [types(), shapes(), named(flows()), named(members()), named(versions()), named(nested())].concat()
}

fn config(spec: &Spec, steps: &[Step<'_>]) -> String {
    let map = |kind: &str, pairs: &[(&str, &str)]| -> String {
        pairs.iter().map(|(key, value)| format!("{kind} {{ key: \"{key}\" value: \"{value}\" }} ")).collect()
    };
    let step = |(model, version, inputs, outputs): &Step<'_>| {
        let maps = map("input_map", inputs) + &map("output_map", outputs);
        format!("step {{ model_name: \"{model}\" {version} {maps} }}\n")
    };
    let steps: String = steps.iter().map(step).collect();
    let (batch, tensors, extra) = (spec.max_batch_size, spec.tensors(), &spec.extra);
    format!("platform: \"ensemble\"\nmax_batch_size: {batch}\n{tensors}{extra}\nensemble_scheduling {{ {steps} }}\n")
}

/// An ensemble in the folder `e`.
fn ensemble(spec: &Spec, steps: &[Step<'_>]) -> Archive {
    Archive::default().file("e/config.pbtxt", config(spec, steps)).folder("e/1")
}

/// An ensemble of the models `a` and `b`.
fn of_two(spec: &Spec, steps: &[Step<'_>]) -> Archive {
    ensemble(spec, steps).model("a", &Spec::new()).model("b", &Spec::new())
}

fn four(name: &'static str) -> Io {
    (name, "FP32", vec![4])
}

fn spec(inputs: &[Io], outputs: &[Io]) -> Spec {
    Spec { inputs: inputs.to_vec(), outputs: outputs.to_vec(), ..Spec::new() }
}

/// The types of the ensemble's input, of what goes from model to model, and of what the second takes.
fn types() -> Vec<Case> {
    let types = ["FP32", "INT32", "INT64"];
    let mut cases = Vec::new();
    for own in types {
        for given in types {
            for taken in types {
                let a = spec(&[four("x")], &[("y", given, vec![4])]);
                let b = spec(&[("x", taken, vec![4])], &[four("y")]);
                let archive = ensemble(&spec(&[("x", own, vec![4])], &[four("y")]), &STEPS);
                cases.push((format!("types: {own}, {given}, {taken}"), archive.model("a", &a).model("b", &b)));
            }
        }
    }
    cases
}

/// Shapes and batches of an ensemble and of its model.
fn shapes() -> Vec<Case> {
    let dims: [&[i64]; 6] = [&[4], &[5], &[-1], &[4, 1], &[-1, 4], &[2, 4]];
    let mut cases = Vec::new();
    for (own_batch, batch) in [(8, 8), (8, 0), (0, 8), (8, 4)] {
        for own in dims {
            for given in dims {
                let same = |dims: &[i64]| spec(&[("x", "FP32", dims.to_vec())], &[("y", "FP32", dims.to_vec())]);
                let model = Spec { max_batch_size: batch, ..same(given) };
                let outer = Spec { max_batch_size: own_batch, ..same(own) };
                let archive = ensemble(&outer, &[("a", LATEST, &[("x", "x")], &[("y", "y")])]).model("a", &model);
                // Half of them say as much as all.
                if batch == 8 && own_batch == 8 || (own.len() + given.len()) % 2 == 1 || own == given {
                    cases.push((format!("shapes: {own:?} of {own_batch}, {given:?} of {batch}"), archive));
                }
            }
        }
    }
    cases
}

fn flows() -> Vec<(&'static str, Archive)> {
    let xy = spec(&[four("x")], &[four("y")]);
    let further = |kind: &str| match kind {
        "input" => spec(&[four("x"), four("u")], &[four("y")]),
        _ => spec(&[four("x")], &[four("y"), four("u")]),
    };
    let wide = spec(&[four("x"), four("z")], &[four("y"), four("w")]);
    let one = |inputs, outputs| ensemble(&xy, &[("a", LATEST, inputs, outputs)]).model("a", &wide);
    vec![
        ("flow: two steps", of_two(&xy, &STEPS)),
        ("flow: steps in another order", of_two(&xy, &[STEPS[1], STEPS[0]])),
        ("flow: an input that nothing reads", of_two(&further("input"), &STEPS)),
        ("flow: an output that nothing writes", of_two(&further("output"), &STEPS)),
        ("flow: an input that is an output too", of_two(&spec(&[four("x")], &[four("x"), four("y")]), &STEPS)),
        ("flow: a tensor that nothing writes", of_two(&xy, &[("a", LATEST, &[("x", "t")], &[("y", "y")])])),
        ("flow: a tensor that nothing reads", one(&[("x", "x"), ("z", "x")], &[("y", "y"), ("w", "t")])),
        ("flow: a further tensor that nothing writes", one(&[("x", "x"), ("z", "t")], &[("y", "y")])),
        ("flow: one tensor for two inputs", one(&[("x", "x"), ("z", "x")], &[("y", "y")])),
        ("flow: two outputs for one tensor", one(&[("x", "x"), ("z", "x")], &[("y", "y"), ("w", "y")])),
        (
            "flow: written twice",
            of_two(&xy, &[("a", LATEST, &[("x", "x")], &[("y", "y")]), ("b", LATEST, &[("x", "x")], &[("y", "y")])]),
        ),
        (
            "flow: over an input",
            of_two(&xy, &[("a", LATEST, &[("x", "x")], &[("y", "x")]), ("b", LATEST, &[("x", "x")], &[("y", "y")])]),
        ),
        (
            "flow: in a circle",
            of_two(
                &xy,
                &[
                    ("a", LATEST, &[("x", "t")], &[("y", "s")]),
                    ("b", LATEST, &[("x", "s")], &[("y", "t")]),
                    ("a", LATEST, &[("x", "x")], &[("y", "y")]),
                ],
            ),
        ),
        ("flow: to itself", of_two(&xy, &[("a", LATEST, &[("x", "y")], &[("y", "y")])])),
        ("flow: without outputs", of_two(&spec(&[four("x")], &[]), &STEPS)),
        ("flow: without inputs", of_two(&spec(&[], &[four("y")]), &STEPS)),
        (
            "flow: a key twice",
            ensemble(&xy, &[("a", LATEST, &[("x", "none"), ("x", "x")], &[("y", "y")])]).model("a", &xy),
        ),
        ("flow: a name that is empty", of_two(&xy, &[("a", LATEST, &[("x", "")], &[("y", "y")])])),
    ]
}

fn members() -> Vec<(&'static str, Archive)> {
    let xy = spec(&[four("x")], &[four("y")]);
    let decoupled = |model: &Spec| Spec { extra: DECOUPLED.to_owned(), ..model.clone() };
    let wide = spec(&[four("x"), four("z")], &[four("y"), four("w")]);
    let optional = |archive: Archive| {
        let config = wide
            .config()
            .replace("name: \"z\" data_type: TYPE_FP32", "name: \"z\" optional: true data_type: TYPE_FP32");
        archive.file("a/config.pbtxt", config)
    };
    let reshaped = |path: &str, archive: Archive, text: String| {
        archive.file(path, text.replacen("dims: [4]", "dims: [2, 2] reshape { shape: [ 4 ] }", 1))
    };
    let join = |last: &'static [(&'static str, &'static str)]| {
        let given = |(model, _, _, outputs): &Step<'_>| {
            *model == "c" || last.iter().any(|(_, tensor)| outputs.iter().any(|(_, output)| output == tensor))
        };
        let mut steps: Vec<Step<'_>> = vec![
            ("a", LATEST, &[("x", "x")], &[("y", "s")]),
            ("b", LATEST, &[("x", "x")], &[("y", "t")]),
            ("c", LATEST, last, &[("y", "y")]),
        ];
        steps.retain(given);
        ensemble(&xy, &steps)
    };
    vec![
        ("member: an input that takes nothing", of_two(&xy, &STEPS).model("a", &wide)),
        ("member: an optional input that takes nothing", optional(of_two(&xy, &STEPS).model("a", &wide))),
        (
            "member: an output that is not used",
            of_two(&xy, &STEPS).model("a", &spec(&[four("x")], &[four("y"), four("w")])),
        ),
        (
            "member: no such input",
            ensemble(&xy, &[("a", LATEST, &[("x", "x"), ("q", "x")], &[("y", "y")])]).model("a", &xy),
        ),
        ("member: no such output", ensemble(&xy, &[("a", LATEST, &[("x", "x")], &[("q", "y")])]).model("a", &xy)),
        ("member: misspelt", of_two(&xy, &[STEPS[0], ("b", LATEST, &[("X", "t")], &[("y", "y")])])),
        ("member: a smaller batch", of_two(&xy, &STEPS).model("a", &Spec { max_batch_size: 4, ..xy.clone() })),
        ("member: a larger batch", of_two(&xy, &STEPS).model("a", &Spec { max_batch_size: 16, ..xy.clone() })),
        ("member: reshapes", reshaped("a/config.pbtxt", of_two(&xy, &STEPS), xy.config())),
        ("member: the ensemble reshapes", reshaped("e/config.pbtxt", of_two(&xy, &STEPS), config(&xy, &STEPS))),
        ("member: missing", of_two(&xy, &STEPS).without("b/config.pbtxt").without("b/1/model.onnx")),
        ("member: without a version", of_two(&xy, &STEPS).without("b/1/model.onnx")),
        ("member: without its file", of_two(&xy, &STEPS).without("b/1/model.onnx").folder("b/1")),
        ("member: a link that dangles", of_two(&xy, &STEPS).link("b/l", "none")),
        ("member: a link to a folder", ensemble(&xy, &STEPS).model("a", &xy).link("b", "a")),
        ("member: decoupled", of_two(&xy, &STEPS).model("a", &decoupled(&xy))),
        (
            "member: two that are decoupled",
            join(&[("x", "s"), ("z", "t")]).model("a", &decoupled(&xy)).model("b", &decoupled(&xy)).model("c", &wide),
        ),
        (
            "member: one that is decoupled and one that is not",
            join(&[("x", "s"), ("z", "t")]).model("a", &decoupled(&xy)).model("b", &xy).model("c", &wide),
        ),
        (
            "member: decoupled, and the input",
            join(&[("x", "s"), ("z", "x")]).model("a", &decoupled(&xy)).model("c", &wide),
        ),
        (
            "member: decoupled, and nothing else",
            join(&[("x", "s"), ("z", "s")]).model("a", &decoupled(&xy)).model("c", &wide),
        ),
        ("member: with dynamic batching of the ensemble", of_two(&Spec::with("dynamic_batching { }"), &STEPS)),
        ("member: with a cache of the ensemble", of_two(&Spec::with("response_cache { enable: true }"), &STEPS)),
    ]
}

fn versions() -> Vec<(&'static str, Archive)> {
    let xy = spec(&[four("x")], &[four("y")]);
    let of = |version: &'static str| ensemble(&xy, &[("a", version, &[("x", "x")], &[("y", "y")])]);
    let all = Spec { extra: "version_policy { all { } }".to_owned(), ..xy.clone() };
    let second = |archive: Archive| archive.file("a/2/model.onnx", xy.graph());
    vec![
        ("version: the latest", of(LATEST).model("a", &xy)),
        ("version: not set", of("").model("a", &xy)),
        ("version: not set, and 0", of("").model("a", &xy).moved("a/1/model.onnx", "a/0/model.onnx")),
        ("version: 1", of("model_version: 1").model("a", &xy)),
        ("version: 7", of("model_version: 7").model("a", &xy)),
        ("version: -2", of("model_version: -2").model("a", &xy)),
        ("version: 1 of two", second(of("model_version: 1").model("a", &xy))),
        ("version: 2 of two", second(of("model_version: 2").model("a", &xy))),
        ("version: 1 of all", second(of("model_version: 1").model("a", &all))),
    ]
}

fn nested() -> Vec<(&'static str, Archive)> {
    let xy = spec(&[four("x")], &[four("y")]);
    let step = |model: &'static str| -> [Step<'static>; 1] { [(model, LATEST, &[("x", "x")], &[("y", "y")])] };
    let inner = |inner: &Spec, model: &'static str| {
        let outer = ensemble(&xy, &step("f"));
        outer.file("f/config.pbtxt", config(inner, &step(model))).folder("f/1").model("a", &xy)
    };
    let of_integers = spec(&[("x", "INT32", vec![4])], &[four("y")]);
    vec![
        ("nested: good", inner(&xy, "a")),
        ("nested: of another type", inner(&of_integers, "a")),
        ("nested: of a missing model", inner(&xy, "none")),
        ("nested: in a circle", inner(&xy, "e")),
        ("nested: in itself", ensemble(&xy, &step("e")).model("a", &xy)),
    ]
}

//! Each key of a configuration set to other values: the result changes when and as the reference's does
//! (scripts/reference/tiny-mutations.py), or the value is refused.

use crate::parity::{Expected, checkpoint, floats, relative_difference, run_on, try_export};
use crate::support::Workspace;
use planforge_core::{CachedArtifact, Model, Precision};
use planforge_runtime::{Tensor, TensorValues};
use planforge_testkit::{FixtureCase, check_generated, repository};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Largest difference, relative to the largest value: some values are recorded with less digits than others.
const TOLERANCE: f64 = 1e-4;

/// A key with another value, and what becomes of the reference's output.
#[derive(Deserialize)]
struct Mutation {
    /// The key, after the table that it stands in.
    key: String,
    /// Its value; none where the key is left out.
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    /// The first values; `null` where they are as before, `"mistake"` where the reference fails.
    outcome: Value,
}

/// A value that is there, be it `null`.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Mutation {
    fn apply(&self, config: &mut Map<String, Value>) {
        let (table, key) = match self.key.split_once('.') {
            Some((table, key)) => (config[table].as_object_mut().unwrap(), key),
            None => (config, self.key.as_str()),
        };
        match &self.value {
            Some(value) => table.insert(key.to_owned(), value.clone()),
            None => table.remove(key),
        };
    }

    fn shown(&self) -> String {
        let value = self.value.as_ref().map_or_else(|| "left out".to_owned(), Value::to_string);
        format!("{} {value}", self.key)
    }

    /// The first values that are expected.
    fn expected(&self, unchanged: &[f64]) -> Vec<f64> {
        match &self.outcome {
            Value::Null => unchanged.to_vec(),
            outcome => serde_json::from_value(outcome.clone()).unwrap(),
        }
    }
}

/// The main output for the recorded inputs.
fn output(model: &CachedArtifact<Model>, expected: &Expected) -> Vec<f32> {
    let input = |name: &str| {
        let given = &expected.inputs[name];
        let values = given.values.iter();
        let values = match name {
            "INPUT__0" => TensorValues::Fp32(values.map(|&value| value as f32).collect()),
            _ => TensorValues::Int64(values.map(|&value| value as i64).collect()),
        };
        Tensor::new(name, &given.shape, values).unwrap()
    };
    let inputs: Vec<Tensor> = model.record.inputs.iter().map(|spec| input(&spec.name)).collect();
    let outputs = run_on(model, &inputs);
    let name = &model.record.main_outputs()[0];
    floats(outputs.iter().find(|output| output.name == *name).unwrap()).to_vec()
}

/// Compares each mutation of a checkpoint, and returns those that only one of the two takes.
fn compare(name: &str, mutations: &[Mutation]) -> String {
    let workspace = Workspace::empty();
    let original = checkpoint(&name.replace('/', "-"));
    let expected: Expected =
        serde_json::from_slice(&fs_err::read(original.folder.join("expected.json")).unwrap()).unwrap();
    let config: Map<String, Value> =
        serde_json::from_slice(&fs_err::read(original.folder.join("config.json")).unwrap()).unwrap();
    let copy = FixtureCase { folder: workspace.path("model"), ..original.clone() };
    fs_err::create_dir(&copy.folder).unwrap();
    fs_err::hard_link(original.folder.join("model.safetensors"), copy.folder.join("model.safetensors")).unwrap();
    let mut differences = String::new();
    for mutation in mutations {
        let mut changed = config.clone();
        mutation.apply(&mut changed);
        fs_err::write(copy.folder.join("config.json"), serde_json::to_vec(&changed).unwrap()).unwrap();
        let is_mistake = mutation.outcome == "mistake";
        let what = format!("{name} {}", mutation.shown());
        match try_export(&workspace, &copy, Precision::Fp32) {
            Ok(_) if is_mistake => writeln!(differences, "{what}: taken").unwrap(),
            Ok(model) => {
                let unchanged = &expected.outputs[&model.record.main_outputs()[0]].values;
                let expected_values = mutation.expected(unchanged);
                let found = output(&model, &expected);
                assert!(found.len() >= expected_values.len(), "{what}");
                let difference = relative_difference(&found[..expected_values.len()], &expected_values);
                assert!(difference <= TOLERANCE, "{what}: {difference:e}");
            }
            Err(_) if is_mistake => {}
            Err(error) => {
                let message = error.to_string();
                let message = message.split("config.json`: ").last().unwrap_or_default();
                writeln!(differences, "{what}: refused: {}", message.lines().next().unwrap_or_default()).unwrap();
            }
        }
    }
    differences
}

#[test]
fn results_change_when_and_as_those_of_the_reference_do() {
    let recorded = fs_err::read(repository().join("fixtures/mutations.json")).unwrap();
    let recorded: BTreeMap<String, Vec<Mutation>> = serde_json::from_slice(&recorded).unwrap();
    let differences: String = recorded.iter().map(|(name, mutations)| compare(name, mutations)).collect();
    let head = "Values of keys that planforge refuses though the reference takes them, and that it takes though the \
                reference does not (tests/mutations.rs).\n\n";
    check_generated(&repository().join("fixtures/mutations.txt"), &format!("{head}{differences}"));
}

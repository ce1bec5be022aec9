//! Copies that are predicted to fit, and the largest batch that is chosen by them.

use crate::support::Workspace;
use serde_json::Value;

const MIB: u64 = 1 << 20;

fn rows<'a>(plan: &'a Value, variant: &str) -> Vec<&'a Value> {
    plan["rows"].as_array().unwrap().iter().filter(|row| row["variant"] == variant).collect()
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| row["memory"][key].as_u64().unwrap())
}

#[test]
fn copies_follow_from_the_memory_of_one() {
    let workspace = Workspace::tiny();
    let plan = workspace.json(&["plan", "tiny.toml"]);
    let counted = rows(&plan, "tensorrt-fp32-l4");
    let batches: Vec<_> = counted.iter().map(|row| number(row, "max_batch")).collect();
    assert_eq!(batches, [1, 2, 4, 8, 16, 32, 64, 128]);
    let mut last = (0, u64::MAX);
    for row in &counted {
        let (activations, copies) = (number(row, "activation_byte_count"), number(row, "copies"));
        assert!(activations > last.0 && copies <= last.1, "{row}");
        last = (activations, copies);
        let each = number(row, "weight_byte_count") + activations;
        // 90 % of what the driver reports, without half a GiB for the CUDA context.
        assert_eq!(copies, (23_034 * MIB * 9 / 10 - 512 * MIB) / each);
        assert_eq!(row["source"], "count");
    }
    assert!(rows(&plan, "tensorrt-fp32-t4").is_empty() && !rows(&plan, "tensorrt-fp16-t4").is_empty());
    // An engine's own figures count where there is one, and scale the rest.
    workspace.planforge(&["compile", "tiny.toml"]).succeeds();
    let plan = workspace.json(&["plan", "tiny.toml"]);
    for row in rows(&plan, "tensorrt-fp16-l4") {
        assert_eq!(row["source"], if row["max_batch"] == 4 { "builder" } else { "scaled" }, "{row}");
    }
    // With --build all come from engines, which `compile` then finds.
    let plan = workspace.json(&["plan", "tiny.toml", "--gpu", "l4", "--precision", "fp16", "--build"]);
    let built = rows(&plan, "tensorrt-fp16-l4");
    assert!(built.len() == 8 && built.iter().all(|row| row["source"] == "builder"), "{plan}");
    let activations: Vec<_> = built.iter().map(|row| number(row, "activation_byte_count")).collect();
    assert!(activations.is_sorted() && activations[0] < activations[7], "{activations:?}");
    let text = workspace.planforge(&["plan", "tiny.toml"]).stdout;
    for words in [
        "*4",
        "builder",
        "next to 512.0 MiB for the CUDA context",
        "`max_batch = \"auto\"`",
        "skipped: unsupported GPU `t4`",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
}

#[test]
fn the_chosen_batch_is_that_of_engines_and_packages() {
    let workspace = Workspace::tiny();
    // Of the tiny model's 75 KiB of weights a quarter is soon spent.
    workspace.edit("tiny.toml", "[compile]", "[compile]\nmax_batch = \"auto\"");
    workspace.edit(
        "tiny.toml",
        "batch = [1, 2, 4]\nsequence = [4, 16, 64]",
        "batch = [1, 2, 64]\nsequence = [4, 4, 4]",
    );
    let plan = workspace.json(&["plan", "tiny.toml"]);
    let chosen = plan["dense_batch"].as_u64().unwrap();
    assert!((2..64).contains(&chosen), "{plan}");
    assert_eq!(plan["max_batch"], chosen);
    let memory = |batch: u64| {
        let all = rows(&plan, "tensorrt-fp16-l4");
        let row = all.iter().find(|row| row["max_batch"] == batch).unwrap();
        number(row, "weight_byte_count") + number(row, "activation_byte_count")
    };
    assert!(4 * memory(chosen) <= 5 * memory(1) && 4 * memory(2 * chosen) > 5 * memory(1), "{plan}");
    let report = workspace.json(&["package", "tiny.toml"]);
    for archive in report["archives"].as_array().unwrap() {
        assert_eq!(archive["max_batch_size"], chosen);
    }
    for row in report["plan"].as_array().unwrap() {
        assert_eq!((&row["max_batch"], &row["source"]), (&chosen.into(), &"builder".into()));
    }
    // A request that the chosen batch does not take is refused.
    workspace.edit("tiny.toml", "[load]", "[load]\nbatch = 64");
    workspace
        .planforge(&["run", "tiny.toml"])
        .fails(2, &["key `load.batch`", "invalid value 64; expected 1 to 8", "`compile.max_batch`"]);
    workspace.edit("tiny.toml", "max_batch = \"auto\"", "max_batch = \"most\"");
    workspace.planforge(&["plan", "tiny.toml"]).fails(2, &["`most`", "profile", "auto"]);
}

#[test]
fn an_engine_is_inspected_with_its_log() {
    let workspace = Workspace::tiny();
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4", "--precision", "fp16"]).succeeds();
    let plan = "planforge-out/tiny/engines/tensorrt-fp16-l4/model.plan";
    let found = workspace.json(&["inspect", plan]);
    assert_eq!(found["compute_capabilities"], serde_json::json!(["8.9"]));
    assert!(found["figures"]["activation_byte_count"].as_u64().unwrap() > 0, "{found}");
    assert!(found["figures"]["weight_byte_count"].as_u64().unwrap() > 10_000, "{found}");
    let text = workspace.planforge(&["inspect", plan]).stdout;
    assert!(text.contains("TensorRT-RTX 1.7.1.116 engine") && text.contains("activations on the GPU: "), "{text}");
    workspace.write("other.plan", "no engine");
    workspace.planforge(&["inspect", "other.plan"]).fails(2, &["`other.plan`", "not a TensorRT-RTX engine"]);
}

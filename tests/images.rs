//! Models over images: preprocessing against the references (scripts/reference/images.py), and the whole job.

use crate::support::{Workspace, tiny_vit};
use planforge_core::{DigestCache, NoProgress, Snapshot};
use planforge_engine::read_images;
use planforge_testkit::{CaseKind, FixtureCase, fixture_cases, repository};
use serde_json::Value;
use std::path::PathBuf;

/// Largest difference of a channel's value in steps of the 255 an image has: none but that of the digits in the file.
const PNG_TOLERANCE: f64 = 0.02;
/// The same for JPEG, whose decoders round differently, and the largest on average.
const JPEG_TOLERANCE: (f64, f64) = (3.01, 0.5);

fn fixtures() -> PathBuf {
    repository().join("fixtures/images")
}

#[test]
fn images_are_prepared_as_the_references_do() {
    for FixtureCase { name, folder, image_size, deviation, .. } in fixture_cases(CaseKind::Preprocessing) {
        let (size, deviations) = (image_size.unwrap(), deviation.unwrap());
        let expected: Value = serde_json::from_slice(&fs_err::read(folder.join("expected.json")).unwrap()).unwrap();
        let files = ["config.json", "preprocessor_config.json"].into_iter().filter(|file| folder.join(file).exists());
        let image = |file: &str| match folder.join(file) {
            own if own.exists() => own,
            _ => fixtures().join(file),
        };
        let file = |path: &str| planforge_core::ArtifactFile {
            path: path.to_owned(),
            byte_count: 0,
            sha256: DigestCache::default().digest(&folder.join(path), &NoProgress).unwrap(),
        };
        let local = || "local".to_owned();
        let files = files.map(file).collect();
        let snapshot = Snapshot {
            repo: local(),
            revision: local(),
            commit: planforge_core::Commit::Local,
            directory: folder.clone(),
            files,
            graphs: Vec::new(),
        };
        let paths = ["wide.png", "tall.jpg"].map(image);
        let found = read_images(&snapshot, &paths, size).unwrap();
        let values: Vec<f64> = serde_json::from_value(expected["values"].clone()).unwrap();
        assert_eq!(found.values.len(), values.len());
        let step = |index: usize| 1.0 / 255.0 / deviations[index / (size.height * size.width) % 3];
        let pairs = found.values.iter().zip(&values).enumerate();
        let differences = pairs.map(|(index, (a, b))| (f64::from(*a) - b).abs() / step(index));
        let differences: Vec<f64> = differences.collect();
        let (png, jpeg) = differences.split_at(differences.len() / 2);
        let most = |differences: &[f64]| differences.iter().copied().fold(0.0, f64::max);
        assert!(most(png) <= PNG_TOLERANCE, "{name}: {:.3} steps", most(png));
        let mean = jpeg.iter().sum::<f64>() / jpeg.len() as f64;
        let is_close = most(jpeg) <= JPEG_TOLERANCE.0 && mean <= JPEG_TOLERANCE.1;
        assert!(is_close, "{name}: at most {:.2} steps, {mean:.3} on average", most(jpeg));
    }
}

/// A pipeline over the smallest ViT, with every step of a run.
fn vit() -> Workspace {
    tiny_vit(
        "name = \"vit\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n\
         [[profiles]]\nbatch = [1, 2, 4]\n[export]\nprecisions = [\"fp32\", \"fp16\"]\n\
         [compile]\ngpus = [\"t4\", \"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\ncopies = 3\n\
         [load]\nbatch = 2\nstages = [{ users = 2, seconds = 1 }]\n",
    )
}

#[test]
fn a_classifier_of_pictures_runs_from_checkpoint_to_report() {
    let workspace = vit();
    let report = workspace.json(&["run", "vit.toml"]);
    assert_eq!(report["capacity"]["copies"], 3);
    assert_eq!(report["load"]["total"]["failures"], 0);
    assert!(report["load"]["total"]["requests"].as_u64().unwrap() > 10);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["passed"] == true));
    let notes = report["notes"].to_string();
    assert!(notes.contains("Load requests carry a batch of 2 images of 32x32."), "{notes}");
    assert!(!notes.contains("may differ"), "{notes}");
    let engines = report["engines"].as_array().unwrap();
    assert_eq!(engines.len(), 3);
    // The images may be the pipeline's own.
    workspace.edit("vit.toml", "[compile]", "samples = [\"wide.png\", \"tall.jpg\"]\n[compile]");
    workspace.planforge(&["check", "vit.toml"]).succeeds();
}

#[test]
fn pictures_are_classified() {
    let workspace = vit();
    let found = workspace.json(&["infer", "vit.toml", "--image", "wide.png", "--image", "tall.jpg"]);
    assert_eq!(found["shape"], serde_json::json!([2, 3]));
    let guesses = found["guesses"].as_array().unwrap();
    assert_eq!(guesses.len(), 2);
    for guess in guesses {
        let shares: Vec<f64> = guess.as_array().unwrap().iter().map(|g| g["probability"].as_f64().unwrap()).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 && shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    }
    let text = workspace.planforge(&["infer", "vit.toml", "--image", "wide.png"]);
    text.succeeds();
    assert!(text.stdout.contains("wide.png") && text.stdout.contains(" %  class "), "{}", text.stdout);
}

#[test]
fn options_that_do_not_fit_images_are_refused() {
    let workspace = vit();
    workspace.write("text.png", "no image");
    workspace.planforge(&["infer", "vit.toml", "--image", "text.png"]).fails(2, &["cannot read image `text.png`"]);
    workspace.planforge(&["infer", "vit.toml", "--image", "none.png"]).fails(2, &["none.png"]);
    workspace
        .planforge(&["infer", "vit.toml", "--text", "a cat"])
        .fails(2, &["task `image-classification` takes images; use --image"]);
    let cases = [
        ("batch = [1, 2, 4]", "batch = [1, 2, 4]\nsequence = [1, 2, 4]", "which have no sequence"),
        ("precisions", "image_size = [48, 48]\nprecisions", "its position table is for images of 32x32"),
        ("precisions", "image_size = [30, 32]\nprecisions", "images of 30x32 cannot be cut into patches of 8x8"),
        ("precisions", "image_size = [0, 32]\nprecisions", "invalid image size [0, 32]; expected [height, width]"),
        (
            "\"image-classification\"",
            "\"fill-mask\"",
            "is for images; use `image-classification` or `image-feature-extraction`",
        ),
    ];
    for (from, to, words) in cases {
        let workspace = vit();
        workspace.edit("vit.toml", from, to);
        workspace.planforge(&["check", "vit.toml"]).fails(2, &[words]);
    }
    let cases = [
        ("\"num_heads\": 4", "\"num_heads\": 3", "`embed_dim` 16 is not a multiple of `num_heads` 3"),
        ("\"embed_dim\": 16", "\"embed_dim\": 20", "[16, 3, 8, 8]; expected [20, 3, 8, 8]"),
        (
            "\"depth\": 2",
            "\"depth\": 1",
            "unexpected tensors in the checkpoint of model type `vit_tiny_patch16_224`: `blocks.1.",
        ),
        (
            "\"init_values\": 0.1,",
            "\"reg_tokens\": 4,",
            "key `model_args`: unsupported value of `reg_tokens` of `vit_tiny_patch16_224`: 4; expected 0",
        ),
        ("vit_tiny_patch16_224", "swin_tiny_patch4", "unsupported model type `swin_tiny_patch4`; expected one of bert"),
        ("\"global_pool\": \"token\"", "\"global_pool\": \"avg\"", "`global_pool` is `avg`, expected `token`"),
        ("\"tag\"", "\"label_offset\": 1, \"tag\"", "key `label_offset`: unsupported value 1; expected null or 0"),
        (
            "\"crop_mode\": \"center\"",
            "\"input_size\": 5",
            "key `pretrained_cfg.input_size`: invalid type: integer `5`",
        ),
    ];
    for (from, to, words) in cases {
        let workspace = vit();
        workspace.edit("model/config.json", from, to);
        workspace.planforge(&["check", "vit.toml"]).fails(2, &[words]);
    }
}

/// A pipeline over the smallest ConvNeXt or ViT of transformers, with this image processor.
fn with_image_processor(name: &str, processor: &str) -> Workspace {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let source = repository().join("fixtures/models").join(name).join(file);
        fs_err::copy(source, workspace.path("model").join(file)).unwrap();
    }
    fs_err::copy(fixtures().join("wide.png"), workspace.path("wide.png")).unwrap();
    workspace.write("model/preprocessor_config.json", processor);
    let head = "name = \"m\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n";
    workspace.write("m.toml", &format!("{head}[[profiles]]\nbatch = [1, 1, 1]\n"));
    workspace
}

#[test]
fn a_graph_takes_images_of_the_size_that_the_image_processor_gives() {
    let size_of =
        |workspace: &Workspace| workspace.json(&["inspect", "m.toml"])["inputs"][0]["dims"][2]["fixed"].clone();
    let workspace =
        with_image_processor("convnext", "{\"feature_extractor_type\": \"ConvNextFeatureExtractor\", \"size\": 48}");
    assert_eq!(size_of(&workspace), 48);
    workspace.planforge(&["infer", "m.toml", "--image", "wide.png"]).succeeds();
    workspace.edit("m.toml", "[[profiles]]", "[export]\nimage_size = [64, 64]\n[[profiles]]");
    assert_eq!(size_of(&workspace), 64);
    workspace.planforge(&["infer", "m.toml", "--image", "wide.png"]).succeeds();
}

#[test]
fn image_processors_that_are_not_described_are_refused() {
    for (processor, words) in [
        ("{\"image_processor_type\": \"BeitImageProcessor\"}", "unsupported image processor `BeitImageProcessor`"),
        ("{\"do_pad\": true, \"size\": 32}", "key `do_pad`: unsupported value true; expected false"),
        // The default of its class.
        (
            "{\"image_processor_type\": \"PI0ImageProcessor\", \"size\": 32}",
            "key `do_pad`: unsupported value true; expected false",
        ),
        ("{\"resample\": 4, \"size\": 32}", "key `resample`: unsupported value 4; expected 0 to 3"),
        (
            "{\"size\": {\"longest_edge\": 32}}",
            "key `size`: unsupported value {\"longest_edge\":32}; expected a number",
        ),
        ("{\"size\": 48}", "its position table is for images of 32x32"),
    ] {
        with_image_processor("vit", processor).planforge(&["export", "m.toml"]).fails(2, &[words]);
    }
    // The size of what comes out depends on the image, which is no square.
    let workspace = with_image_processor("vit", "{\"do_resize\": false}");
    let infer = workspace.planforge(&["infer", "m.toml", "--image", "wide.png"]);
    infer.fails(2, &["`wide.png`: the image processor gives 40x61 pixels, but the model takes 32x32"]);
}

#[test]
fn requests_beyond_what_sagemaker_accepts_are_refused() {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let source = repository().join("fixtures/models/timm-resnet18").join(file);
        fs_err::copy(source, workspace.path("model").join(file)).unwrap();
    }
    // Five images of 640x640 are 24 MB.
    workspace.write(
        "resnet.toml",
        "name = \"resnet\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 5, 5]\n\
         [export]\nimage_size = [640, 640]\n[package]\nplatforms = [\"onnx\"]\ncopies = 1\n\
         [load]\nbatch = 5\nstages = [{ users = 1, seconds = 1 }]\n",
    );
    let ended = workspace.planforge(&["run", "resnet.toml"]);
    ended.fails(2, &["key `load.batch`: a request of 24576", "is beyond the 6291456 that SageMaker accepts"]);
}

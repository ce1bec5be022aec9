//! Builder `trtexec`: a contract test. The tool itself is not run: a fake (fixtures/trtexec/fake) takes the
//! options that each version takes, refuses others, and prints lines of the tool's form.

use crate::support::{Ended, Workspace, end};
use planforge_testkit::repository;

const VERSIONS: [&str; 3] = ["8.6.1", "10.9.0", "11.1.0"];

/// A pipeline over a small ResNet in fp16, with these lines in `[compile]`.
fn resnet(compile: &str) -> Workspace {
    let workspace = Workspace::empty();
    std::os::unix::fs::symlink(repository().join("fixtures/models/timm-resnet50"), workspace.path("model")).unwrap();
    workspace.write(
        "p.toml",
        &format!(
            "name = \"p\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 4, 8]\n\
             [export]\nprecisions = [\"fp16\"]\nmeasure_ranges = false\n[compile]\nbuilder = \"trtexec\"\ngpus = [\"a10g\"]\n\
             {compile}\n[package]\nplatforms = [\"tensorrt\"]\n"
        ),
    );
    workspace
}

/// Compiles with the fake for a version, and these further variables.
fn compile(workspace: &Workspace, version: &str, variables: &[(&str, &str)]) -> Ended {
    let tool = repository().join("fixtures/trtexec/fake");
    let mut command = workspace.command(&["compile", "p.toml", "--trtexec", tool.to_str().unwrap()]);
    command.env("FAKE_TRTEXEC_VERSION", version).envs(variables.iter().copied());
    end(command)
}

const ENGINE: &str = "planforge-out/p/engines/tensorrt-fp16-a10g";

/// The arguments that the tool was called with, as its own first line repeats them, without folders.
fn arguments(workspace: &Workspace) -> String {
    let log = fs_err::read_to_string(workspace.path(ENGINE).join("build.log")).unwrap();
    let line = log.lines().next().unwrap();
    let words = line.split_once("# trtexec ").unwrap().1.split(' ').map(|word| match word.split_once("=/") {
        Some((key, path)) => format!("{key}={}", path.rsplit('/').next().unwrap()),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_version_gets_options_that_it_takes() {
    let options = "optimization_level = 4\nworkspace = \"1 GiB\"\nversion_compatible = true\n\
                   hardware_compatibility = \"ampere-plus\"";
    let shapes = "--minShapes=INPUT__0:1x3x32x32 --optShapes=INPUT__0:4x3x32x32 --maxShapes=INPUT__0:8x3x32x32";
    let end = "--builderOptimizationLevel=4 --memPoolSize=workspace:1024 --versionCompatible \
               --hardwareCompatibilityLevel=ampere+";
    for (version, full, types) in
        [("8.6.1", "8.6.1", "--fp16 "), ("10.9.0", "10.9.0.34", "--stronglyTyped "), ("11.1.0", "11.1.0.106", "")]
    {
        let workspace = resnet(options);
        let ended = compile(&workspace, version, &[]);
        ended.succeeds();
        let files = "--onnx=model.onnx --saveEngine=model.plan --skipInference";
        let expected = format!("{files} --timingCacheFile=trtexec-a10g-{full}.cache {types}{shapes} {end}");
        assert_eq!(arguments(&workspace), expected);
        assert!(ended.stderr.contains("Engine built in 0.1 sec."), "{}", ended.stderr);
        assert!(fs_err::read_to_string(workspace.path(ENGINE).join("model.plan")).unwrap().contains(version));
        let timings = workspace.path("planforge-out/.cache/timings").join(format!("trtexec-a10g-{full}.cache"));
        assert!(timings.is_file());
    }
}

#[test]
fn bf16_is_built_by_versions_that_have_it_and_refused_for_the_other() {
    for (version, types) in [("10.9.0", "--stronglyTyped "), ("11.1.0", "")] {
        let workspace = resnet("");
        workspace.edit("p.toml", "[\"fp16\"]", "[\"bf16\"]");
        compile(&workspace, version, &[]).succeeds();
        let log = fs_err::read_to_string(workspace.path(&ENGINE.replace("fp16", "bf16")).join("build.log")).unwrap();
        assert!(log.contains(&format!(".cache {types}--minShapes=")), "{log}");
    }
    let workspace = resnet("");
    workspace.edit("p.toml", "[\"fp16\"]", "[\"bf16\"]");
    compile(&workspace, "8.6.1", &[]).fails(1, &["TensorRT 8.6.1", "it has no bf16, 9.0 and later have"]);
    compile(&workspace, "10.9.0", &[]).succeeds();
    workspace.edit("p.toml", "a10g", "t4");
    let words = "no bf16 matrix products for compute capability 7.5; use fp32 or fp16";
    compile(&workspace, "10.9.0", &[]).fails(2, &[words]);
}

#[test]
fn a_second_build_uses_the_timings_of_the_first_and_a_third_run_builds_nothing() {
    let workspace = resnet("");
    compile(&workspace, "10.9.0", &[]).succeeds();
    workspace.edit("p.toml", "[1, 4, 8]", "[1, 2, 4]");
    compile(&workspace, "10.9.0", &[]).succeeds();
    let log = fs_err::read_to_string(workspace.path(ENGINE).join("build.log")).unwrap();
    assert!(log.contains("bytes of timing cache"), "{log}");
    // It would fail now.
    compile(&workspace, "10.9.0", &[("TRTEXEC_FAILS", "1")]).succeeds();
}

#[test]
fn several_profiles_are_for_later_versions() {
    let workspace = resnet("");
    workspace.edit("p.toml", "[export]", "[[profiles]]\nbatch = [8, 16, 32]\n[export]");
    compile(&workspace, "8.6.1", &[]).fails(1, &["TensorRT 8.6.1", "one optimization profile"]);
    compile(&workspace, "10.9.0", &[]).succeeds();
    let line = arguments(&workspace);
    assert!(line.contains("--profile=0 --minShapes=") && line.contains("--profile=1 --minShapes="), "{line}");
}

#[test]
fn a_failed_build_repeats_the_words_of_the_tool() {
    for version in VERSIONS {
        let workspace = resnet("");
        let failed = compile(&workspace, version, &[("TRTEXEC_FAILS", "1")]);
        failed.fails(
            1,
            &["building engine `tensorrt-fp16-a10g` failed", "Could not find any implementation for node stem"],
        );
        let elsewhere = compile(&workspace, version, &[("TRTEXEC_CAPABILITY", "8.9")]);
        elsewhere.fails(1, &["was built on a GPU of compute capability 8.9"]);
    }
}

#[test]
fn what_the_version_or_the_server_does_not_take_is_refused_before_a_build() {
    let workspace = resnet("triton = \"25.09\"");
    let words = ["Triton 25.09 has TensorRT 10.13.3", "`trtexec` is of 10.9.0.34", "as far as is known"];
    compile(&workspace, "10.9.0", &[]).fails(3, &words);
    workspace.edit("p.toml", "\"25.09\"", "\"25.04\"");
    compile(&workspace, "10.9.0", &[]).succeeds();
    workspace.edit("p.toml", "\"25.04\"", "\"25.4\"");
    compile(&workspace, "10.9.0", &[]).fails(2, &["compile.triton", "unknown Triton release `25.4`"]);
    workspace.edit("p.toml", "triton = \"25.4\"", "");
    workspace.edit("p.toml", "a10g", "v100");
    compile(&workspace, "10.9.0", &[])
        .fails(2, &["TensorRT 10.9.0.34 has no compute capability 7.0: 10.4 was the last"]);
    workspace.edit("p.toml", "gpus = [\"v100\"]", "gpus = [\"l4\"]\nfat = true");
    compile(&workspace, "10.9.0", &[]).fails(2, &["compile.fat", "hardware_compatibility"]);
}

#[test]
fn a_missing_tool_is_named_with_the_places_it_was_looked_for() {
    let workspace = resnet("");
    workspace
        .planforge(&["compile", "p.toml", "--trtexec", "nowhere"])
        .fails(3, &["trtexec was not found at", "nowhere"]);
    workspace.write("empty", "");
    workspace.planforge(&["compile", "p.toml", "--trtexec", "empty"]).fails(3, &["empty", "failed"]);
    workspace.edit("p.toml", "builder = \"trtexec\"", "builder = \"rtx\"\nversion_compatible = true");
    workspace
        .planforge(&["compile", "p.toml"])
        .fails(2, &["compile.version_compatible", "unsupported with builder `rtx`"]);
}

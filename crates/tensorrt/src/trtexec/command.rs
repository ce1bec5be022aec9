//! What is wanted, in the options of each version.

use super::TrtexecVersion;
use crate::{Error, ProfileShapes, Result};
use planforge_types::{HardwareCompatibility, InputShapes};
use std::path::PathBuf;

/// The first version that planforge takes.
const FIRST: (u32, u32) = (8, 6);

/// What to build with the tool.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// The ONNX graph; its external data is in the same folder.
    pub graph: PathBuf,
    /// Optimization profiles; none for a graph without dynamic dimensions.
    pub profiles: Vec<ProfileShapes>,
    /// Arithmetic of the graph.
    pub plan_type: PlanType,
    /// Whether the graph mixes types, which only a strongly typed network keeps.
    pub mixes_types: bool,
    /// How long the builder searches, 0 to 5; its default when `None`.
    pub optimization_level: Option<u8>,
    /// Most bytes of scratch memory on the GPU; its default when `None`.
    pub workspace_byte_count: Option<u64>,
    /// Whether weights are left out.
    pub strip_weights: bool,
    /// Whether later versions of TensorRT load the plan too.
    pub version_compatible: bool,
    /// Which other GPUs the plan runs on.
    pub hardware_compatibility: HardwareCompatibility,
    /// Timings of kernels on this GPU by this version; read and written.
    pub timing_cache: PathBuf,
    /// Where the plan goes.
    pub plan: PathBuf,
}

/// Arithmetic of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanType {
    /// binary32.
    Fp32,
    /// binary16.
    Fp16,
    /// bfloat16.
    Bf16,
}

/// The tool's arguments for `request`.
///
/// # Errors
/// [`Error::TrtexecOption`] for what this version cannot do.
pub fn plan_arguments(version: TrtexecVersion, request: &PlanRequest) -> Result<Vec<String>> {
    check(version, request).map_err(|message| Error::TrtexecOption { version: version.to_string(), message })?;
    let mut arguments = vec![
        format!("--onnx={}", request.graph.display()),
        format!("--saveEngine={}", request.plan.display()),
        "--skipInference".to_owned(),
        format!("--timingCacheFile={}", request.timing_cache.display()),
    ];
    arguments.extend(type_arguments(version, request.plan_type));
    for (index, profile) in request.profiles.iter().enumerate() {
        if request.profiles.len() > 1 {
            arguments.push(format!("--profile={index}"));
        }
        arguments.extend(profile_arguments(profile));
    }
    if let Some(level) = request.optimization_level {
        arguments.push(format!("--builderOptimizationLevel={level}"));
    }
    if let Some(byte_count) = request.workspace_byte_count {
        // In MiB. `--workspace`, which 8.6 has still, is deprecated there and gone in 10.
        arguments.push(format!("--memPoolSize=workspace:{}", byte_count.div_ceil(1 << 20)));
    }
    let switches = [(request.strip_weights, "--stripWeights"), (request.version_compatible, "--versionCompatible")];
    arguments.extend(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| (*name).to_owned()));
    match request.hardware_compatibility {
        HardwareCompatibility::None => {}
        HardwareCompatibility::AmperePlus => arguments.push("--hardwareCompatibilityLevel=ampere+".to_owned()),
        HardwareCompatibility::SameComputeCapability => {
            arguments.push("--hardwareCompatibilityLevel=sameComputeCapability".to_owned());
        }
    }
    Ok(arguments)
}

/// 8.6 has types of its own choice within `--fp16`, 9 within `--bf16` too, 10 keeps the graph's when asked, 11 always.
fn type_arguments(version: TrtexecVersion, plan_type: PlanType) -> Option<String> {
    match (version.major, plan_type) {
        (..=9, PlanType::Fp16) => Some("--fp16".to_owned()),
        (..=9, PlanType::Bf16) => Some("--bf16".to_owned()),
        (10, _) => Some("--stronglyTyped".to_owned()),
        _ => None,
    }
}

/// `--minShapes=x:1x3x224x224,y:1x8` and the like.
fn profile_arguments(profile: &ProfileShapes) -> [String; 3] {
    let spec = |dims: &[i64]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
    let all = |shape: fn(&InputShapes) -> &[i64]| {
        profile.iter().map(|input| format!("{}:{}", input.name, spec(shape(input)))).collect::<Vec<_>>().join(",")
    };
    [
        format!("--minShapes={}", all(|input| &input.min)),
        format!("--optShapes={}", all(|input| &input.opt)),
        format!("--maxShapes={}", all(|input| &input.max)),
    ]
}

fn check(version: TrtexecVersion, request: &PlanRequest) -> std::result::Result<(), String> {
    let at_least = |major: u32, minor: u32| (version.major, version.minor) >= (major, minor);
    let is_same = request.hardware_compatibility == HardwareCompatibility::SameComputeCapability;
    let refusals = [
        (!at_least(FIRST.0, FIRST.1), "planforge takes 8.6 and later"),
        (request.profiles.len() > 1 && !at_least(10, 0), "it takes one optimization profile, later ones several"),
        (request.mixes_types && !at_least(10, 0), "it would not keep the values that the export keeps in fp32"),
        (request.plan_type == PlanType::Bf16 && !at_least(9, 0), "it has no bf16, 9.0 and later have"),
        (request.strip_weights && !at_least(10, 0), "it cannot leave weights out, 10.0 and later can"),
        (is_same && !at_least(10, 9), "10.9 is the first with the hardware compatibility `same-compute-capability`"),
    ];
    match refusals.iter().find(|(is_refused, _)| *is_refused) {
        Some((_, words)) => Err((*words).to_owned()),
        None => unnameable(&request.profiles),
    }
}

/// Names with the characters that separate names and sizes cannot be written.
fn unnameable(profiles: &[ProfileShapes]) -> std::result::Result<(), String> {
    let mut names = profiles.iter().flatten().map(|input| &input.name);
    match names.find(|name| name.contains([':', ',', '\''])) {
        Some(name) => Err(format!("the shapes of input `{name}` cannot be written: its name has `:` or `,`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32) -> TrtexecVersion {
        TrtexecVersion { major, minor, patch: 0, build: None }
    }

    fn request() -> PlanRequest {
        let input = |name: &str, rest: &[i64]| {
            let dims = |batch: i64| [&[batch], rest].concat();
            InputShapes { name: name.to_owned(), min: dims(1), opt: dims(4), max: dims(8) }
        };
        PlanRequest {
            graph: "g/model.onnx".into(),
            profiles: vec![vec![input("x", &[3, 32]), input("y", &[])]],
            plan_type: PlanType::Fp16,
            mixes_types: false,
            optimization_level: None,
            workspace_byte_count: None,
            strip_weights: false,
            version_compatible: false,
            hardware_compatibility: HardwareCompatibility::None,
            timing_cache: "t.cache".into(),
            plan: "o/model.plan".into(),
        }
    }

    fn line(major: u32, minor: u32, request: &PlanRequest) -> String {
        plan_arguments(version(major, minor), request).unwrap().join(" ")
    }

    #[test]
    fn each_version_gets_its_own_words_for_types() {
        let common = "--onnx=g/model.onnx --saveEngine=o/model.plan --skipInference --timingCacheFile=t.cache";
        let shapes = "--minShapes=x:1x3x32,y:1 --optShapes=x:4x3x32,y:4 --maxShapes=x:8x3x32,y:8";
        assert_eq!(line(8, 6, &request()), format!("{common} --fp16 {shapes}"));
        assert_eq!(line(10, 9, &request()), format!("{common} --stronglyTyped {shapes}"));
        assert_eq!(line(11, 1, &request()), format!("{common} {shapes}"));
        let fp32 = PlanRequest { plan_type: PlanType::Fp32, ..request() };
        assert_eq!(line(8, 6, &fp32), format!("{common} {shapes}"));
        let bf16 = PlanRequest { plan_type: PlanType::Bf16, ..request() };
        assert_eq!(line(9, 2, &bf16), format!("{common} --bf16 {shapes}"));
        assert_eq!(line(10, 9, &bf16), format!("{common} --stronglyTyped {shapes}"));
        assert_eq!(line(11, 1, &bf16), format!("{common} {shapes}"));
    }

    #[test]
    fn options_become_arguments() {
        let mut asked = request();
        asked.profiles.push(asked.profiles[0].clone());
        asked.optimization_level = Some(5);
        asked.workspace_byte_count = Some((1 << 30) + 1);
        (asked.strip_weights, asked.version_compatible) = (true, true);
        asked.hardware_compatibility = HardwareCompatibility::AmperePlus;
        let line = line(10, 9, &asked);
        assert!(line.contains(" --profile=0 --minShapes=") && line.contains(" --profile=1 --minShapes="), "{line}");
        let end = " --builderOptimizationLevel=5 --memPoolSize=workspace:1025 --stripWeights --versionCompatible \
                   --hardwareCompatibilityLevel=ampere+";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn what_a_version_cannot_do_is_refused() {
        let refusal = |(major, minor): (u32, u32), change: fn(&mut PlanRequest)| {
            let mut asked = request();
            change(&mut asked);
            plan_arguments(version(major, minor), &asked).unwrap_err().to_string()
        };
        assert!(refusal((8, 5), |_| {}).contains("8.6 and later"));
        assert!(refusal((8, 6), |asked| asked.profiles.push(Vec::new())).contains("one optimization profile"));
        assert!(refusal((8, 6), |asked| asked.mixes_types = true).contains("keeps in fp32"));
        assert!(refusal((8, 6), |asked| asked.plan_type = PlanType::Bf16).contains("has no bf16, 9.0 and later have"));
        assert!(refusal((8, 6), |asked| asked.strip_weights = true).contains("leave weights out"));
        let same =
            |asked: &mut PlanRequest| asked.hardware_compatibility = HardwareCompatibility::SameComputeCapability;
        assert!(refusal((10, 8), same).contains("10.9 is the first"));
        assert!(refusal((11, 1), |asked| asked.profiles[0][0].name = "a:0".to_owned()).contains("`a:0`"));
    }
}

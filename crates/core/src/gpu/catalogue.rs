//! The catalogue: data that ships with planforge, and files that users add.

use super::{Builder, BuilderSupport, ComputeCapability, Gpu, Instance};
use crate::{Error, MAX_PIPELINE_BYTE_COUNT, Precision, Result, read_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// GPU types that an error names as the nearest.
const NEAREST: usize = 3;

/// GPU types by name, in catalogue order.
#[derive(Debug, Clone, Serialize)]
pub struct GpuCatalogue {
    /// The types.
    pub gpus: Vec<Gpu>,
    #[serde(skip)]
    data: Data,
}

/// A catalogue file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Data {
    #[serde(rename = "gpu")]
    gpus: Vec<GpuEntry>,
    #[serde(rename = "architecture")]
    architectures: Vec<Architecture>,
    multi_model_instances: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GpuEntry {
    name: String,
    product: String,
    compute_capability: ComputeCapability,
    memory_gib: Option<u32>,
    memory_mib: Option<u32>,
    /// `type`, or `type x count` where there is more than one GPU.
    #[serde(default)]
    instances: Vec<String>,
}

/// GPUs of one compute capability.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    compute_capability: ComputeCapability,
    name: String,
    rtx: Option<Support>,
    trtexec: Option<Support>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Support {
    precisions: Vec<Precision>,
    since: Option<String>,
    until: Option<String>,
}

impl GpuCatalogue {
    /// The catalogue that ships with planforge.
    #[must_use]
    pub fn built_in() -> Self {
        let data: Data =
            toml::from_str(include_str!("gpus.toml")).expect("the catalogue in the source tree is checked by a test");
        Self::of(data).expect("the catalogue in the source tree is checked by a test")
    }

    /// The built-in catalogue with the entries of a user's file added; an entry of the same name, or architecture of the
    /// same compute capability, replaces.
    ///
    /// # Errors
    /// When the file cannot be read, has another shape than `gpus.toml`, or has an invalid instance type.
    pub fn extended_by(self, path: &Path) -> Result<Self> {
        let text = read_text(path, MAX_PIPELINE_BYTE_COUNT)?;
        let fail = |message: String| Error::Parse { what: "GPU catalogue", path: path.to_owned(), message };
        let extra: Data = toml::from_str(&text).map_err(|error| fail(error.to_string()))?;
        let mut data = self.data;
        replace(&mut data.gpus, extra.gpus, |one, other| one.name == other.name);
        let is_same = |one: &Architecture, other: &Architecture| one.compute_capability == other.compute_capability;
        replace(&mut data.architectures, extra.architectures, is_same);
        data.multi_model_instances.extend(extra.multi_model_instances);
        Self::of(data).map_err(fail)
    }

    /// The GPU type that a device is: of those with its compute capability, the one whose product name it carries, else
    /// the one nearest in memory.
    #[must_use]
    pub fn matching(&self, product: &str, capability: ComputeCapability, memory_byte_count: u64) -> Option<&Gpu> {
        let words = |gpu: &Gpu| gpu.product.trim_start_matches("NVIDIA ").to_owned();
        let distance = |gpu: &Gpu| gpu.memory_byte_count().abs_diff(memory_byte_count);
        let rank = |gpu: &&Gpu| {
            let named = product.contains(&words(gpu));
            // Of two names that fit, `L40` and `L40S`, the longer one is more specific.
            (!named, if named { usize::MAX - words(gpu).len() } else { 0 }, distance(gpu))
        };
        self.gpus.iter().filter(|gpu| gpu.compute_capability == capability).min_by_key(rank)
    }

    fn of(data: Data) -> std::result::Result<Self, String> {
        let mut gpus =
            data.gpus.iter().map(|entry| resolve(entry, &data)).collect::<std::result::Result<Vec<_>, _>>()?;
        let all = gpus.clone();
        for gpu in &mut gpus {
            let (capability, memory_gib) = (gpu.compute_capability, gpu.memory_gib);
            for support in &mut gpu.builders {
                let takes = |precision| nearest(capability, memory_gib, support.builder, precision, &all);
                support.nearest = Precision::ALL.map(|precision| (precision, takes(precision))).into();
            }
        }
        Ok(Self { gpus, data })
    }
}

/// Puts each of `extra` in the place of its like, or at the end.
fn replace<T>(list: &mut Vec<T>, extra: Vec<T>, is_same: impl Fn(&T, &T) -> bool) {
    for entry in extra {
        match list.iter_mut().find(|known| is_same(known, &entry)) {
            Some(known) => *known = entry,
            None => list.push(entry),
        }
    }
}

fn resolve(entry: &GpuEntry, data: &Data) -> std::result::Result<Gpu, String> {
    let capability = entry.compute_capability;
    let architecture = data.architectures.iter().find(|known| known.compute_capability == capability);
    let support = |builder: Builder| {
        let found = architecture.and_then(|known| match builder {
            Builder::Rtx => known.rtx.as_ref(),
            Builder::Trtexec => known.trtexec.as_ref(),
        });
        BuilderSupport {
            builder,
            precisions: found.map(|support| support.precisions.clone()).unwrap_or_default(),
            since: found.and_then(|support| support.since.clone()),
            until: found.and_then(|support| support.until.clone()),
            nearest: BTreeMap::new(),
        }
    };
    let memory_gib = entry.memory_gib.or_else(|| entry.memory_mib.map(|mib| mib.div_ceil(1024)));
    let memory_gib = memory_gib
        .ok_or_else(|| format!("missing memory of `{}`; expected `memory_gib` or `memory_mib`", entry.name))?;
    let instance = |text: &String| instance(text, &data.multi_model_instances);
    Ok(Gpu {
        name: entry.name.clone(),
        product: entry.product.clone(),
        compute_capability: capability,
        architecture: architecture.map_or_else(|| "unknown".to_owned(), |known| known.name.clone()),
        memory_gib,
        memory_mib: entry.memory_mib,
        instances: entry.instances.iter().map(instance).collect::<std::result::Result<_, _>>()?,
        builders: Builder::ALL.map(support).to_vec(),
    })
}

fn instance(text: &str, multi_model: &[String]) -> std::result::Result<Instance, String> {
    let (name, gpu_count) = match text.split_once(" x ") {
        None => (text, 1),
        Some((name, count)) => {
            let count =
                count.parse().map_err(|_| format!("invalid instance `{text}`: `{count}` is not a number of GPUs"))?;
            (name, count)
        }
    };
    let multi_model = multi_model.iter().any(|known| known == name);
    Ok(Instance { name: name.to_owned(), gpu_count, multi_model })
}

/// Names of the GPU types that `builder` takes in `precision`, nearest first by compute capability; of those alike, types
/// in AWS's instances come first, then the nearest in memory.
fn nearest(
    capability: ComputeCapability,
    memory_gib: u32,
    builder: Builder,
    precision: Precision,
    all: &[Gpu],
) -> Vec<String> {
    let number = |capability: ComputeCapability| u32::from(capability.major) * 10 + u32::from(capability.minor);
    let mut found: Vec<&Gpu> = all.iter().filter(|gpu| gpu.precisions(builder).contains(&precision)).collect();
    found.sort_by_key(|gpu| {
        let distance = number(gpu.compute_capability).abs_diff(number(capability));
        (distance, gpu.instances.is_empty(), gpu.memory_gib.abs_diff(memory_gib))
    });
    found.iter().take(NEAREST).map(|gpu| gpu.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_catalogue_parses_and_knows_the_study_gpus() {
        let catalogue = GpuCatalogue::built_in();
        for (name, capability) in [("t4", "7.5"), ("v100", "7.0"), ("a10g", "8.6"), ("l4", "8.9")] {
            assert_eq!(catalogue.find(name).unwrap().compute_capability.to_string(), capability);
        }
    }

    #[test]
    fn every_type_has_an_architecture_and_every_documented_instance_a_type() {
        let catalogue = GpuCatalogue::built_in();
        assert!(catalogue.gpus.iter().all(|gpu| gpu.architecture != "unknown"));
        let instances: Vec<_> = catalogue.gpus.iter().flat_map(|gpu| &gpu.instances).collect();
        for name in &catalogue.data.multi_model_instances {
            let found: Vec<_> = instances.iter().filter(|instance| instance.name == *name).collect();
            assert!(found.len() == 1 && found[0].multi_model && found[0].gpu_count == 1, "{name}");
        }
    }

    #[test]
    fn a_users_file_adds_types_and_architectures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let own = "[[gpu]]\nname = \"a16\"\nproduct = \"NVIDIA A16\"\ncompute_capability = \"8.6\"\nmemory_gib = 16\n\
                   [[gpu]]\nname = \"new\"\nproduct = \"New\"\ncompute_capability = \"13.0\"\nmemory_gib = 16\n\
                   instances = [\"n1.large x 2\"]\n";
        fs_err::write(&path, own).unwrap();
        let catalogue = GpuCatalogue::built_in().extended_by(&path).unwrap();
        assert!(catalogue.find("a16").unwrap().check(Builder::Rtx, Precision::Fp16).is_ok());
        let new = catalogue.find("new").unwrap();
        assert_eq!((new.instances[0].gpu_count, new.is_supported(Builder::Rtx)), (2, false));
        let support =
            "[[architecture]]\ncompute_capability = \"13.0\"\nname = \"Next\"\nrtx = { precisions = [\"fp16\"] }\n";
        fs_err::write(&path, format!("{own}{support}")).unwrap();
        let catalogue = GpuCatalogue::built_in().extended_by(&path).unwrap();
        assert!(catalogue.find("new").unwrap().is_supported(Builder::Rtx));
        fs_err::write(&path, own.replace("x 2", "x two")).unwrap();
        let error = GpuCatalogue::built_in().extended_by(&path).unwrap_err().to_string();
        assert!(error.contains("`two` is not a number of GPUs"), "{error}");
    }

    #[test]
    fn memory_is_what_the_driver_reports_where_that_is_known() {
        let catalogue = GpuCatalogue::built_in();
        let memory = |name| catalogue.find(name).unwrap().memory_byte_count();
        assert_eq!((memory("t4"), memory("a10g")), (15_360 << 20, 23_028 << 20));
        assert_eq!(memory("v100"), 16 << 30);
        assert!(catalogue.gpus.iter().all(|gpu| gpu.memory_byte_count() <= u64::from(gpu.memory_gib) << 30));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let own = "[[gpu]]\nname = \"a16\"\nproduct = \"NVIDIA A16\"\ncompute_capability = \"8.6\"\n";
        fs_err::write(&path, format!("{own}memory_mib = 15356\n")).unwrap();
        let own_gpu = GpuCatalogue::built_in().extended_by(&path).unwrap().find("a16").unwrap().clone();
        assert_eq!((own_gpu.memory_gib, own_gpu.memory_byte_count()), (15, 15_356 << 20));
        fs_err::write(&path, own).unwrap();
        let error = GpuCatalogue::built_in().extended_by(&path).unwrap_err().to_string();
        assert!(error.contains("missing memory of `a16`; expected `memory_gib` or `memory_mib`"), "{error}");
    }

    #[test]
    fn devices_are_known_by_capability_name_and_memory() {
        let catalogue = GpuCatalogue::built_in();
        let name = |product: &str, capability: &str, gib: u64| {
            let found = catalogue.matching(product, capability.parse().unwrap(), gib << 30);
            found.map(|gpu| gpu.name.clone())
        };
        assert_eq!(name("NVIDIA L40S", "8.9", 44).as_deref(), Some("l40s"));
        assert_eq!(name("NVIDIA L4", "8.9", 22).as_deref(), Some("l4"));
        assert_eq!(name("Tesla T4", "7.5", 15).as_deref(), Some("t4"));
        assert_eq!(name("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", 95).as_deref(), Some("rtx-pro-6000"));
        assert_eq!(name("Tesla V100-SXM2-32GB", "7.0", 31).as_deref(), Some("v100-32gb"));
        assert_eq!(name("NVIDIA A100-SXM4-40GB", "8.0", 39).as_deref(), Some("a100"));
        assert_eq!(name("NVIDIA GeForce RTX 4070 Ti", "8.9", 12).as_deref(), Some("rtx-4070-ti"));
        assert_eq!(name("NVIDIA H200", "9.0", 140).as_deref(), Some("h200"));
        assert_eq!(name("NVIDIA GeForce GTX 1080", "6.1", 8), None);
    }
}

//! What the server's command line and a model's parameters choose.

use crate::{Error, Result};
use planforge_runtime::{SessionOptions, Spinning};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Longer than the small operators between two large ones take, so that threads are there for the next, and so short that
/// a thread with nothing to do soon leaves the processor to others. Measured with all-MiniLM-L6-v2 on two processors: as
/// fast as ONNX Runtime's own long spinning when nothing else runs, 1.2 to 1.7 times as fast next to one busy process;
/// without spinning 0.77 to 0.89 times as fast when nothing else runs.
const BETWEEN_OPERATORS: Spinning = Spinning::Microseconds(20);

/// A parameter of earlier releases, whose packages still load.
const FUSED_KERNELS: &str = "enable_fused_kernels";

/// The part of the server's settings for this backend that matters here.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct BackendSettings {
    #[serde(default)]
    cmdline: BTreeMap<String, String>,
}

impl BackendSettings {
    /// Reads the server's account.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|source| Error::Described { what: "the server's backend settings", source })
    }

    /// The library that the command line names in this setting.
    pub(crate) fn library(&self, setting: &str) -> Option<PathBuf> {
        self.cmdline.get(setting).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The folder of all backends.
    pub(crate) fn backends_folder(&self) -> Option<PathBuf> {
        self.cmdline.get("backend-directory").map(PathBuf::from)
    }
}

/// String parameters of a `config.pbtxt`, named as Triton's ONNX Runtime backend names its own.
#[derive(Debug, Clone)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl From<BTreeMap<String, String>> for Parameters {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl Parameters {
    /// Session options: those of the parameters, else all processors, spinning from one operator to the next, and an
    /// arena with memory patterns, as Triton's own ONNX Runtime backend has them. all-MiniLM-L6-v2 answers 1.3 to 1.4
    /// times as many requests with an arena; the memory of its largest batch stays with a model until it is unloaded.
    /// With patterns each run takes one block instead of one for each tensor. Instances that ran at the same time answered
    /// 1.1 to 1.2 times as many requests with them while two threads in one run were slow, and as many otherwise; it may be
    /// that a thread gets its own block back, not memory that another core wrote to last. Patterns of a thousand shapes took
    /// half a megabyte, and a block is some MB more than its tensors.
    pub(crate) fn session_options(&self) -> Result<SessionOptions> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(SessionOptions {
            intra_op_threads: self.count("intra_op_thread_count")?.map_or(processors, usize::from),
            inter_op_threads: self.count("inter_op_thread_count")?.map_or(1, usize::from),
            spinning: match self.flag("allow_spinning")? {
                Some(true) => Spinning::Long,
                Some(false) => Spinning::Never,
                None => BETWEEN_OPERATORS,
            },
            arena: self.flag("enable_mem_arena")?.unwrap_or(true),
            memory_pattern: self.flag("enable_mem_pattern")?.unwrap_or(true),
            ..SessionOptions::default()
        })
    }

    /// The parameter that earlier releases had and this one ignores, if the model still sets it.
    pub(crate) fn obsolete(&self) -> Option<&'static str> {
        self.0.contains_key(FUSED_KERNELS).then_some(FUSED_KERNELS)
    }

    /// The library that the model names in this parameter.
    pub(crate) fn library(&self, parameter: &str) -> Option<PathBuf> {
        self.0.get(parameter).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number of threads; 0 leaves the choice to the backend.
    fn count(&self, name: &'static str) -> Result<Option<NonZeroUsize>> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let count: usize = value.trim().parse().map_err(|_| Error::Parameter {
            name,
            value: value.clone(),
            expected: "a number of threads, or 0 for all processors",
        })?;
        Ok(NonZeroUsize::new(count))
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        match value.trim().to_lowercase().as_str() {
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err(Error::Parameter { name, value: value.clone(), expected: "`1` or `0`" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parameters(values: &[(&str, &str)]) -> Parameters {
        let owned = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Parameters(owned.collect())
    }

    #[test]
    fn the_command_line_is_read() {
        let text = r#"{"cmdline":{"auto-complete-config":"false","backend-directory":"/opt/b","onnxruntime-library":"/a/b.so"}}"#;
        let settings = BackendSettings::parse(text).unwrap();
        assert_eq!(settings.library("onnxruntime-library").as_deref(), Some(Path::new("/a/b.so")));
        assert_eq!(settings.backends_folder().as_deref(), Some(Path::new("/opt/b")));
        assert!(BackendSettings::parse("{}").unwrap().library("onnxruntime-library").is_none());
    }

    #[test]
    fn parameters_choose_session_options() {
        let chosen = parameters(&[
            ("intra_op_thread_count", "3"),
            ("inter_op_thread_count", "0"),
            ("enable_mem_arena", "0"),
            ("enable_mem_pattern", "0"),
            ("allow_spinning", "True"),
            ("planforge.gpu", "l4"),
        ]);
        let options = chosen.session_options().unwrap();
        assert_eq!((options.intra_op_threads, options.inter_op_threads), (3, 1));
        assert_eq!((options.arena, options.spinning, options.memory_pattern), (false, Spinning::Long, false));
        let options = parameters(&[("allow_spinning", "0")]).session_options().unwrap();
        assert_eq!((options.arena, options.spinning, options.memory_pattern), (true, Spinning::Never, true));
        assert_eq!(parameters(&[]).session_options().unwrap().spinning, BETWEEN_OPERATORS);
    }

    #[test]
    fn a_parameter_of_earlier_releases_is_ignored_regardless_of_its_value() {
        let old = parameters(&[("enable_fused_kernels", "maybe")]);
        assert_eq!(old.session_options().unwrap(), parameters(&[]).session_options().unwrap());
        assert_eq!((old.obsolete(), parameters(&[]).obsolete()), (Some("enable_fused_kernels"), None));
    }

    #[test]
    fn mistakes_name_the_parameter() {
        let message = |name, value| parameters(&[(name, value)]).session_options().unwrap_err().to_string();
        assert_eq!(
            message("intra_op_thread_count", "two"),
            "parameter `intra_op_thread_count` is `two`, expected a number of threads, or 0 for all processors"
        );
        assert_eq!(message("enable_mem_arena", "yes"), "parameter `enable_mem_arena` is `yes`, expected `1` or `0`");
    }
}

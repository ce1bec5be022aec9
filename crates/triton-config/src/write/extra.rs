//! Fields that a user adds to a configuration.

use super::text::Fields;
use crate::text_format::{self, Field};
use crate::{Error, Result, fields};
use std::path::PathBuf;

/// Fields that follow from the model: another value would not fit it.
const OF_THE_MODEL: [&str; 8] = [
    "name",
    "platform",
    "backend",
    "max_batch_size",
    "input",
    "output",
    "default_model_filename",
    "cc_model_filenames",
];

/// Fields of a configuration as a user writes them. They take the place of planforge's own of the same name, but for
/// `parameters`, which are added, and those that follow from the model, which are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraConfig {
    /// The file, for messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl ExtraConfig {
    /// The text of `fields` and these after it.
    ///
    /// # Errors
    /// [`Error::ExtraConfig`] for what Triton's configurations do not have, and for what the model decides.
    pub(super) fn merge(&self, mut fields: Fields) -> Result<String> {
        for field in self.parse()? {
            let fault = |reason: String| Err(self.fault(field.line, reason));
            match field.name.as_str() {
                name if OF_THE_MODEL.contains(&name) => {
                    return fault(format!("`{name}` follows from the model; leave it out"));
                }
                "parameters" => {
                    let key = field.last("key").map_or("", Field::text);
                    if key.starts_with("planforge.") {
                        return fault(format!("parameter `{key}` follows from the model; leave it out"));
                    }
                }
                // The two exclude each other.
                "sequence_batching" => fields.remove("dynamic_batching"),
                name => fields.remove(name),
            }
        }
        let mut text = fields.into_text();
        text.push_str(&self.text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    fn parse(&self) -> Result<Vec<Field>> {
        let parsed = text_format::parse(&self.text).map_err(|error| self.fault(error.line, error.reason))?;
        fields::check(&parsed).map_err(|(line, reason)| self.fault(line, reason))?;
        Ok(parsed)
    }

    fn fault(&self, line: usize, reason: String) -> Error {
        Error::ExtraConfig { path: self.path.clone(), line, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str) -> Result<String> {
        let mut fields = Fields::default();
        fields.string("name", "m");
        fields.add("dynamic_batching", "dynamic_batching { }\n".to_owned());
        fields.parameter("planforge.gpu", "l4");
        ExtraConfig { path: PathBuf::from("more.pbtxt"), text: text.to_owned() }.merge(fields)
    }

    #[test]
    fn fields_take_the_place_of_ours_and_parameters_are_added() {
        let own = "# Mine.\ndynamic_batching { default_queue_policy { max_queue_size: 9 } }\n\
                   parameters { key: \"k\" value { string_value: \"v\" } }";
        let parameter = "parameters { key: \"planforge.gpu\" value { string_value: \"l4\" } }\n";
        assert_eq!(merged(own).unwrap(), format!("name: \"m\"\n{parameter}{own}\n"));
        let sequence = "sequence_batching { max_sequence_idle_microseconds: 5 }\n";
        assert_eq!(merged(sequence).unwrap(), format!("name: \"m\"\n{parameter}{sequence}"));
        assert!(merged("").unwrap().contains("dynamic_batching"));
    }

    #[test]
    fn fields_that_do_not_fit_are_refused_with_their_line() {
        let fault = |text: &str| merged(text).unwrap_err().to_string();
        assert_eq!(
            fault("\nmax_batch_size: 12"),
            "`more.pbtxt` line 2: `max_batch_size` follows from the model; leave it out"
        );
        assert_eq!(fault("priority: 1"), "`more.pbtxt` line 1: there is no field `priority` here");
        assert_eq!(fault("instance_group ["), "`more.pbtxt` line 1: the text ends where a value is expected");
        let parameter = fault("parameters { key: \"planforge.gpu\" value { string_value: \"t4\" } }");
        assert!(parameter.contains("parameter `planforge.gpu` follows from the model"), "{parameter}");
    }
}

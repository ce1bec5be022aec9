//! Special tokens and tokens beyond the vocabulary.

use super::files::{ADDED_TOKENS, SPECIAL_TOKENS, TOKENIZER};
use crate::Result;
use crate::json::{file_error, in_folder, read_json_if_there};
use planforge_core::Snapshot;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::AddedToken;

/// Roles of special tokens, in the order in which the reference adds them.
pub(super) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A token as files have it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Token {
    /// Its text.
    pub(super) content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    /// As `special` asks where the file does not say.
    normalized: Option<bool>,
    special: bool,
    /// Whether the file has its text alone.
    is_text: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a token: expected a text, or an object with `content`")]
enum Written {
    Text(String),
    Object {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        #[serde(default)]
        special: bool,
    },
}

impl From<Written> for Token {
    fn from(written: Written) -> Self {
        match written {
            Written::Text(content) => Self::of_text(&content),
            Written::Object { content, single_word, lstrip, rstrip, normalized, special } => {
                Self { content, single_word, lstrip, rstrip, normalized, special, is_text: false }
            }
        }
    }
}

impl Token {
    /// A token that is written as a text.
    pub(super) fn of_text(content: &str) -> Self {
        let content = content.to_owned();
        Self {
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: None,
            special: false,
            is_text: true,
        }
    }

    /// A special token that takes the spaces before it, as the mask of some models.
    pub(super) fn with_spaces_before(content: &str) -> Self {
        Self { lstrip: true, is_text: false, ..Self::of_text(content) }
    }

    /// A token that a SentencePiece model lists.
    pub(super) fn of_piece(content: String, special: bool) -> Self {
        Self { content, normalized: Some(false), special, is_text: false, ..Self::of_text("") }
    }

    /// Takes the spaces before it where it is written as a text.
    pub(super) const fn take_spaces_before(&mut self) {
        if self.is_text {
            self.lstrip = true;
            self.is_text = false;
        }
    }

    /// As the tokenizer takes it; texts alone and tokens with a role are special.
    pub(super) fn added(&self, has_role: bool) -> AddedToken {
        let special = self.special || self.is_text || has_role;
        AddedToken::from(self.content.clone(), special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!special))
    }
}

/// The tokens that files name.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    /// By role; none for a role that a file removes.
    pub(super) by_role: BTreeMap<&'static str, Option<Token>>,
    /// Special tokens of roles that only some models have, such as `image_token`.
    pub(super) named: Vec<Token>,
    /// Tokens beyond the vocabulary, by number.
    pub(super) added: BTreeMap<u64, Token>,
    /// Special tokens without a role, of `tokenizer_config.json`.
    pub(super) extra: Option<Vec<Token>>,
    /// Those of `special_tokens_map.json`.
    pub(super) older_extra: Option<Vec<Token>>,
}

impl Tokens {
    /// The text of the token of a role.
    pub(super) fn text(&self, role: &str) -> Option<String> {
        self.by_role.get(role)?.as_ref().map(|token| token.content.clone())
    }

    /// The tokens of `tokenizer_config.json`, and of the older files where it does not list the tokens beyond the vocabulary.
    ///
    /// # Errors
    /// Files of another shape.
    pub(super) fn read(
        snapshot: &Snapshot,
        folder: &str,
        settings_file: &str,
        settings: &Map<String, Value>,
    ) -> Result<Self> {
        let fail = |file: &str, error: serde_json::Error| file_error(snapshot, file, error.to_string());
        let mut tokens = Self::default();
        tokens.extra = tokens.take(settings, false).map_err(|error| fail(settings_file, error))?;
        match settings.get("added_tokens_decoder") {
            Some(listed) => {
                let listed: BTreeMap<u64, Token> =
                    serde_json::from_value(listed.clone()).map_err(|error| fail(settings_file, error))?;
                tokens.added = listed;
            }
            None => tokens.read_older(snapshot, folder)?,
        }
        // A role's token has the properties that it is listed with.
        let listed: BTreeMap<&str, &Token> =
            tokens.added.values().map(|token| (token.content.as_str(), token)).collect();
        for token in tokens.by_role.values_mut().flatten() {
            if let Some(listed) = listed.get(token.content.as_str()) {
                *token = (*listed).clone();
            }
        }
        Ok(tokens)
    }

    /// `special_tokens_map.json`, `added_tokens.json`, and what `tokenizer.json` lists.
    fn read_older(&mut self, snapshot: &Snapshot, folder: &str) -> Result<()> {
        let file = in_folder(folder, SPECIAL_TOKENS);
        if let Some(map) = read_json_if_there::<Map<String, Value>>(snapshot, &file)? {
            let extra = self.take(&map, true).map_err(|error| file_error(snapshot, &file, error.to_string()))?;
            self.older_extra = extra;
        }
        let numbers: Option<BTreeMap<String, u64>> = read_json_if_there(snapshot, &in_folder(folder, ADDED_TOKENS))?;
        let roles = self.by_role.values().flatten();
        let special = roles.chain(self.extra.iter().flatten()).map(|token| token.content.clone());
        let special: BTreeSet<String> = special.collect();
        for (content, number) in numbers.into_iter().flatten() {
            let special = special.contains(&content);
            let token = Token { special, normalized: Some(!special), is_text: false, ..Token::of_text(&content) };
            self.added.insert(number, token);
        }
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            added_tokens: Vec<Numbered>,
        }
        #[derive(Deserialize)]
        struct Numbered {
            id: u64,
            #[serde(flatten)]
            token: Map<String, Value>,
        }
        let file = in_folder(folder, TOKENIZER);
        let whole: Option<Whole> = read_json_if_there(snapshot, &file)?;
        for Numbered { id, token } in whole.into_iter().flat_map(|whole| whole.added_tokens) {
            let token = serde_json::from_value(Value::Object(token));
            self.added.insert(id, token.map_err(|error| file_error(snapshot, &file, error.to_string()))?);
        }
        Ok(())
    }

    /// Takes the tokens of an object with roles as keys, and returns those without a role; all that it has as an object are
    /// special where `are_special`.
    fn take(&mut self, values: &Map<String, Value>, are_special: bool) -> serde_json::Result<Option<Vec<Token>>> {
        let read = |value: &Value| -> serde_json::Result<Token> {
            let mut token: Token = serde_json::from_value(value.clone())?;
            token.special |= are_special && !token.is_text;
            Ok(token)
        };
        for role in ROLES {
            if let Some(value) = values.get(role) {
                self.by_role.insert(role, if value.is_null() { None } else { Some(read(value)?) });
            }
        }
        self.named.extend(named(values).map(read).collect::<serde_json::Result<Vec<Token>>>()?);
        let listed = |key: &str| match values.get(key) {
            Some(Value::Array(values)) => Some(values.iter().collect::<Vec<_>>()),
            Some(Value::Object(values)) => Some(values.values().collect()),
            _ => None,
        };
        let extra = listed("extra_special_tokens").filter(|values| !values.is_empty());
        let extra = extra.or_else(|| listed("additional_special_tokens"));
        extra.map(|values| values.into_iter().map(read).collect()).transpose()
    }
}

/// End of the keys that name a token.
const OF_TOKEN: &str = "_token";

/// Tokens of an object with roles as keys whose roles only some models have; where there is none, those of
/// `model_specific_special_tokens`.
fn named(values: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let is_token = |value: &Value| value.is_string() || value.get("__type").is_some_and(|kind| kind == "AddedToken");
    let is_own = |key: &str| key.ends_with(OF_TOKEN) && !ROLES.contains(&key);
    let own: Vec<&Value> =
        values.iter().filter(|(key, value)| is_own(key) && is_token(value)).map(|(_, value)| value).collect();
    let specific = values.get("model_specific_special_tokens").and_then(Value::as_object).filter(|_| own.is_empty());
    own.into_iter().chain(specific.into_iter().flat_map(Map::values).filter(move |value| is_token(value)))
}

//! Tokenizers of each class.

use super::class::TokenizerClass;
use super::files::{SETTINGS, TOKENIZER};
use super::settings::Settings;
use super::tokens::{ROLES, Token, Tokens};
use super::vocabulary::{Vocabulary, failure, missing};
use crate::Result;
use crate::json::{file_error, in_folder};
use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, Snapshot, open_bounded};
use std::path::Path;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, DecoderWrapper, PostProcessorWrapper, Tokenizer};

/// What SentencePiece writes for a space.
const SPACE: char = '▁';

impl TokenizerClass {
    /// The special tokens that a tokenizer has where files do not name others.
    const fn default_tokens(self) -> [Option<&'static str>; 7] {
        match self {
            Self::Bert | Self::DistilBert => {
                [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")]
            }
            Self::Mpnet => {
                [Some("<s>"), Some("</s>"), Some("[UNK]"), Some("</s>"), Some("<pad>"), Some("<s>"), Some("<mask>")]
            }
            Self::Roberta | Self::XlmRoberta | Self::Camembert => {
                [Some("<s>"), Some("</s>"), Some("<unk>"), Some("</s>"), Some("<pad>"), Some("<s>"), Some("<mask>")]
            }
            Self::File => [None; 7],
        }
    }

    /// `tokens` with the defaults of the class for what they lack.
    pub(super) fn complete(self, mut tokens: Tokens) -> Tokens {
        for (role, default) in ROLES.into_iter().zip(self.default_tokens()) {
            let Some(default) = default else { continue };
            let takes_spaces = role == "mask_token" && matches!(self, Self::Mpnet | Self::Camembert);
            let token = if takes_spaces { Token::with_spaces_before(default) } else { Token::of_text(default) };
            let named = tokens.by_role.entry(role).or_insert(Some(token));
            if takes_spaces && let Some(token) = named {
                token.take_spaces_before();
            }
        }
        tokens
    }
}

/// The tokenizer of `class` in `folder`, and the file of its vocabulary.
///
/// # Errors
/// Missing and damaged files.
pub(super) fn build(
    snapshot: &Snapshot,
    folder: &str,
    class: TokenizerClass,
    settings: &Settings,
) -> Result<(Tokenizer, std::path::PathBuf)> {
    if matches!(class, TokenizerClass::XlmRoberta | TokenizerClass::Camembert) {
        refuse_removed_tokens(snapshot, folder, settings)?;
    }
    let tokens = class.complete(settings.tokens.clone());
    if class == TokenizerClass::File {
        let path = snapshot.path(&in_folder(folder, TOKENIZER)).ok_or_else(|| missing(snapshot, folder, class))?;
        open_bounded(&path, MAX_DOCUMENT_BYTE_COUNT)?;
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| failure(&path, error))?;
        add_tokens(&mut tokenizer, &tokens, None, &path)?;
        return Ok((tokenizer, path));
    }
    let vocabulary = Vocabulary::read(snapshot, folder, class, &tokens)?;
    let path = vocabulary.path;
    let mut tokenizer = Tokenizer::new(vocabulary.model);
    let normalizer = match class {
        TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::Mpnet => Some(
            BertNormalizer::new(
                true,
                settings.tokenize_chinese_chars.unwrap_or(true),
                settings.strip_accents,
                settings.do_lower_case.unwrap_or(true),
            )
            .into(),
        ),
        TokenizerClass::Roberta => None,
        _ => vocabulary.normalizer,
    };
    tokenizer.with_normalizer(normalizer).map_err(|error| failure(&path, error))?;
    split(&mut tokenizer, class, settings);
    add_tokens(&mut tokenizer, &tokens, extra_tokens(class, &tokens, vocabulary.extra), &path)?;
    let frame = frame(&tokenizer, class, settings, &tokens).map_err(|message| failure(&path, message))?;
    tokenizer.with_post_processor(Some(frame));
    Ok((tokenizer, path))
}

/// Refuses `null` for tokens that the list of likeliest pieces has all the same.
fn refuse_removed_tokens(snapshot: &Snapshot, folder: &str, settings: &Settings) -> Result<()> {
    let is_removed = |role: &&str| settings.tokens.by_role.get(*role).is_some_and(Option::is_none);
    match ["mask_token", "unk_token"].iter().find(|role| is_removed(role)) {
        None => Ok(()),
        Some(role) => {
            let message = format!("key `{role}`: unsupported value null; expected a token");
            Err(file_error(snapshot, &in_folder(folder, SETTINGS), message))
        }
    }
}

/// How texts are split into words, and words joined to texts.
fn split(tokenizer: &mut Tokenizer, class: TokenizerClass, settings: &Settings) {
    match class {
        TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::Mpnet | TokenizerClass::File => {
            tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
            let decoder = tokenizers::decoders::wordpiece::WordPiece::new("##".to_owned(), true);
            tokenizer.with_decoder(Some(DecoderWrapper::WordPiece(decoder)));
        }
        TokenizerClass::Roberta => {
            let bytes = ByteLevel::default().add_prefix_space(settings.add_prefix_space.unwrap_or(false));
            tokenizer.with_pre_tokenizer(Some(bytes));
            tokenizer.with_decoder(Some(ByteLevel::default()));
        }
        TokenizerClass::XlmRoberta | TokenizerClass::Camembert => {
            let starts_with_space = settings.add_prefix_space.unwrap_or(true);
            let scheme = if starts_with_space { PrependScheme::Always } else { PrependScheme::Never };
            let spaces = Metaspace::new(SPACE, scheme, true);
            tokenizer.with_decoder(Some(spaces.clone()));
            tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![WhitespaceSplit.into(), spaces.into()])));
        }
    }
}

/// Special tokens without a role: those of the settings, else of the SentencePiece model, else of the class.
fn extra_tokens(class: TokenizerClass, tokens: &Tokens, listed: Option<Vec<Token>>) -> Option<Vec<Token>> {
    let of_class = || {
        let unused = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];
        (class == TokenizerClass::Camembert).then(|| unused.map(Token::of_text).to_vec())
    };
    tokens.extra.clone().or(listed).or_else(|| tokens.older_extra.clone()).or_else(of_class)
}

/// Adds the tokens that the files list, then special tokens that these lack.
fn add_tokens(tokenizer: &mut Tokenizer, tokens: &Tokens, extra: Option<Vec<Token>>, path: &Path) -> Result<()> {
    let known = tokenizer.get_added_tokens_decoder();
    let mut names: Vec<String> = known.values().map(|token| token.content.clone()).collect();
    let of_roles = ROLES.iter().filter_map(|role| tokens.by_role.get(role)?.as_ref());
    let roles: Vec<&Token> = of_roles.chain(&tokens.named).collect();
    let has_role = |token: &Token| roles.iter().any(|role| role.content == token.content);
    let mut added: Vec<AddedToken> = Vec::new();
    for token in tokens.added.values() {
        let token = token.added(has_role(token));
        if !known.values().any(|known| is_same(known, &token)) {
            names.push(token.content.clone());
            added.push(token);
        }
    }
    let extra = extra.or_else(|| tokens.extra.clone()).or_else(|| tokens.older_extra.clone()).unwrap_or_default();
    for token in roles.iter().copied().chain(&extra) {
        if !names.contains(&token.content) {
            names.push(token.content.clone());
            added.push(token.added(has_role(token)));
        }
    }
    tokenizer.add_tokens(added).map_err(|error| failure(path, error))?;
    Ok(())
}

/// Whether two tokens have the same text and properties.
fn is_same(a: &AddedToken, b: &AddedToken) -> bool {
    let flags = |token: &AddedToken| [token.single_word, token.lstrip, token.rstrip, token.normalized, token.special];
    a.content == b.content && flags(a) == flags(b)
}

/// The tokens before, between and after texts.
fn frame(
    tokenizer: &Tokenizer,
    class: TokenizerClass,
    settings: &Settings,
    tokens: &Tokens,
) -> std::result::Result<PostProcessorWrapper, String> {
    let numbered = |role: &str| {
        let text = tokens.text(role).ok_or_else(|| format!("it has no `{role}`"))?;
        let number = tokenizer.token_to_id(&text).ok_or_else(|| format!("its vocabulary has no `{role}` `{text}`"))?;
        Ok::<_, String>((text, number))
    };
    Ok(match class {
        TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::File => {
            let (first, last) = (numbered("cls_token")?, numbered("sep_token")?);
            let (before, after) = (&first.0, &last.0);
            let single = format!("{before}:0 $A:0 {after}:0");
            let pair = format!("{single} $B:1 {after}:1");
            template(single, pair, vec![first.clone(), last.clone()])?
        }
        TokenizerClass::XlmRoberta | TokenizerClass::Camembert => {
            let (first, last) = (numbered("bos_token")?, numbered("eos_token")?);
            let (before, after) = (&first.0, &last.0);
            let single = format!("{before} $A {after}");
            let pair = format!("{single} {after} $B {after}");
            template(single, pair, vec![first.clone(), last.clone()])?
        }
        TokenizerClass::Mpnet | TokenizerClass::Roberta => {
            let is_roberta = class == TokenizerClass::Roberta;
            let processing = RobertaProcessing::new(numbered("sep_token")?, numbered("cls_token")?);
            let trims = !is_roberta || settings.trim_offsets.unwrap_or(true);
            let starts_with_space = is_roberta && settings.add_prefix_space.unwrap_or(false);
            processing.trim_offsets(trims).add_prefix_space(starts_with_space).into()
        }
    })
}

fn template(
    single: String,
    pair: String,
    special_tokens: Vec<(String, u32)>,
) -> std::result::Result<PostProcessorWrapper, String> {
    let mut builder = TemplateProcessing::builder();
    builder.try_single(single)?.try_pair(pair)?.special_tokens(special_tokens);
    Ok(builder.build().map_err(|error| error.to_string())?.into())
}

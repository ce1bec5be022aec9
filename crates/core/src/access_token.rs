//! The secret that an endpoint may ask of its clients.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Variable that holds it, for an endpoint and for its clients.
pub const ACCESS_TOKEN_VARIABLE: &str = "PLANFORGE_HOST_TOKEN";

/// Fewest characters.
const FEWEST_CHARS: usize = 16;
/// Most characters.
const MOST_CHARS: usize = 256;

/// A secret of 16 to 256 letters, digits and `-._~`. Clients send it as `Authorization: Bearer SECRET`; SDKs of AWS send it as their
/// access key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessToken(String);

/// A text that is no [`AccessToken`]. The text itself is not part of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an access token has 16 to 256 letters, digits and characters of `-._~`")]
pub struct InvalidAccessToken;

impl AccessToken {
    /// The secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccessToken {
    type Error = InvalidAccessToken;

    fn try_from(text: String) -> Result<Self, InvalidAccessToken> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_token = (FEWEST_CHARS..=MOST_CHARS).contains(&text.len()) && text.bytes().all(is_allowed);
        is_token.then_some(Self(text)).ok_or(InvalidAccessToken)
    }
}

impl From<AccessToken> for String {
    fn from(token: AccessToken) -> Self {
        token.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_odd_texts_are_no_tokens() {
        let token = |text: &str| AccessToken::try_from(text.to_owned());
        assert_eq!(format!("{:?}", token("0123456789abcdef").unwrap()), "AccessToken(…)");
        for text in ["", "0123456789abcde", "0123456789abcdef\n", "0123456789/abcdef", &"x".repeat(257)] {
            assert_eq!(token(text), Err(InvalidAccessToken), "{text:?}");
        }
    }
}

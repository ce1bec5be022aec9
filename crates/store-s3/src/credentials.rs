//! Credentials that may be renewed while a process runs.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use std::time::{Duration, SystemTime};

/// How long temporary credentials that state no end are used before they are looked up again. The client looks ten seconds
/// before the end.
const LOOKED_UP_AFTER: Duration = Duration::from_secs(15);

/// AWS's standard chain, begun again at each look: another program may have written new temporary credentials to the files in
/// `~/.aws`, which the client itself reads once.
#[derive(Debug)]
pub(crate) struct CurrentCredentials;

impl ProvideCredentials for CurrentCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let chain = DefaultCredentialsChain::builder().build().await;
            provider::Result::Ok(looked_up_again(chain.provide_credentials().await?, SystemTime::now()))
        })
    }
}

/// Credentials with an end, if they have a session token, which is what ends.
fn looked_up_again(credentials: Credentials, now: SystemTime) -> Credentials {
    match (credentials.expiry(), credentials.session_token()) {
        (None, Some(token)) => {
            let (key, secret) = (credentials.access_key_id(), credentials.secret_access_key());
            Credentials::new(key, secret, Some(token.to_owned()), Some(now + LOOKED_UP_AFTER), "planforge")
        }
        _ => credentials,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_credentials_without_an_end_are_looked_up_again() {
        let now = SystemTime::now();
        let expiry = |token: Option<&str>, end: Option<SystemTime>| {
            looked_up_again(Credentials::new("k", "s", token.map(str::to_owned), end, "test"), now).expiry()
        };
        assert_eq!(expiry(Some("t"), None), Some(now + LOOKED_UP_AFTER));
        let later = now + Duration::from_secs(3600);
        assert_eq!(expiry(Some("t"), Some(later)), Some(later));
        assert_eq!(expiry(None, None), None);
    }
}

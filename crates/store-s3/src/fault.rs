//! Maps the client's errors to those of stores.

use crate::bucket::Bucket;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use planforge_store::{Action, Error};

/// S3's codes for credentials that it does not accept.
const CREDENTIALS: [&str; 9] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// The error of `action` on `key`.
pub(crate) fn fault<E>(bucket: &Bucket, action: Action, key: &str, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let url = bucket.url(key);
    if let Some(error) = credentials_error(error) {
        return Error::NoCredentials { url, reason: causes(error) };
    }
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    if let Some(found) = error.raw_response().filter(|_| matches!(status, 301 | 307 | 400)).and_then(region) {
        let used = bucket.region();
        if found != used {
            return Error::Region { bucket: bucket.name().to_owned(), found, used };
        }
    }
    let code = error.code().map(str::to_owned);
    let reason = match (error.message(), &code) {
        (Some(message), _) => message.trim_end_matches('.').to_owned(),
        (None, Some(code)) => code.clone(),
        (None, None) if status > 0 => format!("status {status}"),
        (None, None) => causes(error),
    };
    match code {
        Some(code) if CREDENTIALS.contains(&code.as_str()) => Error::Credentials { url, code, reason },
        Some(code) if code == "NoSuchBucket" => Error::NoBucket { bucket: bucket.name().to_owned() },
        _ if matches!(status, 401 | 403) => Error::Denied { action, url, reason },
        code => Error::Request { action, url, code, reason },
    }
}

/// The error of the credentials chain where it has found none, so that no request was sent.
fn credentials_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CredentialsError> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The region of a bucket, from a header or the text of the error.
fn region(response: &HttpResponse) -> Option<String> {
    if let Some(region) = response.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let (_, rest) = body.split_once("<Region>")?;
    rest.split_once("</Region>").map(|(region, _)| region.to_owned())
}

/// The error and its causes, without repetition.
fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if texts.iter().all(|known| !known.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts.join(": ")
}

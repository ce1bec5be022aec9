//! Makes a client from AWS's standard chain of settings.

use crate::bucket::Bucket;
use crate::credentials::CurrentCredentials;
use crate::options::S3Options;
use crate::store::S3Store;
use aws_config::SdkConfig;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, StalledStreamProtectionConfig};
use aws_types::service_config::ServiceConfigKey;
use planforge_core::Checksums;
use planforge_store::{Error, Result, StoreUrl};

/// What signing needs to name where an endpoint that is not AWS's knows no regions.
const ANY_REGION: &str = "us-east-1";
/// Fewest attempts at each request, the first included.
const ATTEMPTS: u32 = 5;

/// Opens the bucket of `url`, and checks that it can be listed, so that mistakes show before anything is made.
///
/// Credentials, region and endpoint come from AWS's standard chain, as AWS's own tools have it: `options` first, then
/// the variables `AWS_…`, the files in `~/.aws` (profiles, SSO, `credential_process`), then the roles of a container or
/// instance. This is the one function of a library here that reads the environment, as `aws-config` is that chain.
///
/// # Errors
/// [`Error::NoCredentials`], [`Error::NoRegion`], [`Error::Credentials`], [`Error::Region`], [`Error::NoBucket`],
/// [`Error::Denied`], and [`Error::Request`] when there is no response.
///
/// # Panics
/// When `url` is not on S3.
pub async fn connect(url: &StoreUrl, options: S3Options) -> Result<S3Store> {
    let StoreUrl::S3 { bucket, prefix } = url else { panic!("`{}` is not on S3", url.url("")) };
    let url = url.url("");
    let mut loader = aws_config::from_env().credentials_provider(CurrentCredentials);
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let shared = loader.load().await;
    let is_custom = has_endpoint(&shared);
    let region = match shared.region() {
        Some(region) => region.clone(),
        None if is_custom => Region::from_static(ANY_REGION),
        None => return Err(Error::NoRegion { url }),
    };
    let mut options = options;
    if options.checksums == Checksums::Auto
        && shared.request_checksum_calculation() == Some(RequestChecksumCalculation::WhenRequired)
    {
        // As AWS's own tools have it for such stores: `AWS_REQUEST_CHECKSUM_CALCULATION`, or the same in a profile.
        options.checksums = Checksums::Off;
    }
    let config = configured(&shared, &options).region(region).force_path_style(options.path_style.unwrap_or(is_custom));
    let bucket = Bucket::new(config.build(), bucket, prefix, options);
    bucket.check().await?;
    Ok(S3Store::new(bucket))
}

/// A configuration with the attempts and timeouts of planforge.
pub(crate) fn configured(shared: &SdkConfig, options: &S3Options) -> Builder {
    let retry = shared.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let attempts = retry.max_attempts().max(ATTEMPTS);
    let timeout = shared.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    // The default is five seconds of silence, which a server that assembles large parts may exceed.
    let silence = StalledStreamProtectionConfig::enabled().grace_period(options.timeout).build();
    Builder::from(shared)
        .retry_config(retry.with_max_attempts(attempts))
        .stalled_stream_protection(silence)
        .timeout_config(timeout.operation_attempt_timeout(options.timeout).build())
}

/// Whether requests go elsewhere than to AWS: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, or these in a profile.
fn has_endpoint(shared: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_service = shared.service_config().zip(key.ok()).and_then(|(config, key)| config.load_config(key));
    of_service.is_some() || shared.endpoint_url().is_some()
}

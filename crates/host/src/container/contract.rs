//! SageMaker's contract with a container for multi-model endpoints, and what Triton 2.51 needs beyond it:
//!
//! - the name of a model is the same for every load of it: another name after a load that failed makes it ambiguous
//! - every request names the target model, also those that unload
//! - a model is unloaded only when no request is running, and its files are removed after that: the server hangs or crashes
//!   otherwise
//! - every request has a connection of its own

use super::connector::Connector;
use super::exchange::{ContainerResponse, exchange};
use super::slots::{Slot, Slots};
use crate::api_error::ApiError;
use crate::infer::ModelResponse;
use crate::model_folder::ModelFolder;
use crate::{Error, Result};
use axum::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use planforge_core::{TARGET_MODEL_HEADER, digest_bytes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that SageMaker waits for a container to load or unload a model.
const LOAD_TIMEOUT: Duration = Duration::from_secs(360);
/// Longest time that a request may run. Its invoker gets an answer earlier; until it ends, the model is in use.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(360);
/// Longest wait for a container that has just started.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for one answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What Triton answers with status 400 for a model that it has no more: seen on a busy machine while copies came and went.
const UNKNOWN_MODEL: &str = "Request for unknown model: ";

/// A container that runs models.
#[derive(Debug)]
pub(crate) struct Container {
    connector: Connector,
    /// Folder of unpacked archives.
    folder: PathBuf,
    /// The same folder as the container sees it.
    place: PathBuf,
    slots: Slots,
}

/// Why a container did not run a model.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// It answered with another status than 200.
    Refused(ApiError),
    /// It does not have the model any more; the model can be loaded again.
    Unloaded,
    /// It did not answer.
    NoResponse(io::Error),
}

impl Container {
    /// A container that sees `folder` at `place`.
    pub(crate) fn new(connector: Connector, folder: PathBuf, place: PathBuf) -> Self {
        Self { connector, folder, place, slots: Slots::default() }
    }

    /// Waits until the container answers to `GET /ping`. `address` is for the error.
    ///
    /// # Errors
    /// [`Error::Container`].
    pub(crate) async fn wait_until_live(&self, address: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let ping = exchange(&self.connector, (Method::GET, "/ping"), &[], Bytes::new(), PING_TIMEOUT).await;
            let reason = match ping {
                Ok(response) if response.status == StatusCode::OK => return Ok(()),
                Ok(response) => format!("GET /ping has status {}", response.status.as_u16()),
                Err(error) => error.to_string(),
            };
            if start.elapsed() > START_TIMEOUT {
                return Err(Error::Container { address: address.to_owned(), reason });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The place of a model, once no earlier load of it is left.
    pub(crate) async fn slot(&self, target_model: &str) -> Slot {
        self.slots.take(&name_of(target_model)).await
    }

    /// Folder to unpack an archive into.
    pub(crate) fn model_folder(&self, slot: &Slot) -> PathBuf {
        self.folder.join(slot.name())
    }

    /// Loads what is in the folder `model` of [`Self::model_folder`].
    ///
    /// # Errors
    /// The container's answer, with paths of its own left out.
    pub(crate) async fn load(&self, target_model: &str, slot: &Slot) -> std::result::Result<(), ApiError> {
        let mut response = self.ask_to_load(target_model, slot).await?;
        if response.status == StatusCode::CONFLICT {
            // A load whose answer did not arrive in time, or one of an earlier endpoint.
            self.unload(target_model, slot).await;
            response = self.ask_to_load(target_model, slot).await?;
        }
        if response.status == StatusCode::OK {
            return Ok(());
        }
        let url = self.url(slot);
        let text = response.text().replace(&format!("{url}::"), "").replace(&format!("{url}/"), "");
        Err(ApiError::Model { status: response.status.as_u16(), original: text.replace(&url, target_model) })
    }

    async fn ask_to_load(&self, target_model: &str, slot: &Slot) -> std::result::Result<ContainerResponse, ApiError> {
        let body = serde_json::json!({ "model_name": slot.name(), "url": self.url(slot) }).to_string();
        let headers = [target_header(target_model)?, json_type()];
        let response = exchange(&self.connector, (Method::POST, "/models"), &headers, body.into(), LOAD_TIMEOUT).await;
        response.map_err(|error| ApiError::no_response(&error))
    }

    /// Runs a model on a request.
    ///
    /// # Errors
    /// As [`InvokeError`] lists.
    pub(crate) async fn invoke(
        &self,
        target_model: &str,
        slot: &Slot,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> std::result::Result<ModelResponse, InvokeError> {
        let path = format!("/models/{}/invoke", slot.name());
        let mut headers = vec![target_header(target_model).map_err(InvokeError::Refused)?];
        headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
        let response = exchange(&self.connector, (Method::POST, &path), &headers, body, INVOCATION_TIMEOUT).await;
        let response = response.map_err(InvokeError::NoResponse)?;
        match response.status {
            StatusCode::OK => Ok(ModelResponse { content_type: response.content_type, body: response.body }),
            StatusCode::NOT_FOUND => Err(InvokeError::Unloaded),
            StatusCode::BAD_REQUEST if response.text().contains(UNKNOWN_MODEL) => Err(InvokeError::Unloaded),
            status => Err(InvokeError::Refused(ApiError::Model { status: status.as_u16(), original: response.text() })),
        }
    }

    /// Unloads a model that no request is using. One that the container does not have any more is fine.
    pub(crate) async fn unload(&self, target_model: &str, slot: &Slot) {
        let path = format!("/models/{}", slot.name());
        let Ok(header) = target_header(target_model) else { return };
        let unloaded = exchange(&self.connector, (Method::DELETE, &path), &[header], Bytes::new(), LOAD_TIMEOUT).await;
        match unloaded {
            Ok(response) if [StatusCode::OK, StatusCode::NOT_FOUND].contains(&response.status) => {}
            Ok(response) => tracing::warn!(target_model, answer = response.text(), "a model is not unloaded"),
            Err(error) => tracing::warn!(target_model, %error, "a model is not unloaded"),
        }
    }

    /// Path of the folder in the container.
    fn url(&self, slot: &Slot) -> String {
        self.place.join(slot.name()).join(MODEL_FOLDER).display().to_string()
    }
}

/// Folder of an archive's content, as SageMaker calls it.
pub(crate) const MODEL_FOLDER: &str = "model";

/// Where containers expect models.
pub(crate) fn default_place() -> &'static Path {
    Path::new("/opt/ml/models")
}

/// 32 hexadecimal digits, always the same for a target model.
fn name_of(target_model: &str) -> String {
    digest_bytes(target_model.as_bytes()).to_string()[..32].to_owned()
}

fn target_header(target_model: &str) -> std::result::Result<(HeaderName, HeaderValue), ApiError> {
    let value = HeaderValue::from_str(target_model);
    let value = value.map_err(|_| ApiError::Validation(format!("Target model '{target_model}' cannot be a header")))?;
    Ok((HeaderName::from_bytes(TARGET_MODEL_HEADER.as_bytes()).expect("it is a header's name"), value))
}

fn json_type() -> (HeaderName, HeaderValue) {
    (CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

/// A model that a container has loaded.
#[derive(Debug)]
pub(crate) struct ContainerModel {
    /// Where it is loaded.
    pub(crate) container: Arc<Container>,
    /// Its files.
    pub(crate) _folder: ModelFolder,
    /// Its place there; given back when its files are gone.
    pub(crate) slot: Slot,
}

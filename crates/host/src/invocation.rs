//! One invocation: from its bytes to the model's answer.

use crate::api_error::{ApiError, with_causes};
use crate::blocking::blocking;
use crate::infer::{Encoding, Inference, ModelResponse, read_request, write_response};
use crate::models::{Lease, Model, Models};
use crate::target::ArchiveLocation;
use planforge_runtime::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Runs invocations; at most one inference for each processor at a time.
#[derive(Debug)]
pub(crate) struct Invoker {
    models: Arc<Models>,
    processors: Arc<Semaphore>,
    processor_count: usize,
    load_timeout: Duration,
    invocation_timeout: Duration,
}

/// What one inference holds. Fields are dropped in this order: the lease ends last, so a model is
/// unloaded only after everything else has let go of it.
struct Work {
    session: OwnedMutexGuard<Session>,
    _processor: OwnedSemaphorePermit,
    model: Arc<Model>,
    lease: Arc<Lease>,
}

impl Invoker {
    /// Invokes `models` on `processor_count` processors.
    pub(crate) fn new(
        models: Arc<Models>,
        processor_count: usize,
        load_timeout: Duration,
        invocation_timeout: Duration,
    ) -> Self {
        let processors = Arc::new(Semaphore::new(processor_count));
        Self { models, processors, processor_count, load_timeout, invocation_timeout }
    }

    /// The models.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Loads the model if need be and runs it on `body`. Work that has begun goes on when the caller
    /// goes away, and holds its lease until it ends.
    ///
    /// # Errors
    /// Of the load and of the inference, and the two time limits.
    pub(crate) async fn invoke(
        &self,
        target_model: &str,
        archive: ArchiveLocation,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Result<ModelResponse, ApiError> {
        let lease = Arc::new(self.models.lease(target_model, archive));
        let model = timeout(self.load_timeout, lease.model())
            .await
            .map_err(|_| ApiError::NotReady { target_model: target_model.to_owned() })??;
        let response = timeout(self.invocation_timeout, self.infer(lease, model, encoding, body));
        response.await.map_err(|_| ApiError::InvocationTimeout)?
    }

    async fn infer(
        &self,
        lease: Arc<Lease>,
        model: Arc<Model>,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Result<ModelResponse, ApiError> {
        let (reading_lease, reading_model) = (Arc::clone(&lease), Arc::clone(&model));
        let processor = self.processor().await?;
        let request = blocking(move || {
            let _processor = processor;
            let request = read_request(&body, encoding, &reading_model.interface(reading_lease.target_model()));
            drop(reading_model);
            request
        });
        let request = request.await??;
        let session = model.session().await;
        let work = Work { session, _processor: self.processor().await?, model, lease };
        if work.model.is_first_run() {
            return self.first_run(work, request).await;
        }
        blocking(move || run(work, &request)).await?
    }

    /// Memory that stays after the first run is the model's too. It can be separated from others'
    /// only when nothing else was under way.
    async fn first_run(&self, work: Work, request: Inference) -> Result<ModelResponse, ApiError> {
        let (model, lease) = (Arc::clone(&work.model), Arc::clone(&work.lease));
        let was_alone = self.is_alone();
        let before = self.models.used().await?;
        let response = blocking(move || run(work, &request)).await?;
        let growth = self.models.used().await?.saturating_sub(before);
        if was_alone && self.is_alone() {
            model.add_bytes(growth);
        }
        drop(model);
        drop(lease);
        response
    }

    /// No load and no inference but the caller's.
    fn is_alone(&self) -> bool {
        self.processors.available_permits() + 1 >= self.processor_count && !self.models.is_loading()
    }

    async fn processor(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.processors).acquire_owned().await.map_err(|_| ApiError::Closing)
    }
}

fn run(mut work: Work, request: &Inference) -> Result<ModelResponse, ApiError> {
    let names: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
    let outputs = work.session.run(&request.inputs, &names);
    let Work { session, _processor, model, lease } = work;
    // The next request can run while this one's answer is written.
    drop(session);
    let outputs = outputs.map_err(|error| ApiError::bad_input(with_causes(&error)))?;
    let response =
        write_response(lease.target_model(), model.version(), request.id.as_deref(), &outputs, &request.outputs)?;
    model.count_invocation();
    drop(model);
    drop(lease);
    Ok(response)
}

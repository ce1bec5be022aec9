//! One invocation: from its bytes to the model's answer.

use crate::api_error::{ApiError, with_causes};
use crate::container::{ContainerModel, InvokeError};
use crate::infer::{Encoding, Inference, ModelResponse, Named, read_request, write_response};
use crate::models::{Lease, Model, Models, Runner};
use crate::processors::{Processor, Processors};
use crate::target::ArchiveLocation;
use axum::body::Bytes;
use axum::http::HeaderValue;
use planforge_runtime::{RunStop, Session};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

/// Runs invocations; at most one inference for each processor at a time.
#[derive(Debug)]
pub(crate) struct Invoker {
    models: Arc<Models>,
    processors: Processors,
    load_timeout: Duration,
    invocation_timeout: Duration,
}

/// What one inference holds. Fields are dropped in this order: the lease ends last, so a model is
/// unloaded only after everything else has let go of it.
struct Work {
    session: OwnedMutexGuard<Session>,
    stop: RunStop,
    model: Arc<Model>,
    lease: Arc<Lease>,
}

/// Ends the run of a request that has no client any more, so that its model and its processor are free for others.
struct StopOnDrop(RunStop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Invoker {
    /// Invokes `models` on `processors`.
    pub(crate) fn new(
        models: Arc<Models>,
        processors: Processors,
        load_timeout: Duration,
        invocation_timeout: Duration,
    ) -> Self {
        Self { models, processors, load_timeout, invocation_timeout }
    }

    /// The models.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Loads the model if need be and runs it on `body`. A load that has begun goes on when the caller goes away. A run in this
    /// process is ended then, and at the time limit, between two of its operators; it holds its lease until it has ended.
    ///
    /// # Errors
    /// Of the load and of the inference, and the two time limits.
    pub(crate) async fn invoke(
        &self,
        target_model: &str,
        archive: ArchiveLocation,
        content_type: Option<HeaderValue>,
        body: Vec<u8>,
    ) -> Result<ModelResponse, ApiError> {
        let (archive, body) = (|| archive.clone(), Bytes::from(body));
        let waiting = Instant::now();
        let lease = Arc::new(self.models.lease(target_model, archive()));
        let is_hit = lease.is_ready();
        let model = self.model(&lease).await;
        self.models.statistics().count_wait((!is_hit).then(|| waiting.elapsed()));
        let (model, start) = (model?, Instant::now());
        let response = match model.runner() {
            Runner::Embedded(_) => {
                let encoding = Encoding::of_content_type(content_type.as_ref());
                let stop = RunStop::new().map_err(|error| ApiError::Internal(with_causes(&error)))?;
                let _end = StopOnDrop(stop.clone());
                let response = timeout(self.invocation_timeout, self.infer(lease, model, (encoding, body), stop)).await;
                response.map_err(|_| ApiError::InvocationTimeout)?
            }
            Runner::Container(_) => {
                self.ask_container(target_model, archive, (lease, model), (content_type, body)).await
            }
        };
        if response.is_ok() {
            self.models.statistics().count_answer(target_model, start.elapsed());
        }
        response
    }

    /// The model, loaded within the time limit.
    async fn model(&self, lease: &Lease) -> Result<Arc<Model>, ApiError> {
        let model = timeout(self.load_timeout, lease.model()).await;
        model.map_err(|_| ApiError::NotReady { target_model: lease.target_model().to_owned() })?
    }

    /// The container's answer. A model that the container does not have any more, such as one that was started again, is
    /// loaded once more.
    async fn ask_container(
        &self,
        target_model: &str,
        archive: impl Fn() -> ArchiveLocation,
        (lease, model): (Arc<Lease>, Arc<Model>),
        (content_type, body): (Option<HeaderValue>, Bytes),
    ) -> Result<ModelResponse, ApiError> {
        let request = || (content_type.clone(), body.clone());
        let may_grow = model.is_largest(request().1.len());
        let answer = self.ask(&lease, model, request()).await?;
        if may_grow {
            self.keep_budget();
        }
        match answer {
            Err(InvokeError::Unloaded) => {
                self.models.give_up(&lease);
                drop(lease);
                let lease = Arc::new(self.models.lease(target_model, archive()));
                let model = self.model(&lease).await?;
                self.ask(&lease, model, request()).await?.map_err(|error| self.refused(&lease, error))
            }
            answer => answer.map_err(|error| self.refused(&lease, error)),
        }
    }

    /// One request to a container.
    async fn ask(
        &self,
        lease: &Arc<Lease>,
        model: Arc<Model>,
        request: (Option<HeaderValue>, Bytes),
    ) -> Result<Result<ModelResponse, InvokeError>, ApiError> {
        // The task goes on when its request has timed out, and holds the lease until the container is done.
        let answer = timeout(self.invocation_timeout, tokio::spawn(ask(Arc::clone(lease), model, request))).await;
        answer.map_err(|_| ApiError::InvocationTimeout)?.map_err(|_| ApiError::unexpected())
    }

    /// The error of a request. A container that did not answer may have ended, so its model is loaded again for the next.
    fn refused(&self, lease: &Lease, error: InvokeError) -> ApiError {
        match error {
            InvokeError::Refused(error) => error,
            InvokeError::Unloaded => ApiError::NoResponse,
            InvokeError::NoResponse(error) => {
                self.models.give_up(lease);
                ApiError::no_response(&error)
            }
        }
    }

    async fn infer(
        &self,
        lease: Arc<Lease>,
        model: Arc<Model>,
        (encoding, body): (Encoding, Bytes),
        stop: RunStop,
    ) -> Result<ModelResponse, ApiError> {
        let byte_count = body.len();
        let (reading_lease, reading_model) = (Arc::clone(&lease), Arc::clone(&model));
        let request = self.processors.acquire().await?.run(move || {
            let interface = reading_model.embedded()?.interface();
            let request = read_request(&body, encoding, &Named { model: reading_lease.target_model(), interface });
            drop(reading_model);
            request
        });
        let request = request.await??;
        let session = model.embedded()?.session().await;
        let processor = self.processors.acquire().await?;
        let work = Work { session, stop, model, lease };
        if work.model.is_largest(byte_count) {
            return self.largest_run(processor, work, request).await;
        }
        processor.run(move || run(work, request)).await?
    }

    /// Memory that stays after a run that is larger than all before is the model's too. It can be separated from others'
    /// only when nothing else was under way.
    async fn largest_run(
        &self,
        processor: Processor,
        work: Work,
        request: Inference,
    ) -> Result<ModelResponse, ApiError> {
        let (model, lease) = (Arc::clone(&work.model), Arc::clone(&work.lease));
        let was_alone = self.is_alone();
        let before = self.models.used().await?;
        let response = processor.run(move || run(work, request)).await?;
        let growth = self.models.used().await?.saturating_sub(before);
        if was_alone && self.is_alone() {
            model.add_bytes(growth);
        }
        drop(model);
        drop(lease);
        self.keep_budget();
        response
    }

    /// Unloads other models where an inference of one has made them exceed the budget together. In a task of its own, since
    /// it waits for models that are in use.
    fn keep_budget(&self) {
        let models = Arc::clone(&self.models);
        tokio::spawn(async move {
            if let Err(error) = models.keep_budget_after_run().await {
                tracing::warn!(?error, "the budget cannot be kept");
            }
        });
    }

    /// No load and no inference but the caller's.
    fn is_alone(&self) -> bool {
        self.processors.is_quiet() && !self.models.is_loading()
    }
}

/// One request to a container. The lease ends with it.
async fn ask(
    lease: Arc<Lease>,
    model: Arc<Model>,
    (content_type, body): (Option<HeaderValue>, Bytes),
) -> Result<ModelResponse, InvokeError> {
    let Runner::Container(ContainerModel { container, slot, .. }) = model.runner() else {
        return Err(InvokeError::Refused(ApiError::Internal("The model is not in a container".to_owned())));
    };
    let answer = container.invoke(lease.target_model(), slot, content_type, body).await?;
    model.count_invocation();
    Ok(answer)
}

fn run(mut work: Work, mut request: Inference) -> Result<ModelResponse, ApiError> {
    work.model.embedded()?.interface().enter(&mut request.inputs);
    let names: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
    let outputs = work.session.run_until(&request.inputs, &names, Some(&work.stop));
    let Work { session, stop: _, model, lease } = work;
    // The next request can run while this one's answer is written.
    drop(session);
    let mut outputs = outputs.map_err(|error| ApiError::bad_input(with_causes(&error)))?;
    let interface = model.embedded()?.interface();
    interface.leave(&mut outputs);
    let response = write_response(lease.target_model(), interface, request.id.as_deref(), &outputs, &request.outputs)?;
    model.count_invocation();
    drop(model);
    drop(lease);
    Ok(response)
}

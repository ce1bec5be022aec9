//! What the endpoint has done since its start: for Prometheus, and under the names that CloudWatch has for the same on SageMaker
//! (["Amazon SageMaker multi-model endpoint metrics"](https://docs.aws.amazon.com/sagemaker/latest/dg/multi-model-endpoint-cloudwatch-metrics.html)).
//! Nothing is lost when a model is unloaded.

use planforge_core::{EndpointState, MetricStatistics};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of durations: from 1 ms to 262 s, each twice the one before.
const BUCKETS: (f64, f64, u16) = (0.001, 2.0, 19);

/// How a request or a load ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

/// Why a model was unloaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unloading {
    reason: UnloadReason,
}

/// Why a model is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum UnloadReason {
    /// Another model needs its memory.
    Room,
    /// Another model needs room on the disk.
    DiskFull,
    /// Memory in use is above the budget.
    OverBudget,
    /// The container answered 507.
    OutOfMemory,
    /// The container has lost it.
    Lost,
    /// The endpoint ends.
    End,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct Statistics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    request_seconds: Histogram,
    loads: Family<Outcome, Counter>,
    load_seconds: Histogram,
    download_seconds: Histogram,
    unloads: Family<Unloading, Counter>,
    hits: Counter,
    misses: Counter,
    loaded_models: Gauge,
    memory_used: Gauge<u64, AtomicU64>,
    memory_budget: Gauge<u64, AtomicU64>,
    cloud_watch: Mutex<CloudWatch>,
}

/// Under CloudWatch's names.
#[derive(Debug, Default)]
struct CloudWatch {
    metrics: BTreeMap<&'static str, MetricStatistics>,
    invocations: BTreeMap<String, u64>,
}

impl Statistics {
    /// Nothing yet; samples carry the name of their endpoint.
    pub(crate) fn new(endpoint: &str) -> Self {
        let label = (Cow::Borrowed("endpoint"), Cow::Owned(endpoint.to_owned()));
        let duration = || Histogram::new(exponential_buckets(BUCKETS.0, BUCKETS.1, BUCKETS.2));
        let mut statistics = Self {
            registry: Registry::with_prefix_and_labels("planforge", [label].into_iter()),
            requests: Family::default(),
            request_seconds: duration(),
            loads: Family::default(),
            load_seconds: duration(),
            download_seconds: duration(),
            unloads: Family::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            loaded_models: Gauge::default(),
            memory_used: Gauge::default(),
            memory_budget: Gauge::default(),
            cloud_watch: Mutex::default(),
        };
        statistics.register();
        statistics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Invocations by HTTP status", self.requests.clone());
        let durations = [
            ("request_duration", "Time of an invocation", &self.request_seconds),
            ("load_duration", "Time to load an unpacked model", &self.load_seconds),
            ("download_duration", "Time to download an archive", &self.download_seconds),
        ];
        for (name, help, histogram) in durations {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("loads", "Loads by HTTP status, 200 for those that succeeded", self.loads.clone());
        registry.register("unloads", "Models unloaded by reason", self.unloads.clone());
        registry.register("cache_hits", "Invocations of a model that was loaded", self.hits.clone());
        registry.register("cache_misses", "Invocations of a model that was not", self.misses.clone());
        registry.register("loaded_models", "Models that are loaded", self.loaded_models.clone());
        registry.register_with_unit("memory_used", "Memory that models take", Unit::Bytes, self.memory_used.clone());
        registry.register_with_unit(
            "memory_budget",
            "Memory that models may take",
            Unit::Bytes,
            self.memory_budget.clone(),
        );
    }

    /// An invocation that was answered with this HTTP status; `container_status` is that of a container's error.
    pub(crate) fn count_request(&self, status: u16, container_status: Option<u16>, elapsed: Duration) {
        self.requests.get_or_create(&Outcome { outcome: status.to_string() }).inc();
        self.request_seconds.observe(elapsed.as_secs_f64());
        let mut cloud_watch = self.cloud_watch();
        cloud_watch.add("Invocations", 1.0);
        let is_error =
            |range: std::ops::Range<u16>| f64::from(u8::from(container_status.is_some_and(|it| range.contains(&it))));
        cloud_watch.add("Invocation4XXErrors", is_error(400..500));
        cloud_watch.add("Invocation5XXErrors", is_error(500..600));
        cloud_watch.add("InvocationModelErrors", f64::from(u8::from(status == 424)));
    }

    /// The time that a model took for an answer.
    pub(crate) fn count_answer(&self, target_model: &str, elapsed: Duration) {
        let mut cloud_watch = self.cloud_watch();
        cloud_watch.add("ModelLatency", microseconds(elapsed));
        *cloud_watch.invocations.entry(target_model.to_owned()).or_default() += 1;
    }

    /// An invocation, and how long it waited for its model; none where the model was loaded.
    pub(crate) fn count_wait(&self, waited: Option<Duration>) {
        let mut cloud_watch = self.cloud_watch();
        cloud_watch.add("ModelCacheHit", f64::from(u8::from(waited.is_none())));
        match waited {
            None => self.hits.inc(),
            Some(waited) => {
                cloud_watch.add("ModelLoadingWaitTime", microseconds(waited));
                self.misses.inc()
            }
        };
    }

    /// A download.
    pub(crate) fn count_download(&self, elapsed: Duration) {
        self.download_seconds.observe(elapsed.as_secs_f64());
        self.cloud_watch().add("ModelDownloadingTime", microseconds(elapsed));
    }

    /// A load that succeeded, or failed with this status.
    pub(crate) fn count_load(&self, failure: Option<u16>) {
        self.loads.get_or_create(&Outcome { outcome: failure.unwrap_or(200).to_string() }).inc();
    }

    /// The time that it took to load a model that was unpacked and had room.
    pub(crate) fn count_loading(&self, elapsed: Duration) {
        self.load_seconds.observe(elapsed.as_secs_f64());
        self.cloud_watch().add("ModelLoadingTime", microseconds(elapsed));
    }

    /// A model that was unloaded.
    pub(crate) fn count_unload(&self, reason: UnloadReason, elapsed: Duration) {
        self.unloads.get_or_create(&Unloading { reason }).inc();
        self.cloud_watch().add("ModelUnloadingTime", microseconds(elapsed));
    }

    /// Puts the counts into `state`.
    pub(crate) fn complete(&self, mut state: EndpointState) -> EndpointState {
        let cloud_watch = self.cloud_watch();
        state.metrics = cloud_watch.metrics.iter().map(|(&name, statistics)| (name.to_owned(), *statistics)).collect();
        state.metrics.insert("LoadedModelCount".to_owned(), MetricStatistics::of(state.models.len() as f64));
        state.invocations = cloud_watch.invocations.clone();
        state
    }

    /// Everything in Prometheus' text format, with the memory and models of `state`.
    pub(crate) fn prometheus(&self, state: &EndpointState) -> String {
        self.loaded_models.set(i64::try_from(state.models.len()).unwrap_or(i64::MAX));
        self.memory_used.set(state.used_byte_count);
        self.memory_budget.set(state.budget_byte_count);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a text takes everything that is written to it");
        text
    }

    fn cloud_watch(&self) -> MutexGuard<'_, CloudWatch> {
        self.cloud_watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CloudWatch {
    fn add(&mut self, name: &'static str, value: f64) {
        match self.metrics.get_mut(name) {
            Some(statistics) => statistics.add(value),
            None => {
                self.metrics.insert(name, MetricStatistics::of(value));
            }
        }
    }
}

fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round()
}

//! Containers behind the endpoint: a server that speaks SageMaker's contract for multi-model endpoints, such as Triton,
//! loads the models and answers requests, in place of this process.

mod connector;
mod contract;
mod exchange;
mod isolated;
mod slots;
mod triton;

pub(crate) use connector::Connector;
pub(crate) use contract::{Container, ContainerModel, InvokeError, MODEL_FOLDER, default_place};
pub(crate) use isolated::IsolatedServer;
pub use isolated::{IsolatedRequest, run_isolated};
pub(crate) use slots::Slot;
pub(crate) use triton::start_triton;

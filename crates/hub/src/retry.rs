//! Retries of transient failures: a busy server, time-outs, and connections that end early.

use crate::{Error, Result, Transfer};
use std::time::Duration;

/// The longest pause without `Retry-After`.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Why an attempt failed.
pub(crate) struct Failure {
    error: Box<Error>,
    kind: Kind,
}

enum Kind {
    /// The same request would fail again.
    Permanent,
    /// It may not, after the pause that the server asked for.
    Transient(Option<Duration>),
}

impl Failure {
    pub(crate) fn permanent(error: Error) -> Self {
        Self { error: Box::new(error), kind: Kind::Permanent }
    }

    pub(crate) fn transient(error: Error, pause: Option<Duration>) -> Self {
        Self { error: Box::new(error), kind: Kind::Transient(pause) }
    }
}

/// Repeats an attempt until it succeeds, fails permanently, or `transfer.attempts` are used up. The pause between two
/// attempts doubles each time, and is never shorter than the server asks for.
pub(crate) async fn retry<T>(
    transfer: &Transfer,
    note: impl Fn(String),
    mut attempt: impl AsyncFnMut() -> std::result::Result<T, Failure>,
) -> Result<T> {
    let mut back_off = transfer.first_pause;
    let mut attempts = 0;
    loop {
        let Failure { error, kind } = match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        attempts += 1;
        let Kind::Transient(asked) = kind else { return Err(*error) };
        let pause = asked.unwrap_or_default().max(back_off);
        if attempts >= transfer.attempts || asked.is_some_and(|asked| asked > transfer.longest_pause) {
            return Err(Error::GaveUp { attempts, source: error });
        }
        note(format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
        tokio::time::sleep(pause).await;
        back_off = (back_off * 2).min(LONGEST_BACK_OFF);
    }
}

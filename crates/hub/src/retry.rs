//! Trying again what may pass: refusals of a busy server, silence, and connections that end early.

use crate::{Error, Result, Transfer};
use std::time::Duration;

/// No pause of our own choice is longer.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Why an attempt failed.
pub(crate) struct Failure {
    error: Error,
    kind: Kind,
}

enum Kind {
    /// The same request would fail again.
    Lasting,
    /// It may not, after the pause that the server asked for.
    Passing(Option<Duration>),
}

impl Failure {
    pub(crate) const fn lasting(error: Error) -> Self {
        Self { error, kind: Kind::Lasting }
    }

    pub(crate) const fn passing(error: Error, pause: Option<Duration>) -> Self {
        Self { error, kind: Kind::Passing(pause) }
    }
}

/// Makes an attempt until one succeeds, fails for good, or all are used up. Between two of them there is a pause, each
/// twice as long as the one before, and never shorter than the server asks for.
pub(crate) async fn retry<T>(
    transfer: &Transfer,
    tell: impl Fn(String),
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
        let Kind::Passing(asked) = kind else { return Err(error) };
        let pause = asked.unwrap_or_default().max(back_off);
        if attempts >= transfer.attempts || asked.is_some_and(|asked| asked > transfer.longest_pause) {
            return Err(Error::GaveUp { attempts, source: Box::new(error) });
        }
        tell(format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
        tokio::time::sleep(pause).await;
        back_off = (back_off * 2).min(LONGEST_BACK_OFF);
    }
}

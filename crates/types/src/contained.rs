//! Panics of other libraries, as errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which gives data that is not trusted to a library that may panic on it.
///
/// # Errors
/// The text of the panic.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(outer);
    result.map_err(|panic| text(&*panic))
}

/// From now on a panic within [`contained`] is not printed; whoever called that reports it.
pub fn keep_contained_panics_quiet() {
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        if !IS_CONTAINED.get() {
            print(panic);
        }
    }));
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(contained(|| 1), Ok(1));
        assert_eq!(contained(|| panic!("no {}", "way")), Err::<(), _>("no way".to_owned()));
        assert_eq!(contained(|| contained(|| panic!("inner")).is_err()), Ok(true));
    }
}

//! The checks that the state is made of, by what they look at.

mod cloud;
mod own;
mod settings;
mod sinks;

pub use settings::MAX_CLOCK_OFFSET;
pub(super) use sinks::sink_checks;

/// Returns the parts in one line; `ok` if there is none.
fn joined(parts: &[String], separator: &str) -> String {
    if parts.is_empty() { "ok".to_owned() } else { parts.join(separator) }
}

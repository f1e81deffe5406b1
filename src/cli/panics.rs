//! The report of a panic, which is a bug: where it happened, never the data at hand.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use super::exit::complain;

/// Has every panic report its place and its message if that stands in the code. A message that was
/// formatted at run time may hold anything, a secret or an event, and is left out.
pub(super) fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| complain(text(panic, &Backtrace::capture()))));
}

fn text(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let words = panic.payload().downcast_ref::<&'static str>();
    let words = words.map_or_else(String::new, |words| format!(": {words}"));
    let mut text = format!("panicked{place}{words}: this is a bug in sprited, please report it");
    // Names of functions and lines, no values. By RUST_BACKTRACE, as anywhere.
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    text
}

//! What is said of a panic, which is a fault of the program: where it happened, never what was
//! in hand.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use super::exit::complain;

/// Has every panic say its place and the words that stand in the code. Words that were put
/// together at run time may hold anything, a secret or an event, and are left out.
pub(super) fn keep_quiet_about_state() {
    panic::set_hook(Box::new(|panic| complain(text(panic, &Backtrace::capture()))));
}

fn text(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let words = panic.payload().downcast_ref::<&'static str>();
    let words = words.map_or_else(String::new, |words| format!(": {words}"));
    let mut text = format!("panicked{place}{words}: this is a bug of sprited, please report it");
    // Names of functions and lines, no values. By RUST_BACKTRACE, as anywhere.
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    text
}

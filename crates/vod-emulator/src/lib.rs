//! An emulator of Tencent Cloud VOD's event API, of its HTTP callback and of STS on the local
//! machine, for trying out and for tests.
//!
//! It is as strict as the service is documented, and more lenient only where [`EmulatorSettings`]
//! ask for it: signatures, leases, handles, rates, errors, and faults on request. It shares no code
//! with any client of the service: they check each other.
//!
//! Where the service's behaviour is not known, the emulator takes the stricter reading; a comment
//! at that place says so.
//!
//! A call comes in through `serve` and is checked in `api`; `actions` and `sts` carry it out on the
//! `state` behind `shared` (`queue`, `ledger`, `quota`, `faults`), and it leaves as an `answer`.
//! `push` posts events, `tasks` finds tasks, `downloads` serves the files of `sprites`. Tests use `control`, operators `admin`.

mod action;
mod actions;
mod admin;
mod answer;
mod api;
mod args;
mod authorization;
mod clock;
mod content;
mod control;
mod downloads;
mod emulator;
mod faults;
mod handle;
mod keys;
mod ledger;
mod local;
mod members;
mod outcome;
mod push;
mod queue;
mod quota;
mod serve;
mod settings;
mod shared;
mod sprites;
mod state;
mod sts;
mod tasks;

pub use action::ApiAction;
pub use args::{EmulatorArgs, run};
pub use control::{AddError, EmulatorControl};
pub use emulator::{BindError, Emulator};
pub use faults::{EmptyAnswer, FaultKind, InjectedFault, MalformedEntry, TooManyFaults};
pub use keys::Account;
pub use ledger::{
    LedgerConfirmation, LedgerEntry, LedgerHandOut, LedgerPush, LedgerRefusal, LedgerSnapshot,
    LedgerTotals, LedgerTry, PushTotals, TaskTotals,
};
#[doc(hidden)]
pub use local::LocalEmulator;
pub use push::{PushFormat, PushOutcome, PushRetry, PushSettings, SignPlace};
pub use queue::RefusalReason;
pub use settings::{
    AssumableRole, EmulatorSettings, LeaseFrom, Leniency, ReportConfig, ReportMode, ThrottleBursts,
    TrustedIdentity,
};
pub use sprites::{
    CreatedSprite, NotifyMode, SourceApi, SpriteOrder, SpriteProtection, SpriteQuirks,
};
pub use tasks::{DetailSpelling, TaskSettings};

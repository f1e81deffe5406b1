//! How tests and operators control the emulator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::value::RawValue;

use super::content::Content;
use super::faults::{InjectedFault, TooManyFaults};
use super::keys::Account;
use super::ledger::{LedgerSnapshot, LedgerTotals};
use super::queue::QueueFull;
use super::settings::{AssumableRole, ReportConfig};
use super::shared::Shared;
use super::sprites::{CreatedSprite, SpriteOrder, SpriteProtection};
use super::tasks::AddedTask;

/// The most events one call adds.
const MAX_ADDED: usize = 1_000_000;

/// The longest delay of an added event, and the largest offset of the clock.
const MAX_DELAY: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Why nothing was added or set.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The text is not JSON.
    #[error("the events must be JSON, one event or an array of them: {0}")]
    NotJson(#[from] serde_json::Error),
    /// There is no room for them.
    #[error("the emulator's queue has no room for so many events more")]
    Full,
    /// There is no such application.
    #[error("the emulator has no application {0}")]
    NoApp(u64),
    /// More events than one call adds, or a longer delay.
    #[error("one call adds at most 1,000,000 events, with a delay of at most ten years")]
    TooMuch,
    /// The protection of sprites is not possible.
    #[error("{0}")]
    Protection(&'static str),
}

/// Adds events, sets faults and reads the ledger of an [`Emulator`](super::Emulator). Cheap to
/// clone; works whether or not the emulator runs.
#[derive(Clone, Debug)]
pub struct EmulatorControl {
    shared: Arc<Shared>,
}

impl EmulatorControl {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Adds events for the first application: `json` is one EventContent, or an array of them. Each
    /// is handed out token for token, except for its EventHandle. A value that is not an object is
    /// added as well, and can never be confirmed. Returns the numbers of the events.
    ///
    /// # Errors
    /// When it is not JSON or there is no room; then none was added.
    pub fn add(&self, json: &str) -> Result<Vec<u64>, AddError> {
        self.add_copies(json, 1, Duration::ZERO)
    }

    /// As [`Self::add`], each event `copies` times, to be pulled only after `delay`.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn add_copies(
        &self,
        json: &str,
        copies: usize,
        delay: Duration,
    ) -> Result<Vec<u64>, AddError> {
        self.add_to(None, json, copies, delay)
    }

    /// As [`Self::add_copies`], for the application `app` if one is named.
    ///
    /// # Errors
    /// As for [`Self::add`], and when there is no such application.
    pub fn add_to(
        &self,
        app: Option<u64>,
        json: &str,
        copies: usize,
        delay: Duration,
    ) -> Result<Vec<u64>, AddError> {
        let events: Vec<&RawValue> = if json.trim_start().starts_with('[') {
            serde_json::from_str(json)?
        } else {
            vec![serde_json::from_str(json)?]
        };
        if events.len().saturating_mul(copies) > MAX_ADDED || delay > MAX_DELAY {
            return Err(AddError::TooMuch);
        }
        let app = self.app(app)?;
        let contents = events.iter().flat_map(|event| {
            let content = Content::raw(event.get());
            std::iter::repeat_n(content, copies)
        });
        let tasks = events.iter().filter_map(|event| AddedTask::of(event.get())).collect();
        self.shared.add(app, contents.collect(), tasks, delay).map_err(|QueueFull| AddError::Full)
    }

    /// Makes finished image-sprite tasks, whose URLs lead to files that the emulator serves.
    ///
    /// # Errors
    /// When there is no room for all, or no such application; then none was made.
    pub fn add_sprites(&self, order: &SpriteOrder) -> Result<Vec<CreatedSprite>, AddError> {
        let longest = order.apart.saturating_mul(order.count);
        if order.count as usize > MAX_ADDED || order.delay.max(order.age).max(longest) > MAX_DELAY {
            return Err(AddError::TooMuch);
        }
        let app = self.app(order.app)?;
        self.shared.add_sprites(app, order).map_err(|QueueFull| AddError::Full)
    }

    /// Returns the application of this number, or the first one.
    fn app(&self, app: Option<u64>) -> Result<u64, AddError> {
        let settings = &self.shared.settings;
        let Some(app) = app else { return Ok(settings.first_app()) };
        if settings.apps.contains(&app) { Ok(app) } else { Err(AddError::NoApp(app)) }
    }

    /// Returns the totals and the entry of each event. Copies all of it: blocks for about a second
    /// with a million events.
    #[must_use]
    pub fn ledger(&self) -> LedgerSnapshot {
        self.shared.snapshot()
    }

    /// Returns the totals alone.
    #[must_use]
    pub fn totals(&self) -> LedgerTotals {
        self.shared.totals()
    }

    /// Adds a fault; those added before it are drawn first.
    ///
    /// # Errors
    /// When there are a thousand already.
    pub fn fault(&self, fault: InjectedFault) -> Result<(), TooManyFaults> {
        self.shared.state().faults.set(fault)
    }

    /// Removes all faults. Calls that are held stay so until [`Self::release`].
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Returns how many pulls have found nothing and wait for an event.
    #[must_use]
    pub fn pulls_waiting(&self) -> usize {
        self.shared.pulls_waiting()
    }

    /// Refuses each later ConfirmEvents with a handle of this event of the first application.
    pub fn refuse(&self, event: u64) {
        self.shared.refuse(event);
    }

    /// Returns how many calls are held by [`FaultKind::Hold`](super::FaultKind::Hold).
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Releases all calls that are held now.
    pub fn release(&self) {
        self.shared.released.send_modify(|times| *times += 1);
    }

    /// Calls `observer`, in place of any earlier one, in each later ConfirmEvents before its answer
    /// is sent, with the numbers of the events that the call asks to confirm, whether or not it
    /// succeeds: the observer can check that they are safe. Calls it as well after each 200 for a
    /// posted event, with the number of that. It may use this control, and delays other calls for
    /// as long as it takes.
    pub fn set_observer(&self, observer: impl Fn(&[u64]) + Send + Sync + 'static) {
        self.shared.set_observer(Arc::new(observer));
    }

    /// Sets the offset of the clock that checks signatures and dates answers from the true time; at
    /// most ten years. Leases and the ledger use the true time.
    pub fn set_clock_offset(&self, offset: TimeDelta) {
        let furthest = TimeDelta::days(3650);
        self.shared.clock.set_offset(offset.clamp(-furthest, furthest));
    }

    /// Sets how events of the application, or of the first one, are reported, and with it the answer
    /// of DescribeEventConfig. It holds for events that are added from now on: what waits in the
    /// queue can still be pulled, and what was to be posted is.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn set_event_config(&self, app: Option<u64>, config: ReportConfig) -> Result<(), AddError> {
        let app = self.app(app)?;
        self.shared.state().set_event_config(app, config);
        Ok(())
    }

    /// Sets who may open the files of sprites from now on. The service takes some minutes for that.
    ///
    /// # Errors
    /// When the key is not one.
    pub fn set_sprite_protection(&self, protection: SpriteProtection) -> Result<(), AddError> {
        protection.check().map_err(AddError::Protection)?;
        self.shared.state().sprite_protection = protection;
        Ok(())
    }

    /// Sets the role that can be assumed. Keys that were handed out stay valid.
    pub fn set_role(&self, role: AssumableRole) {
        self.shared.state().role = role;
    }

    /// Sets the account that requests must be signed by. Keys that were handed out stay valid.
    pub fn set_account(&self, account: Account) {
        self.shared.state().account = Arc::new(account);
    }
}

//! The emulator's other side: what tests and operators do with it.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::value::RawValue;

use super::content::Content;
use super::queue::Full;
use super::shared::Shared;
use super::{Account, EventConfig, Fault, Made, Order, Role, Snapshot, Totals};

/// The most events one call adds.
const MAX_ADDED: usize = 1_000_000;

/// The longest delay of an added event, and the furthest the clock can be set off.
const FURTHEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Why no event was added.
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
}

impl From<Full> for AddError {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

/// Why a fault was not set.
#[derive(Debug, thiserror::Error)]
#[error("there are 1,000 faults already; clear them first")]
pub struct FaultError;

/// Adds events, sets faults and reads the ledger of an [`Emulator`](super::Emulator). Cheap to
/// clone; works whether or not the emulator runs.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Adds events for the first application: `json` is one EventContent, or an array of them. Each is handed out token for
    /// token as it stands here, but for its EventHandle. Anything that is not an object is added
    /// as well, and can never be confirmed. Returns their numbers.
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
        if events.len().saturating_mul(copies) > MAX_ADDED || delay > FURTHEST {
            return Err(AddError::TooMuch);
        }
        let app = self.app(app)?;
        let contents = events.iter().flat_map(|event| {
            let content = Content::raw(event.get());
            std::iter::repeat_n(content, copies)
        });
        Ok(self.shared.add(app, contents.collect(), delay)?)
    }

    /// Makes finished image-sprite tasks, whose URLs lead to files that the emulator serves.
    ///
    /// # Errors
    /// When there is no room for all, or no such application; then none was made.
    pub fn add_sprites(&self, order: &Order) -> Result<Vec<Made>, AddError> {
        if order.count as usize > MAX_ADDED || order.delay > FURTHEST {
            return Err(AddError::TooMuch);
        }
        Ok(self.shared.add_sprites(self.app(order.app)?, order)?)
    }

    /// The application of this number, or the first one.
    fn app(&self, app: Option<u64>) -> Result<u64, AddError> {
        let settings = &self.shared.settings;
        let Some(app) = app else { return Ok(settings.first_app()) };
        if settings.apps.contains(&app) { Ok(app) } else { Err(AddError::NoApp(app)) }
    }

    /// The totals and the record of each event. Copies it all: blocks for about a second where
    /// there are a million events.
    #[must_use]
    pub fn ledger(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The totals alone.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.totals()
    }

    /// Sets a fault beside those that are set already, which are asked first.
    ///
    /// # Errors
    /// When there are a thousand already.
    pub fn fault(&self, fault: Fault) -> Result<(), FaultError> {
        self.shared.state().faults.set(fault).map_err(|_| FaultError)
    }

    /// Removes all faults. Calls that are held stay so until [`Self::release`].
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// How many pulls have found nothing and wait for an event.
    #[must_use]
    pub fn pulls_waiting(&self) -> usize {
        self.shared.pulls_waiting()
    }

    /// From now on a ConfirmEvents with a handle of this event of the first application is refused,
    /// however good the handle is.
    pub fn refuse(&self, event: u64) {
        self.shared.refuse(event);
    }

    /// How many calls are held by [`Kind::Hold`](super::Kind::Hold).
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held()
    }

    /// Lets go all calls that are held now.
    pub fn release(&self) {
        self.shared.release();
    }

    /// From now on `witness`, and no other, is called in each ConfirmEvents that is carried out,
    /// before the answer leaves, with the numbers of the events that it asks to confirm, whether or
    /// not it succeeds. They have to be safe by then: `witness` can look. It may use this
    /// control, and holds up other calls for as long as it takes.
    pub fn set_witness(&self, witness: impl Fn(&[u64]) + Send + Sync + 'static) {
        self.shared.set_witness(Arc::new(witness));
    }

    /// Sets the clock that signatures are judged by, and that dates the answers, off from the
    /// true time; at most ten years. Leases and the ledger go by the true time.
    pub fn set_clock_offset(&self, offset: TimeDelta) {
        let furthest = TimeDelta::days(3650);
        self.shared.clock.set_offset(offset.clamp(-furthest, furthest));
    }

    /// From now on, DescribeEventConfig tells this of the application, or of the first one. What
    /// PullEvents does stays as it is.
    ///
    /// # Errors
    /// When there is no such application.
    pub fn set_event_config(&self, app: Option<u64>, config: EventConfig) -> Result<(), AddError> {
        let app = self.app(app)?;
        self.shared.state().set_event_config(app, config);
        Ok(())
    }

    /// From now on, this is the role that can be assumed. Keys that were handed out stay good.
    pub fn set_role(&self, role: Role) {
        self.shared.state().role = role;
    }

    /// From now on, requests must be signed by `account`, or with keys that were handed out.
    pub fn set_account(&self, account: Account) {
        self.shared.state().account = Arc::new(account);
    }
}

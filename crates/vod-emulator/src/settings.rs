//! The settings of the emulator.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::faults::EmptyAnswer;
use super::keys::Account;
use super::push::PushSettings;
use super::queue::MAX_BATCH;
use super::sprites::{SpriteProtection, SpriteQuirks};
use super::tasks::TaskSettings;

/// The longest duration that may be set, beyond which times could overflow.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The longest round trip that may be set.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(60);

/// The settings of an emulator. The default is as strict as the service.
#[derive(Clone, Debug)]
pub struct EmulatorSettings {
    /// Who may call.
    pub account: Account,
    /// The role whose temporary keys its STS hands out; they may call, too.
    pub role: AssumableRole,
    /// The applications, each with a queue of its own: each request must name the SubAppId of one.
    /// Without any there is the primary one alone, and no request may name one.
    pub apps: Vec<u64>,
    /// How long a pull waits for an event: 5 s.
    pub hold: Duration,
    /// How long a handed-out event is invisible and its handle good: 30 s.
    pub lease: Duration,
    /// From when the lease counts.
    pub lease_from: LeaseFrom,
    /// How long an event is kept that is not confirmed: 4 days.
    pub retention: Duration,
    /// Requests a second for each action, in any span of one second; `None`: without limit.
    pub rate_limit: Option<u32>,
    /// When all calls are refused as too many, whatever their rate; `None`: never.
    pub bursts: Option<ThrottleBursts>,
    /// The time that a call, or a request for a sprite's file, travels: half of this before it is
    /// handled, half before its answer. At most a minute.
    pub round_trip: Duration,
    /// By how much longer than that it may be, at random and on each of the two ways. At most a
    /// minute.
    pub jitter: Duration,
    /// Events in an answer at most: 16, or fewer. Whether the service always hands out as many as
    /// it can is not known.
    pub batch: usize,
    /// How a pull without events is answered.
    pub empty: EmptyAnswer,
    /// The error code of a ConfirmEvents with a handle that is not valid. The service's is not
    /// documented: `InvalidParameterValue` by default, and `FailedOperation` and
    /// `InternalError` are the others that its documents name for the action.
    pub refusal_code: String,
    /// The error code of a request that names no application, or none that there is. The service's
    /// is not documented: `InvalidParameterValue.SubAppId` by default. With
    /// `ResourceNotFound` a pull cannot tell it from an empty queue.
    pub unknown_app_code: String,
    /// Where it is more lenient than the service.
    pub lenient: Leniency,
    /// How events of each application are reported, until it is changed.
    pub event_config: ReportConfig,
    /// How events are posted, in the mode [`ReportMode::Push`].
    pub push: PushSettings,
    /// How tasks are told.
    pub tasks: TaskSettings,
    /// Sprite tasks made by themselves, each second; at most 10,000.
    pub sprites_per_second: f64,
    /// The quirks of sprite tasks whose order has none.
    pub sprite_quirks: SpriteQuirks,
    /// Who may open the files of sprites.
    pub sprite_protection: SpriteProtection,
    /// The most events that may wait.
    pub max_events: usize,
    /// The most events the ledger has a record of.
    pub max_records: usize,
    /// Decides faults that are drawn by rate, handles and the names of sprite tasks; `None`:
    /// another one each time.
    pub seed: Option<u64>,
    /// Whether an address that others can reach may be bound.
    pub allow_remote: bool,
    /// What sprite URLs begin with, if not the bound address: `http://host:port`.
    pub public_url: Option<String>,
}

impl Default for EmulatorSettings {
    fn default() -> Self {
        Self {
            account: Account {
                secret_id: "AKIDEMULATOR".to_owned(),
                secret_key: "emulator-secret-key".into(),
                token: None,
            },
            role: AssumableRole::default(),
            apps: vec![1_500_012_345],
            hold: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            lease_from: LeaseFrom::Answer,
            retention: Duration::from_secs(4 * 24 * 3600),
            rate_limit: Some(100),
            bursts: None,
            round_trip: Duration::ZERO,
            jitter: Duration::ZERO,
            batch: MAX_BATCH,
            empty: EmptyAnswer::Error,
            refusal_code: "InvalidParameterValue".to_owned(),
            unknown_app_code: "InvalidParameterValue.SubAppId".to_owned(),
            lenient: Leniency::default(),
            event_config: ReportConfig::default(),
            push: PushSettings::default(),
            tasks: TaskSettings::default(),
            sprites_per_second: 0.0,
            sprite_quirks: SpriteQuirks::default(),
            sprite_protection: SpriteProtection::default(),
            max_events: 2_000_000,
            max_records: 2_000_000,
            seed: None,
            allow_remote: false,
            public_url: None,
        }
    }
}

impl EmulatorSettings {
    /// The application that is meant where none is named: the first, 0 for the primary one.
    pub(super) fn first_app(&self) -> u64 {
        self.apps.first().copied().unwrap_or(0)
    }

    /// The application of a request with this SubAppId; `None` if there is no such one.
    pub(super) fn app(&self, sub_app_id: Option<u64>) -> Option<u64> {
        let known = match sub_app_id {
            None => self.apps.is_empty(),
            Some(id) => self.apps.contains(&id),
        };
        let app = known.then(|| sub_app_id.unwrap_or(0));
        app.or_else(|| self.lenient.any_sub_app_id.then(|| self.first_app()))
    }

    /// How long a request or an answer is on its way.
    pub(super) fn one_way(&self) -> Duration {
        self.round_trip / 2 + self.jitter.mul_f64(rand::random())
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.apps.contains(&0) {
            return Err("0 is the SubAppId of no application");
        }
        if !(0.0..=10_000.0).contains(&self.sprites_per_second) {
            return Err("the sprite tasks made each second must be from 0 to 10,000");
        }
        if self.role.max_session < Duration::from_secs(1) {
            return Err("a session of the role must be allowed to last for a second at least");
        }
        if [self.hold, self.lease, self.retention, self.role.max_session, self.tasks.lag]
            .iter()
            .any(|time| *time > MAX_DURATION)
        {
            return Err("hold, lease, retention, sessions and lag must be at most ten years");
        }
        if self.rate_limit == Some(0) {
            return Err("the rate limit must be at least 1 request a second");
        }
        if self.round_trip.max(self.jitter) > MAX_ROUND_TRIP {
            return Err("the round trip and its jitter must be at most a minute");
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return Err("an answer must hold 1 to 16 events");
        }
        if self
            .bursts
            .is_some_and(|bursts| bursts.length >= bursts.every || bursts.every > MAX_DURATION)
        {
            return Err("a burst of throttling must be shorter than the time to the next one");
        }
        self.sprite_protection.check()?;
        self.push.check()
    }
}

/// A role, and who may assume it: the account, and whoever has the token of an identity provider.
#[derive(Clone, Debug)]
pub struct AssumableRole {
    /// Its name in the cloud.
    pub arn: String,
    /// The longest validity of its keys, whatever is requested: 12 h.
    pub max_session: Duration,
    /// The token that is taken for the account's key.
    pub identity: Option<TrustedIdentity>,
}

impl Default for AssumableRole {
    fn default() -> Self {
        Self {
            arn: "qcs::cam::uin/100000000001:roleName/emulator".to_owned(),
            max_session: Duration::from_secs(12 * 3600),
            identity: None,
        }
    }
}

/// A token of an identity provider.
#[derive(Clone, Debug)]
pub struct TrustedIdentity {
    /// The provider.
    pub provider_id: String,
    /// The token.
    pub token: SecretString,
}

/// Times in which calls are refused as too many, one at the end of each span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleBursts {
    /// How long one lasts.
    pub length: Duration,
    /// The span from the end of one to the end of the next; the first begins with the emulator.
    pub every: Duration,
}

/// From when the lease of a handed-out event counts. Which of the two the service does is not
/// known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LeaseFrom {
    /// From the answer to the pull.
    #[default]
    Answer,
    /// From the pull itself: up to the hold shorter for the client.
    Request,
}

/// Where the emulator is more lenient than the service, or than the stricter reading of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// An event keeps its handle at each hand-out.
    pub same_handle: bool,
    /// A ConfirmEvents that is refused confirms its good handles all the same.
    pub confirm_partly: bool,
    /// A ConfirmEvents passes over the handles that are not good: it succeeds all the same.
    pub pass_over: bool,
    /// The signature itself is not verified; all else of the Authorization is.
    pub any_signature: bool,
    /// Unknown members of a request's body are ignored.
    pub any_member: bool,
    /// A request may name any SubAppId, or none: then the first application is meant.
    pub any_sub_app_id: bool,
}

/// How events are reported: the answer of DescribeEventConfig.
///
/// In the mode [`ReportMode::Push`] the queue gets no events, and PullEvents answers accordingly.
/// What the service does with events that are in the queue already is not known; here they can be
/// pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// How events are reported.
    pub mode: ReportMode,
    /// Where to, in the mode [`ReportMode::Push`]. What the service does without a URL is not known;
    /// here events go into the queue then.
    pub notification_url: String,
    /// Whether finished uploads are reported.
    pub upload: bool,
    /// Whether deleted media are reported.
    pub delete: bool,
    /// Whether finished persistence is reported.
    pub persistence: bool,
}

/// How events are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReportMode {
    /// Reliable callback: they wait to be pulled.
    #[default]
    Pull,
    /// HTTP callback: they are posted.
    Push,
}

//! The calls of the event API, and the repeats that are known to help.

use std::fmt;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::action::Action;
use super::advice::Advice;
use super::answer::{CallAnswer, Text};
use super::clock::Clock;
use super::credentials::{Provider, ProviderError};
use super::error::VodError;
use super::event_config::{EventConfig, EventMode};
use super::exchange::{self, Exchange, FailedCall, OutgoingCall, Proof};
use super::http::excerpt;
use super::key::Credentials;
use super::pulled::Pulled;
use super::settings::VodSettings;
use crate::event::AppId;
use crate::sync::{read, write};

/// The most handles that one ConfirmEvents takes.
pub const MAX_HANDLES: usize = 16;

/// What limits an answer.
const TOO_LARGE: &str = "vod.max_answer_size limits it";
const TOO_LARGE_ALONE: &str = "that is four times vod.max_answer_size: raise it, as far as the \
                               memory allows, to get the events of such an answer";

/// The longest word of a configuration that is kept, in characters.
const MAX_WORD: usize = 32;

const TOKEN_FAILURE: &str = "AuthFailure.TokenFailure";

/// The event API of one application. Cheap to clone; clones, those for other applications among
/// them, share connections, credentials and what was learned about the clock.
///
/// Every request is signed anew. A call is repeated at most twice, at once, and only where that is
/// known to help: after a refusal for its time, if the answer's Date shows another time than was
/// signed; and after a refusal of its credentials, if the provider then has others (a refused token
/// is tried once more in any case). Each try takes 15 s at most for a pull and 10 s for the rest.
/// Dropping the future of a call drops its request, which may have taken effect.
#[derive(Clone)]
pub struct Client {
    app: AppId,
    shared: Arc<Shared>,
}

struct Shared {
    exchange: Exchange,
    /// Bytes of an answer at most.
    max_answer: usize,
    /// Bytes at most of the answer to a pull that goes alone.
    max_answer_alone: usize,
    provider: RwLock<Arc<dyn Provider>>,
    clock: Clock,
    expiry: RwLock<Option<DateTime<Utc>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.shared.exchange.host())
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// The body of a request.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RequestBody<P> {
    #[serde(flatten)]
    parameters: P,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_app_id: Option<u64>,
}

#[derive(Serialize)]
struct NoParameters {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfirmParameters<'a> {
    event_handles: &'a [&'a str],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateFields {
    count_of_events_to_pull: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFields {
    mode: Option<String>,
    notification_url: Option<String>,
    upload_media_complete_event_switch: Option<String>,
    delete_media_complete_event_switch: Option<String>,
    persistence_complete_event_switch: Option<String>,
}

/// What [`Client::pull`] makes of an answer with this `status` and `body`. Public for the fuzzer,
/// which feeds it millions of them without a network.
///
/// # Errors
/// As for [`Client::pull`].
#[doc(hidden)]
pub fn read_pull(status: u16, body: Vec<u8>) -> Result<Pulled, VodError> {
    let as_it_is = |text: &str| text.to_owned();
    let text = Text::new(body);
    exchange::open(Action::PullEvents, Instant::now(), status, text, &as_it_is).and_then(pulled)
}

/// The Response in the answer to `action`.
pub(super) fn decoded<'a, T: Deserialize<'a>>(
    answer: &'a CallAnswer,
    action: Action,
) -> Result<T, VodError> {
    answer.decode().map_err(|problem| unexpected(answer, action, &problem))
}

/// The answer to `action` came through and is not what was asked for.
pub(super) fn unexpected(answer: &CallAnswer, action: Action, problem: &str) -> VodError {
    VodError::unexpected(action, problem, answer.status, answer.request_id.as_deref())
}

/// The error, with `note` if the answer was too large.
fn too_large(error: VodError, note: &str) -> VodError {
    if error.is_too_large() { error.with_note(note.to_owned()) } else { error }
}

fn pulled(answer: CallAnswer) -> Result<Pulled, VodError> {
    let (status, request_id) = (answer.status, answer.request_id.clone());
    Pulled::read(answer).map_err(|problem| {
        VodError::unexpected(Action::PullEvents, &problem, status, request_id.as_deref())
    })
}

impl Client {
    /// A client for the first application that `settings` name, which signs with what `provider`
    /// has. Connects to nothing yet. The proxy named in the environment (`HTTPS_PROXY`,
    /// `ALL_PROXY`, `NO_PROXY`) is used, but not on the way to this machine.
    ///
    /// # Errors
    /// When the settings are wrong or TLS cannot be set up, in words for the operator.
    pub fn new(settings: &VodSettings, provider: Arc<dyn Provider>) -> Result<Self, String> {
        let problems = settings.check();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        Ok(Self {
            app: settings.apps().first().copied().unwrap_or_default(),
            shared: Arc::new(Shared {
                exchange: Exchange::new(settings.endpoint()?)?,
                max_answer: settings.max_answer(),
                max_answer_alone: settings.max_answer_alone(),
                provider: RwLock::new(provider),
                clock: Clock::default(),
                expiry: RwLock::default(),
            }),
        })
    }

    /// Returns a client for another application, which shares all else.
    #[must_use]
    pub fn with_app(&self, app: AppId) -> Self {
        Self { app, shared: self.shared.clone() }
    }

    /// Returns the application; 0 if none is configured, and then none is sent.
    pub fn app(&self) -> AppId {
        self.app
    }

    /// Returns what is to be added to this machine's clock to get the service's. Zero until the
    /// service has refused a request for its time.
    pub fn clock_offset(&self) -> TimeDelta {
        TimeDelta::try_seconds(self.shared.clock.offset()).unwrap_or_default()
    }

    /// Returns how far the service's clock was ahead of this machine's by the Date of the last
    /// answer, to about a second; `None` before an answer had one. Small differences do no harm.
    pub fn clock_difference(&self) -> Option<TimeDelta> {
        self.shared.clock.seen().and_then(TimeDelta::try_seconds)
    }

    /// Returns [`Self::clock_difference`]; asks the service something for it if no answer has told it
    /// yet. Zero if none tells it.
    pub async fn ask_clock_difference(&self) -> TimeDelta {
        if self.clock_difference().is_none()
            && let Err(error) = self.events_state().await
        {
            // A refusal has a date as well.
            tracing::debug!(%error, "service asked for its time");
        }
        self.clock_difference().unwrap_or_default()
    }

    /// Returns when the credentials that signed last expire; `None` if they do not, as far as
    /// known.
    pub fn credentials_expiry(&self) -> Option<DateTime<Utc>> {
        *read(&self.shared.expiry)
    }

    /// Returns where the credentials come from, for people.
    pub fn credentials_source(&self) -> String {
        self.provider().describe()
    }

    /// Returns where what requests are signed with comes from.
    pub fn provider(&self) -> Arc<dyn Provider> {
        read(&self.shared.provider).clone()
    }

    /// Returns what requests are signed with now.
    ///
    /// # Errors
    /// When there is nothing to sign with.
    pub async fn credentials(&self) -> Result<Credentials, ProviderError> {
        self.provider().credentials().await
    }

    /// Signs with what `provider` has from the next call on.
    pub fn set_provider(&self, provider: Arc<dyn Provider>) {
        *write(&self.shared.provider) = provider;
    }

    /// Pulls up to 16 events, which are ours for 30 s from [`Pulled::sent`] at least. With
    /// nothing waiting the server holds the call for up to 5 s; then the list is empty.
    ///
    /// # Errors
    /// See [`VodError::advice`]. Events may have been handed out to a call that failed; they come
    /// again after 30 s. [`VodError::is_too_large`] says that it failed since they are more than
    /// `max_answer_size`: see [`Self::pull_alone`].
    pub async fn pull(&self) -> Result<Pulled, VodError> {
        pulled(self.call(Action::PullEvents, &NoParameters {}).await?)
    }

    /// As [`Self::pull`], but takes an answer of up to four times `max_answer_size`. For as much
    /// memory others are not to pull meanwhile.
    ///
    /// # Errors
    /// As for [`Self::pull`].
    pub async fn pull_alone(&self) -> Result<Pulled, VodError> {
        let most = self.shared.max_answer_alone;
        let called = self.call_for(Action::PullEvents, &NoParameters {}, most).await;
        pulled(called.map_err(|error| too_large(error, TOO_LARGE_ALONE))?)
    }

    /// Returns the bytes of an answer at most, to a pull and to one that goes alone.
    pub fn max_answer_sizes(&self) -> (usize, usize) {
        (self.shared.max_answer, self.shared.max_answer_alone)
    }

    /// Takes the events of these handles, 1 to [`MAX_HANDLES`], out of the queue for good.
    ///
    /// # Errors
    /// See [`VodError::advice`]. The service tells nothing of the single handle: after a parameter
    /// error any of them may have been confirmed or not.
    pub async fn confirm(&self, handles: &[&str]) -> Result<(), VodError> {
        if handles.is_empty() || handles.len() > MAX_HANDLES {
            return Err(VodError::new(
                Action::ConfirmEvents,
                Advice::Refused,
                format!("{} handles given; a call takes 1 to {MAX_HANDLES}", handles.len()),
            )
            .unsent());
        }
        let parameters = ConfirmParameters { event_handles: handles };
        self.call(Action::ConfirmEvents, &parameters).await.map(drop)
    }

    /// Returns roughly how many events wait, up to three minutes old: for a gauge only.
    ///
    /// # Errors
    /// See [`VodError::advice`]; not every site of the cloud knows this action.
    pub async fn events_state(&self) -> Result<u64, VodError> {
        let StateFields { count_of_events_to_pull } =
            self.describe(Action::DescribeEventsState).await?;
        Ok(count_of_events_to_pull)
    }

    /// Returns how the application's events are reported.
    ///
    /// # Errors
    /// See [`VodError::advice`]; it needs a permission of its own.
    pub async fn event_config(&self) -> Result<EventConfig, VodError> {
        let fields: ConfigFields = self.describe(Action::DescribeEventConfig).await?;
        // What is none of the documented words is shown to people.
        let word = |word: Option<String>| word.map(|word| excerpt(&word, MAX_WORD));
        Ok(EventConfig {
            mode: match fields.mode.as_deref() {
                Some("PUSH") => EventMode::Push,
                Some("PULL") => EventMode::Pull,
                other => EventMode::Other(excerpt(other.unwrap_or_default(), MAX_WORD)),
            },
            notification_url: fields.notification_url.filter(|url| !url.is_empty()),
            upload_media_complete: word(fields.upload_media_complete_event_switch),
            delete_media_complete: word(fields.delete_media_complete_event_switch),
            persistence_complete: word(fields.persistence_complete_event_switch),
        })
    }

    async fn describe<T: serde::de::DeserializeOwned>(
        &self,
        action: Action,
    ) -> Result<T, VodError> {
        decoded(&self.call(action, &NoParameters {}).await?, action)
    }

    /// Calls `action` with `parameters`, to which the application is added.
    pub(super) async fn call(
        &self,
        action: Action,
        parameters: &impl Serialize,
    ) -> Result<CallAnswer, VodError> {
        let called = self.call_for(action, parameters, self.shared.max_answer).await;
        called.map_err(|error| too_large(error, TOO_LARGE))
    }

    async fn call_for(
        &self,
        action: Action,
        parameters: &impl Serialize,
        max_answer: usize,
    ) -> Result<CallAnswer, VodError> {
        let sub_app_id = Some(self.app.0).filter(|id| *id != 0);
        let body = serde_json::to_vec(&RequestBody { parameters, sub_app_id })
            .expect("strings and numbers always make JSON");
        let provider = self.provider();
        let mut credentials = provider.credentials().await.map_err(|problem| {
            VodError::new(action, problem.advice(), problem.to_string()).unsent()
        })?;
        let (mut corrected, mut refreshed) = (false, false);
        loop {
            *write(&self.shared.expiry) = credentials.expires();
            let offset = self.shared.clock.offset();
            let time = Clock::at(Utc::now(), offset);
            let proof = Proof::Key(&credentials);
            let call =
                OutgoingCall { action, region: None, body: body.clone(), proof, time, max_answer };
            let FailedCall { error, date } = match self.shared.exchange.send(call).await {
                Ok(answer) => {
                    self.shared.clock.see(answer.date.as_deref(), Utc::now());
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            self.shared.clock.see(date.as_deref(), Utc::now());
            match error.advice() {
                Advice::Clock if !corrected => {
                    corrected = true;
                    if !self.shared.clock.learn(date.as_deref(), Utc::now(), offset) {
                        return Err(error);
                    }
                }
                Advice::Credentials if !refreshed => {
                    refreshed = true;
                    credentials = match provider.refresh(&credentials).await {
                        Ok(other) if other != credentials => other,
                        Ok(same) if error.code() == Some(TOKEN_FAILURE) => same,
                        Ok(_) => return Err(error),
                        Err(problem) => return Err(error.with_note(problem.to_string())),
                    };
                }
                _ => return Err(error),
            }
        }
    }
}

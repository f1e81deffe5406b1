//! The configuration is read again: all of it is taken over, or nothing.
//!
//! First everything that can fail and disturbs nobody: the file, the credentials, the sinks that
//! are new. Then one write to the journal, from which on events go by the new sinks. What follows
//! cannot fail.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use super::sink_set::{OpenedSink, SinkChanges, SinkSet};
use super::tasks::Tasks;
use super::{confirming, pulling, tell_max_size, wanted, warn_astray, warn_of_orphans};
use crate::config::{Config, Loaded, Located};
use crate::event::Wanted;
use crate::journal::Journal;
use crate::metrics::{ByOutcome, Metrics};
use crate::vod::Client;
use crate::vod::credentials::{self, Provider};
use crate::{confirmer, identity, liveness, logging, puller, systemd};

/// What goes by the configuration, and where it is read.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: PathBuf,
    pub(super) config: Config,
    pub(super) log: Option<logging::LogHandle>,
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) metrics: Metrics,
    pub(super) pulling: watch::Sender<puller::PollPacing>,
    pub(super) confirming: watch::Sender<confirmer::ConfirmPacing>,
    /// The events that each sink wants.
    pub(super) wanted: watch::Sender<Vec<Wanted>>,
    pub(super) outlets: SinkSet,
    /// Changes when events may have been settled without a delivery.
    pub(super) changed: watch::Sender<u64>,
    /// Notified when the credentials may work again.
    pub(super) retry_now: Arc<Notify>,
}

/// What stands ready to be taken over.
struct Next {
    loaded: Loaded,
    provider: Arc<dyn Provider>,
    are_other_credentials: bool,
    sinks: Vec<OpenedSink>,
}

impl Reload {
    /// Reads the configuration and takes it over, or says why not and leaves all as it was.
    /// Dropped half-way it may leave sinks in use whose loops do not run: for a stop only.
    pub(super) async fn run(&mut self, running: &mut Tasks, pulses: &liveness::LivenessMonitor) {
        systemd::reloading().await;
        let outcome = match self.take_over(running, pulses).await {
            Ok(()) => "ok",
            Err(faults) => {
                for fault in faults {
                    tracing::error!(fault, "cannot reload; goes on as before");
                }
                if let Some(user) = identity::became() {
                    tracing::warn!(
                        %user,
                        "was started as root and goes on as this user, who has to be able to read \
                         the configuration and its secrets for a reload; a restart reads them as root"
                    );
                }
                "failed"
            }
        };
        self.metrics.reloads.get_or_create(&ByOutcome { outcome }).inc();
        systemd::ready().await;
    }

    async fn take_over(
        &mut self,
        running: &mut Tasks,
        pulses: &liveness::LivenessMonitor,
    ) -> Result<(), Vec<String>> {
        let Next { loaded, provider, are_other_credentials, sinks } = self.prepare().await?;
        loaded.warn();
        let sinks_now = loaded.config.sinks.clone();
        let looked = spawn_blocking(move || warn_astray(&sinks_now)).await;
        let looked = looked.map_err(|error| vec![error.to_string()])?;
        looked.map_err(|refused| vec![refused.to_string()])?;
        let replaced = self.outlets.replace(sinks).await;
        let SinkChanges { added, removed, changed } =
            replaced.map_err(|error| vec![error.to_string()])?;
        self.outlets.launch(running, pulses);
        if !removed.is_empty() {
            self.changed.send_modify(|count| *count += 1);
            if let Err(error) = warn_of_orphans(&self.journal).await {
                tracing::debug!(%error, "cannot see what the removed sinks leave");
            }
        }
        self.client.set_provider(provider);
        self.retry_now.notify_one();
        let config = loaded.config;
        self.pulling.send_if_modified(|pacing| replace(pacing, pulling(&config)));
        self.confirming.send_if_modified(|pacing| replace(pacing, confirming(&config)));
        self.wanted.send_replace(wanted(&config));
        tell_max_size(&self.metrics, &config.journal);
        if let Err(error) = self.journal.set_limits(config.journal.clone()).await {
            tracing::debug!(%error, "nobody keeps the journal any more");
        }

        let before = std::mem::replace(&mut self.config, config);
        // Of credentials the values count, wherever they stand.
        let changed_tables = before.changed_tables(&self.config).into_iter();
        let tables = are_other_credentials.then_some("credentials").into_iter();
        let tables = tables.chain(changed_tables.filter(|name| *name != "credentials"));
        let tables = list(tables.map(str::to_owned).collect());
        let (added, removed, changed) = (list(added), list(removed), list(changed));
        let is_same = [&added, &removed, &changed, &tables].into_iter().all(Option::is_none);
        let tell = || {
            if is_same {
                tracing::info!("reloaded; nothing has changed");
            } else {
                tracing::info!(added, removed, changed, tables, "reloaded");
            }
        };
        // By the level that shows it, if one of them does.
        if tracing::enabled!(tracing::Level::INFO) {
            tell();
            self.set_level();
        } else {
            self.set_level();
            tell();
        }
        Ok(())
    }

    fn set_level(&self) {
        if let Some(log) = &self.log
            && let Err(error) = log.set_level(&self.config.log)
        {
            tracing::error!(%error, "cannot change the level of the log");
        }
    }

    /// Reads and opens what the configuration names now. All that is wrong is found at once.
    async fn prepare(&self) -> Result<Next, Vec<String>> {
        let loaded = match self.read().await {
            Ok(loaded) => loaded,
            Err(faults) => {
                // Another program may have moved a file away all the same.
                self.outlets.reopen().await;
                return Err(faults);
            }
        };
        let keys = self.config.restart_keys(&loaded.config).into_iter();
        let mut faults: Vec<_> =
            keys.map(|key| format!("{key}: a change of it needs a restart")).collect();
        let (provider, sinks) = tokio::join!(
            self.provider(loaded.config.credentials.clone()),
            self.open(&loaded.config),
        );
        let provider = provider.map_err(|fault| faults.push(fault));
        let sinks = sinks.map_err(|more| faults.extend(more));
        match (provider, sinks) {
            (Ok((provider, are_other_credentials)), Ok(sinks)) if faults.is_empty() => {
                Ok(Next { loaded, provider, are_other_credentials, sinks })
            }
            _ => Err(faults),
        }
    }

    async fn read(&self) -> Result<Loaded, Vec<String>> {
        let file = self.file.clone();
        let read = spawn_blocking(move || Config::load(&file)).await;
        let loaded = read.map_err(|error| vec![error.to_string()])?;
        loaded.map_err(|errors| {
            let each = errors.mistakes.iter();
            each.map(|mistake| Located(&errors.file, mistake).to_string()).collect()
        })
    }

    /// The provider, and whether it has other credentials than are in use.
    async fn provider(
        &self,
        settings: Option<credentials::CredentialsSettings>,
    ) -> Result<(Arc<dyn Provider>, bool), String> {
        // The keys of the same role are good whatever STS would say now, and the role's own key
        // is read again when STS refuses it.
        let names_role = settings.as_ref().is_some_and(|settings| settings.role_arn.is_some());
        if names_role
            && settings == self.config.credentials
            && self.client.credentials().await.is_ok()
        {
            return Ok((self.client.provider(), false));
        }
        let provider = spawn_blocking(move || credentials::provider(settings.as_ref())).await;
        let provider = provider.map_err(|error| error.to_string())?;
        let provider = provider.map_err(|error| error.to_string())?;
        let found = provider.credentials().await.map_err(|error| error.to_string())?;
        let are_other = self.client.credentials().await.is_ok_and(|in_use| in_use != found);
        Ok((provider, are_other))
    }

    async fn open(&self, config: &Config) -> Result<Vec<OpenedSink>, Vec<String>> {
        let opened = self.outlets.open(&config.sinks, self.client.app()).await?;
        SinkSet::probe(&opened).await?;
        Ok(opened)
    }
}

fn replace<T: PartialEq>(value: &mut T, new: T) -> bool {
    std::mem::replace(value, new) != *value
}

/// The names in one line; `None` if there are none.
fn list(names: Vec<String>) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

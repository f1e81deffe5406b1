//! The configuration in use, and its reload: all of another one is taken over, or nothing.
//!
//! First everything that can fail and disturbs nobody: the file, the credentials, the sinks that
//! are new. Then one write to the journal, from which on events go by the new sinks. What follows
//! cannot fail.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use super::live_settings::LiveSettings;
use super::sink_set::{OpenedSink, SinkChanges, SinkSet};
use super::systemd;
use super::tasks::Tasks;
use super::warnings::warn_of_foreign_folders;
use crate::config::{Config, Loaded, Located, ShownConfig};
use crate::control::ReloadVerdict;
use crate::health::LastReload;
use crate::liveness::LivenessMonitor;
use crate::metrics::ByOutcome;
use crate::receiver::{ReceiveRules, ReceiveSettings};
use crate::vod::Client;
use crate::vod::credentials::{self, Provider};
use crate::{identity, logging};

/// The configuration in use, and the parts of the daemon that go by it.
#[derive(Debug)]
pub(super) struct ActiveConfig {
    pub(super) file: PathBuf,
    pub(super) config: Config,
    /// The same for whoever asks for it.
    pub(super) shown: watch::Sender<ShownConfig>,
    pub(super) log: Option<logging::LogHandle>,
    pub(super) client: Client,
    pub(super) settings: LiveSettings,
    pub(super) sinks: SinkSet,
    /// Notified when credentials may have been corrected.
    pub(super) retry_now: Arc<Notify>,
    /// What came of the last reload.
    pub(super) last_reload: watch::Sender<Option<LastReload>>,
}

struct Next {
    loaded: Loaded,
    provider: Arc<dyn Provider>,
    are_other_credentials: bool,
    sinks: Vec<OpenedSink>,
    rules: Option<ReceiveRules>,
}

impl ActiveConfig {
    /// Reads the configuration and takes it over, or logs why not and leaves all as it was.
    /// Dropped half-way it may leave sinks in use whose loops do not run: for a stop only.
    pub(super) async fn reload(
        &mut self,
        tasks: &mut Tasks,
        liveness: &LivenessMonitor,
    ) -> ReloadVerdict {
        systemd::reloading().await;
        let taken_over = self.take_over(tasks, liveness).await;
        let verdict = taken_over.unwrap_or_else(ReloadVerdict::rejected);
        let outcome = match verdict.mistakes.as_slice() {
            [] => "ok",
            errors => {
                for error in errors {
                    tracing::error!(error, "reload rejected; previous configuration stays active");
                }
                if let Some(user) = identity::became() {
                    tracing::warn!(
                        %user,
                        "started as root and running as this user, who must be able to read the \
                         configuration and its secrets for a reload; a restart reads them as root"
                    );
                }
                "failed"
            }
        };
        let mistakes = verdict.mistakes.clone();
        self.last_reload.send_replace(Some(LastReload { at: Utc::now(), mistakes }));
        self.settings.metrics.reloads.get_or_create(&ByOutcome { outcome }).inc();
        systemd::ready().await;
        verdict
    }

    async fn take_over(
        &mut self,
        tasks: &mut Tasks,
        liveness: &LivenessMonitor,
    ) -> Result<ReloadVerdict, Vec<String>> {
        let Next { loaded, provider, are_other_credentials, sinks, rules } = self.prepare().await?;
        loaded.warn();
        let sinks_now = loaded.config.sinks.clone();
        let warned = spawn_blocking(move || warn_of_foreign_folders(&sinks_now)).await;
        let warned = warned.map_err(|error| vec![error.to_string()])?;
        warned.map_err(|refused| vec![refused.to_string()])?;
        let replaced = self.sinks.replace(sinks).await;
        let SinkChanges { added, removed, changed } =
            replaced.map_err(|error| vec![error.to_string()])?;
        self.sinks.launch(tasks, liveness);
        if !removed.is_empty() {
            self.sinks.release_removed().await;
        }
        self.client.set_provider(provider);
        self.retry_now.notify_one();
        let Loaded { config, shown, .. } = loaded;
        self.settings.replace(&config).await;
        let are_other_rules = self.settings.replace_rules(rules);

        self.shown.send_replace(shown);
        let before = std::mem::replace(&mut self.config, config);
        // Of credentials and tokens the values count, wherever they stand.
        let changed_tables = before.changed_tables(&self.config).into_iter();
        let by_value = [("credentials", are_other_credentials), ("receive", are_other_rules)];
        let tables = by_value.into_iter().filter_map(|(name, differs)| differs.then_some(name));
        let is_other = |name: &&str| by_value.iter().all(|(known, _)| known != name);
        let tables = tables.chain(changed_tables.filter(is_other));
        let tables = tables.map(str::to_owned).collect();
        let verdict = ReloadVerdict { added, removed, changed, tables, mistakes: Vec::new() };
        // By the level that shows it, if one of them does.
        if tracing::enabled!(tracing::Level::INFO) {
            log(&verdict);
            self.set_level();
        } else {
            self.set_level();
            log(&verdict);
        }
        Ok(verdict)
    }

    fn set_level(&self) {
        if let Some(log) = &self.log
            && let Err(error) = log.set_level(&self.config.log)
        {
            tracing::error!(%error, "log level not changed");
        }
    }

    /// Reads and opens what the configuration names now. All errors are found at once.
    async fn prepare(&self) -> Result<Next, Vec<String>> {
        let loaded = match self.read().await {
            Ok(loaded) => loaded,
            Err(errors) => {
                // Another program may have moved a file away all the same.
                self.sinks.reopen().await;
                return Err(errors);
            }
        };
        let keys = self.config.restart_keys(&loaded.config).into_iter();
        let mut errors: Vec<_> =
            keys.map(|key| format!("{key}: a change needs a restart")).collect();
        let (provider, sinks, rules) = tokio::join!(
            self.provider(&loaded.config),
            self.open(&loaded.config),
            read_rules(loaded.config.receive.clone()),
        );
        let rules = rules.map_err(|error| errors.push(error));
        let provider = provider.map_err(|error| errors.push(error));
        let sinks = sinks.map_err(|more| errors.extend(more));
        match (provider, sinks, rules) {
            (Ok((provider, are_other_credentials)), Ok(sinks), Ok(rules)) if errors.is_empty() => {
                Ok(Next { loaded, provider, are_other_credentials, sinks, rules })
            }
            _ => Err(errors),
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

    /// Returns the provider, and whether its credentials differ from those in use.
    async fn provider(&self, config: &Config) -> Result<(Arc<dyn Provider>, bool), String> {
        // There may be none, and nothing asks for them.
        if !config.calls_the_cloud() {
            return Ok((self.client.provider(), false));
        }
        let settings = config.credentials.clone();
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
        let opened = self.sinks.open(&config.sinks, self.client.app()).await?;
        SinkSet::probe(&opened).await?;
        Ok(opened)
    }
}

/// Reads the secrets of the receiver.
async fn read_rules(settings: Option<ReceiveSettings>) -> Result<Option<ReceiveRules>, String> {
    let Some(settings) = settings else { return Ok(None) };
    let read = spawn_blocking(move || ReceiveRules::read(&settings)).await;
    read.map_err(|error| error.to_string())?.map(Some)
}

/// Logs what was taken over.
fn log(verdict: &ReloadVerdict) {
    if verdict.is_same() {
        tracing::info!("reloaded: nothing has changed");
        return;
    }
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let ReloadVerdict { added, removed, changed, tables, .. } = verdict;
    let (added, removed) = (list(added), list(removed));
    let (changed, tables) = (list(changed), list(tables));
    tracing::info!(added, removed, changed, tables, "reloaded");
}

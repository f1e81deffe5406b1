//! `sprited check`: everything that can be found wrong before events depend on it.
//!
//! A list of steps, each with an outcome and, where it is not ok, with advice. Never consumes an
//! event.

mod cloud;
mod disk;
mod file;
mod journal;
mod network;
mod policy;
mod receive;
mod report;
mod running;
mod sinks;

use std::io::{self, IsTerminal};

use futures_util::future::join_all;

use report::{CheckReport, CheckStep, StepOutcome};
use running::RunningDaemon;

use super::exit::{Exit, answer, complain};
use super::open_journal::ConfigArg;
use super::process;
use super::unit::{ServiceUnit, UnitArg};
use crate::config::{Config, Loaded};
use crate::identity;
use crate::logging::is_coloured;

/// Check configuration, network, credentials, queue, journal and sinks; no event is consumed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if nothing failed, even with warnings; otherwise the first failure decides: 78 for the
configuration, 77 for rejected credentials, 74 for the journal, 1 for the rest.
The steps, as --json names them: configuration, unit (if the unit cannot be used), secrets,
confirm, proxy, dns, tls, credentials, cloud, event-mode, queue, reconcile (if it is on or there is
[receive]), clock, receive (if there is [receive]), journal, disk, and one sink for each sink. A
step is ok, warn, fail, or skip if an earlier failure prevents it. With several applications, each
has its own cloud, event-mode, queue and reconcile.

A sink's step also says how the sink is at the running daemon, if one answers.

As root, it reads systemd's credentials and the variables of the daemon's unit, with its drop-ins,
as the service gets them. Other users cannot read most credentials, and are warned.

Examples:
  sudo sprited check
  sprited check --offline --config ./sprited.toml
  sudo sprited check --unit sprited@north --config /etc/sprited/north.toml
  sprited check --policy=100000000001
  sprited check --json | jq -r '.steps[] | select(.outcome != \"ok\")'"
)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    unit: UnitArg,
    /// Check only the file and the secrets it refers to, without network and journal.
    #[arg(long)]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the access policy that the daemon's key needs for the configured applications and this
    /// root account; check only the file.
    #[arg(
        long,
        value_name = "ROOT_ACCOUNT",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["offline", "json"]
    )]
    policy: Option<Option<u64>>,
}

pub(super) fn run(args: &CheckArgs) -> Exit {
    let path = &args.config.path;
    let unit = args.unit.stand_in();
    let mut report = CheckReport::new(path);
    match Config::load(path) {
        Err(errors) => report.push(file::refused(&errors)),
        Ok(loaded) => {
            if let Some(root_account) = args.policy {
                return print_policy(root_account, &loaded.config);
            }
            report.push(file::accepted(&loaded));
            file::unit(&loaded, &unit).into_iter().for_each(|step| report.push(step));
            let secrets = file::secrets(&loaded, &unit);
            let are_there = secrets.outcome == StepOutcome::Ok;
            report.push(secrets);
            // Told, not warned of: each is a choice.
            report.push(CheckStep::ok("confirm", loaded.config.confirm.lost_with_the_machine()));
            if !args.offline {
                online(&loaded, &unit, are_there).into_iter().for_each(|step| report.push(step));
            }
        }
    }
    let no_colour = std::env::var_os("NO_COLOR");
    let text = if args.json {
        report.json()
    } else {
        report.table(is_coloured(io::stdout().is_terminal(), no_colour.as_deref()))
    };
    answer(text.as_bytes(), report.exit())
}

fn print_policy(root_account: Option<u64>, config: &Config) -> Exit {
    let apps = config.vod.apps();
    let reconciles = config.reconcile.every.interval().is_some();
    policy::blanks(root_account, &apps).into_iter().for_each(complain);
    answer(policy::text(root_account, &apps, reconciles).as_bytes(), Exit::Success)
}

/// All that needs more than the file. What does not answer holds up nothing beside it.
fn online(
    Loaded { config, .. }: &Loaded,
    unit: &ServiceUnit,
    secrets_are_there: bool,
) -> Vec<CheckStep> {
    let app = config.vod.apps().first().copied().unwrap_or_default();
    let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    let checks = async {
        // Like the daemon: what only root may read is read, and then root is the journal's owner.
        let opening = config.sinks.iter().map(|sink| sinks::open(sink, app));
        let (keys, opened) =
            tokio::join!(cloud::keys(config, secrets_are_there), join_all(opening));
        let refused = identity::become_owner(&config.journal.path).err();
        let refused = refused.as_ref();
        let network_and_cloud = async {
            if !config.calls_the_cloud() {
                return cloud::not_needed();
            }
            let mut steps = network::check(&config.vod, unit).await;
            steps.extend(cloud::check(config, keys, network::first_failed(&steps)).await);
            steps
        };
        let sinks = config.sinks.iter().zip(opened);
        let receive = async {
            match &config.receive {
                Some(settings) => {
                    Some(receive::check(settings.address(), &config.journal.path).await)
                }
                None => None,
            }
        };
        let (mut steps, receive, journal, disk, sinks, daemon) = tokio::join!(
            network_and_cloud,
            receive,
            journal::check(&config.journal.path, &names, refused),
            disk::check(&config.journal, refused),
            join_all(sinks.map(|(sink, opened)| sinks::check(sink, opened, refused))),
            RunningDaemon::ask(&config.journal.path),
        );
        steps.extend(cloud::reconcile_hint(config));
        steps.extend(receive);
        steps.extend([journal, disk]);
        steps.extend(sinks.into_iter().zip(&names).map(|(step, name)| daemon.beside(name, step)));
        steps
    };
    process::block_on(checks).unwrap_or_else(|error| {
        vec![CheckStep::fail(
            "process",
            Exit::Failure,
            format!("{error:#}"),
            "free some memory or tasks",
        )]
    })
}

//! `sprited demo`: cloud and daemon in one process.

mod story;
mod sums;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vod_emulator::{
    Emulator, EmulatorSettings, PushSettings, ReportConfig, ReportMode, SpriteOrder,
};

use super::exit::Exit;
use super::process::{self, Signals};
use crate::config::{Config, Loaded};
use crate::daemon::{Daemon, DaemonSignals};
use crate::logging;
use crate::vod::credentials;
use story::Story;
use sums::Sums;

/// Between two sprite tasks.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at how far the events have come.
const LOOK: Duration = Duration::from_millis(20);
/// The application whose events they are.
const APP: u64 = 1_500_012_345;
/// How long the cloud holds a pull that finds nothing: the end waits for it.
const HOLD: Duration = Duration::from_millis(300);
/// Events of a demo that is kept open, unless others are asked for.
const KEPT_EVENTS: u32 = 3;
/// How long the last events may take at the end.
const LAST: Duration = Duration::from_secs(10);

/// Show it at work: a local emulator of the cloud makes events, a sink gets them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs no account, no configuration and no network. Everything it writes is in a
temporary folder that is gone when it ends.

Examples:
  sprited demo
  sprited demo --events 3                 end by itself after three events
  sprited demo --keep                     leave its pages open: scrub through a sprite
  sprited demo --push                     have them posted, as the HTTP callback does"
)]
pub(super) struct DemoArgs {
    /// End after this many events; otherwise it goes on until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events: Option<u32>,

    /// Go on after the last event until Ctrl-C, so that its sprites can be looked at; without
    /// --events that is the third.
    #[arg(long)]
    keep: bool,

    /// The cloud posts the events, signed, instead of letting them wait to be pulled.
    #[arg(long)]
    push: bool,
}

#[must_use]
pub(super) fn run(args: &DemoArgs) -> Exit {
    match process::block_on(demonstrate(args)).flatten() {
        Ok(sums) if sums.add_up() => Exit::Success,
        Ok(_) => Exit::Failure,
        Err(error) if is_broken_pipe(&error) => Exit::Success,
        Err(error) => Exit::Failure.because(format_args!("{error:#}")),
    }
}

async fn demonstrate(args: &DemoArgs) -> anyhow::Result<Sums> {
    let signals = Signals::new().context("cannot take over the signals")?;
    // Ends making events; the daemon goes on until they have arrived.
    let ending = DaemonSignals::default();
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let callback = args.push.then(Callback::random);
    let sign_key = callback.as_ref().map(|callback| callback.sign_key.clone().into());
    let settings = EmulatorSettings {
        hold: HOLD,
        push: PushSettings { sign_key, ..PushSettings::default() },
        ..EmulatorSettings::default()
    };
    let emulator = Emulator::bind(settings, any_port).await?;
    let loaded = configuration(&emulator.url(), callback.as_ref(), folder.path())?;
    logging::start(&loaded.config.log)?;
    let provider = credentials::provider(loaded.config.credentials.as_ref())?;
    let daemon = Daemon::open(loaded, provider).await?;

    if let Some((callback, address)) = callback.as_ref().zip(daemon.callback_address()) {
        let notification_url = format!("http://{address}/vod/{APP}/{}", callback.token);
        let push = ReportConfig { mode: ReportMode::Push, notification_url, ..Default::default() };
        emulator.control().set_event_config(None, push)?;
    }
    let mut story = Story::new(emulator.control(), folder.path(), args.push);
    let pages = daemon.http_address().map_or_else(String::new, |at| format!("http://{at}"));
    story.begin(&emulator.url(), &pages)?;
    // A second signal ends the programs of these sinks.
    let control = DaemonSignals { sinks: ending.sinks.clone(), ..DaemonSignals::default() };
    let stop_emulator = CancellationToken::new();
    let cloud = emulator.run(stop_emulator.clone());
    let work = async {
        let run = daemon.run(control.clone(), false);
        let tell = async {
            let max = args.events.or(args.keep.then_some(KEPT_EVENTS));
            let mut told = tell(&mut story, max, &ending.stop).await;
            if told.is_ok() && args.keep && !ending.stop.is_cancelled() {
                told = story.invite(&pages).map_err(anyhow::Error::from);
                ending.stop.cancelled().await;
            }
            control.stop.cancel();
            told
        };
        // A daemon that ends by itself has nothing more to tell.
        let run = async {
            let ended = run.await;
            ending.stop.cancel();
            ended
        };
        let (ended, told) = tokio::join!(run, tell);
        stop_emulator.cancel();
        told.and(ended.context("the daemon failed"))
    };
    tokio::select! {
        ((), ended) = async { tokio::join!(cloud, work) } => drop(ended?),
        never = signals.obey(ending.clone()) => match never {},
    }
    let sums = story.sums()?;
    story.end(&sums, args.keep)?;
    Ok(sums)
}

/// Has events made and tells what becomes of them, until `max` of them have arrived, or those
/// made when `stop` came.
async fn tell(story: &mut Story, max: Option<u32>, stop: &CancellationToken) -> anyhow::Result<()> {
    let (mut make, mut look) = (interval(EVERY), interval(LOOK));
    make.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() && max.is_none_or(|max| story.made() < max) {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = make.tick() => story.make(&SpriteOrder { fail_every: 5, ..SpriteOrder::default() })?,
            _ = look.tick() => story.go_on()?,
        }
    }
    let last = async {
        while story.told() < story.made() {
            look.tick().await;
            story.go_on()?;
        }
        Ok(())
    };
    // Those that have not arrived by then show in the sums.
    tokio::time::timeout(LAST, last).await.unwrap_or(Ok(()))
}

/// What the cloud and the receiver have in common.
struct Callback {
    token: String,
    sign_key: String,
}

impl Callback {
    fn random() -> Self {
        let random = || format!("{:032x}", rand::random::<u128>());
        Self { token: random(), sign_key: random() }
    }
}

fn configuration(url: &str, callback: Option<&Callback>, folder: &Path) -> anyhow::Result<Loaded> {
    let mirror = folder.join(story::MIRROR);
    std::fs::create_dir(&mirror).context("cannot make a folder")?;
    let pull = callback.is_none();
    let receive = callback.map_or_else(String::new, |Callback { token, sign_key }| {
        format!(
            r#"receive = {{ listen = "127.0.0.1:0", token = "{token}", sign_key = "{sign_key}" }}"#
        )
    });
    let text = format!(
        r#"
        credentials = {{ secret_id = "AKIDEMULATOR", secret_key = "emulator-secret-key" }}
        vod = {{ endpoint = "{url}", sub_app_id = {APP}, pull = {pull} }}
        poll = {{ interval = "{hold}ms" }}
        {receive}
        http = {{ listen = "127.0.0.1:0" }}
        log = {{ level = "warn", format = "pretty" }}
        journal = {{ path = {journal:?} }}
        [[sinks]]
        name = "mirror"
        type = "mirror"
        store = "folder"
        path = {mirror:?}
        public_url = "https://img.example.com/sprites"
        hosts = [{host:?}]
        [[sinks]]
        name = "sprites"
        type = "jsonl"
        path = {sprites:?}
        after = "mirror"
        "#,
        hold = HOLD.as_millis(),
        journal = folder.join(story::JOURNAL),
        host = url.strip_prefix("http://").unwrap_or(url),
        sprites = folder.join(story::SPRITES),
    );
    Config::parse(&text, Path::new("demo"))
        .map_err(|faults| anyhow::anyhow!("the demo's own configuration: {faults}"))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

//! The command line of the emulator.
//!
//! Owns its options, its help, and what it prints.

mod push;
mod sprites;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::emulator::Emulator;
use crate::faults::EmptyAnswer;
use crate::keys::Account;
use crate::settings::{
    EmulatorSettings, LeaseFrom, Leniency, ReportConfig, ReportMode, ThrottleBursts,
};
use crate::tasks::{DetailSpelling, TaskSettings};
use push::PushArgs;
use sprites::SpriteFileArgs;

/// The purpose of the command, for `--help`.
const LONG_ABOUT: &str = "Emulate the cloud's event API on this machine

The emulator is strict: it implements the event actions of the VOD API (PullEvents, ConfirmEvents,
DescribeEventsState, DescribeEventConfig) as the service documents them, with signed requests, a
clock window of five minutes, 16 events a pull, and handles that expire after 30 s. Any client of
the service works with it. With --push it posts events to a URL instead (HTTP callback), signed or
not, and its ledger has what was answered and what was lost. DescribeTasks and DescribeTaskDetail
return the tasks of the last 72 hours, whatever became of their events. It also implements
AssumeRole of STS for the role qcs::cam::uin/100000000001:roleName/emulator, and accepts the
temporary keys of that role.";

/// Examples, shown below the options of `--help`.
const USAGE: &str = r#"Add an event, or an array of events:
  curl -d '{"EventType":"FileDeleted","FileDeleteEvent":{"FileIdSet":["17"]}}' \
       http://127.0.0.1:9771/_emulator/events
Add the same event a thousand times, visible after a minute:
  curl -d @event.json 'http://127.0.0.1:9771/_emulator/events?copies=1000&delay=1m'
Add an event for the second of several applications (--sub-app-id 1500012345,1500012346):
  curl -d @event.json 'http://127.0.0.1:9771/_emulator/events?app=1500012346'
Add finished image-sprite tasks of one source API (create or procedure), with sheets and WebVTT
files that can be opened:
  curl -d '{"count":10,"files":3,"source_api":"procedure","fail_every":5}' \
       http://127.0.0.1:9771/_emulator/sprites
Add tasks that ended one a minute in the last day; of every tenth the event is lost. They may report
each change ("change") or nothing ("none"), and be aborted ("abort_every"):
  curl -d '{"count":1440,"age":"1d","apart":"1m","lose_every":10,"notify_mode":"change"}' \
       http://127.0.0.1:9771/_emulator/sprites
Add a task whose files come late and in another dialect; --sprite-quirks lists the words:
  curl -d '{"tiles":106,"quirks":"crlf,query,padded,sheets:late=5s"}' \
       http://127.0.0.1:9771/_emulator/sprites
Sign the URLs of files from now on, and check the Referer; open them to all again:
  curl -X PUT -d '{"key":"Ab3dEf6hIj9k","referers":["www.example.com"]}' \
       http://127.0.0.1:9771/_emulator/sprite-protection
  curl -X PUT -d '{}' http://127.0.0.1:9771/_emulator/sprite-protection
Show what was pulled and confirmed, and when; or only the totals:
  curl http://127.0.0.1:9771/_emulator/ledger
  curl 'http://127.0.0.1:9771/_emulator/ledger?summary=1'
Lose the answers of the next three confirmations; fail one call in ten; clear all faults:
  curl -d '{"kind":"reset","action":"ConfirmEvents","takes_effect":true,"next":3}' \
       http://127.0.0.1:9771/_emulator/faults
  curl -d '{"kind":{"status":502},"rate":0.1}' http://127.0.0.1:9771/_emulator/faults
  curl -X DELETE http://127.0.0.1:9771/_emulator/faults
Kinds of faults: reset, hang, hold (until a POST to /_emulator/release), {"delay":"8s"}, throttle,
  internal-error, {"error":"AnyCode"}, {"status":502}, {"wrong-clock":-600}, truncated, cut, torn,
  {"slow":"8s"}, {"oversized":"64MiB"}, {"empty":"error|null|absent|list"}, reversed, duplicate,
  shared-handle, {"malformed":"null|number|string|invalid-utf8|no-handle|null-handle|number-handle"}
Set the clock ten minutes back:
  curl -X PUT -d '{"offset_seconds":-600}' http://127.0.0.1:9771/_emulator/clock
Post events to a receiver, signed; each is sent up to three times, and again after a timeout only:
  emulator --push http://127.0.0.1:9772/vod/{app}/TOKEN --sign-key Ab3dEf6hIj9k
Retry as sister products of the service do: 12 times, after all but a 200, each minute:
  emulator --push URL --push-retry failure --push-tries 13 --push-spacing 1m
Show what became of posted events (totals.pushed, and pushed of each event):
  curl http://127.0.0.1:9771/_emulator/ledger
Switch to pulling and back to posting in mid-stream; the switches of uploads and deletions, too:
  curl -X PUT -d '{"mode":"PULL"}' http://127.0.0.1:9771/_emulator/event-config
  curl -X PUT -d '{"mode":"PUSH","notification_url":"http://127.0.0.1:9772/vod/1500012345/TOKEN",
       "upload":true}' http://127.0.0.1:9771/_emulator/event-config
Refuse to tell how events are reported:
  curl -d '{"kind":{"error":"UnauthorizedOperation"},"action":"DescribeEventConfig","rate":1}' \
       http://127.0.0.1:9771/_emulator/faults

Configure the client:
  [credentials]
  secret_id = "AKIDEMULATOR"
  secret_key = "emulator-secret-key"
  [vod]
  endpoint = "http://127.0.0.1:9771"
  sub_app_id = 1500012345"#;

/// The options of the emulator.
#[derive(Debug, clap::Args)]
#[command(about = "Emulate the cloud's event API", long_about = LONG_ABOUT, after_long_help = USAGE)]
pub struct EmulatorArgs {
    /// The address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9771")]
    listen: SocketAddr,

    /// Listen on an address that other machines can reach; whoever reaches it can control the
    /// emulator
    #[arg(long)]
    allow_remote: bool,

    /// The base of sprite URLs, if clients reach the emulator under another address
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// The SecretId that requests must be signed with
    #[arg(long, value_name = "ID", default_value = "AKIDEMULATOR")]
    secret_id: String,

    /// The SecretKey that requests must be signed with; never a real key, which others could read
    /// from the list of processes
    #[arg(long, value_name = "KEY", default_value = "emulator-secret-key")]
    secret_key: SecretString,

    /// The session token that each request must contain, as with temporary credentials
    #[arg(long, value_name = "TOKEN")]
    token: Option<SecretString>,

    /// The SubAppId that each request must name, or several with commas, each with its own queue; 0
    /// for none
    #[arg(long, value_name = "NUMBER", default_value = "1500012345", value_delimiter = ',')]
    sub_app_id: Vec<u64>,

    /// How long a pull waits for an event
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    hold: Duration,

    /// How long a handed-out event is invisible and its handle good
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    lease: Duration,

    /// From when the lease counts
    #[arg(long, value_name = "MOMENT", default_value = "answer")]
    lease_from: LeaseFrom,

    /// How long an unconfirmed event is kept
    #[arg(long, value_name = "TIME", default_value = "4d", value_parser = humantime::parse_duration)]
    retention: Duration,

    /// Requests a second for each action, or "off"
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    rate_limit: RateLimit,

    /// Throttle all calls for a time at the end of each longer time, such as 2s/20s
    #[arg(long, value_name = "TIME/TIME", value_parser = bursts)]
    throttle: Option<ThrottleBursts>,

    /// How long a call, or a request for a sprite's file, travels, there and back
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    round_trip: Duration,

    /// The random extra time of each direction, at most
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    jitter: Duration,

    /// The maximum number of events in an answer, 1 to 16
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    batch: usize,

    /// How a pull without events is answered
    #[arg(long, value_name = "FORM", default_value = "error")]
    empty: EmptyAnswer,

    /// The error code of a ConfirmEvents with an invalid handle
    #[arg(long, value_name = "CODE", default_value = "InvalidParameterValue")]
    refusal_code: String,

    /// The error code of a request with a missing or unknown SubAppId; with ResourceNotFound a pull
    /// cannot tell it from an empty queue
    #[arg(long, value_name = "CODE", default_value = "InvalidParameterValue.SubAppId")]
    unknown_app_code: String,

    /// How long after its end a task is in the list of DescribeTasks
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    task_lag: Duration,

    /// How DescribeTaskDetail spells what the event of a sprite task says
    #[arg(long, value_name = "SPELLING", default_value = "same")]
    task_detail: DetailSpelling,

    /// Where to be more lenient than the service; may be repeated, or a list with commas
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    lenient: Vec<LenientRule>,

    /// The seed of random faults, handles and the names of sprite tasks [default: random]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    // Boxed: whoever has other commands keeps them in one enum with these options.
    #[command(flatten)]
    push: Box<PushArgs>,

    #[command(flatten)]
    sprites: Box<SpriteFileArgs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LenientRule {
    /// An event keeps its handle at each hand-out
    SameHandle,
    /// A refused ConfirmEvents still confirms its valid handles
    ConfirmPartly,
    /// A ConfirmEvents ignores invalid handles, and succeeds
    PassOver,
    /// The signature itself is not verified
    AnySignature,
    /// Unknown members of a request's body are ignored
    AnyMember,
    /// A request may have any SubAppId, or none: it is for the first application then
    AnySubAppId,
}

/// Requests a second; `None` without limit.
#[derive(Clone, Copy, Debug)]
struct RateLimit(Option<u32>);

impl std::str::FromStr for RateLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(rate @ 1..) => Ok(Self(Some(rate))),
            _ if text == "off" => Ok(Self(None)),
            _ => Err("must be a number of at least 1, or \"off\""),
        }
    }
}

/// Reads bursts of throttling, `length/every`.
fn bursts(text: &str) -> Result<ThrottleBursts, String> {
    let (length, every) = text.split_once('/').ok_or("must be two times, such as 2s/20s")?;
    let read = |time| humantime::parse_duration(time).map_err(|error| error.to_string());
    Ok(ThrottleBursts { length: read(length)?, every: read(every)? })
}

impl EmulatorArgs {
    fn settings(&self) -> EmulatorSettings {
        let is_lenient = |rule| self.lenient.contains(&rule);
        self.sprites.apply(EmulatorSettings {
            account: Account {
                secret_id: self.secret_id.clone(),
                secret_key: self.secret_key.clone(),
                token: self.token.clone(),
            },
            apps: self.apps(),
            hold: self.hold,
            lease: self.lease,
            lease_from: self.lease_from,
            retention: self.retention,
            rate_limit: self.rate_limit.0,
            bursts: self.throttle,
            round_trip: self.round_trip,
            jitter: self.jitter,
            batch: self.batch,
            refusal_code: self.refusal_code.clone(),
            unknown_app_code: self.unknown_app_code.clone(),
            empty: self.empty,
            lenient: Leniency {
                same_handle: is_lenient(LenientRule::SameHandle),
                confirm_partly: is_lenient(LenientRule::ConfirmPartly),
                pass_over: is_lenient(LenientRule::PassOver),
                any_signature: is_lenient(LenientRule::AnySignature),
                any_member: is_lenient(LenientRule::AnyMember),
                any_sub_app_id: is_lenient(LenientRule::AnySubAppId),
            },
            push: self.push.settings(),
            tasks: TaskSettings { lag: self.task_lag, detail: self.task_detail },
            seed: self.seed,
            allow_remote: self.allow_remote,
            public_url: self.public_url.clone(),
            ..EmulatorSettings::default()
        })
    }

    fn apps(&self) -> Vec<u64> {
        if self.sub_app_id == [0] { Vec::new() } else { self.sub_app_id.clone() }
    }

    /// Returns what is printed for the emulator at `url`.
    fn welcome(&self, url: &str) -> String {
        let quoted = |text: &str| toml::Value::from(text);
        let pushed = self.push.urls(&self.apps()).unwrap_or_default();
        let pushed: String = pushed
            .iter()
            .map(|(app, url)| format!("Events of {app} are posted to {url}\n"))
            .collect();
        let token = match &self.token {
            Some(token) => format!("token = {}\n", quoted(token.expose_secret())),
            None => String::new(),
        };
        let sub_app_id = match self.apps().as_slice() {
            [] => String::new(),
            [id] => format!("sub_app_id = {id}\n"),
            ids => format!("sub_app_id = {ids:?}\n"),
        };
        format!(
            "The emulator listens on {url}. Configure the client:\n\n\
             [credentials]\nsecret_id = {}\nsecret_key = {}\n{token}\n\
             [vod]\nendpoint = {}\n{sub_app_id}\n\
             Add a sprite task:   curl -d '{{}}' {url}/_emulator/sprites\n\
             Read the ledger:     curl {url}/_emulator/ledger\n{pushed}",
            quoted(&self.secret_id),
            quoted(self.secret_key.expose_secret()),
            quoted(url),
        )
    }
}

/// Runs the emulator until `shutdown` is cancelled. Has its address and how to use it printed.
///
/// # Errors
/// When it cannot listen, an option is out of its range, or nothing can be printed.
pub async fn run(
    args: EmulatorArgs,
    shutdown: CancellationToken,
    print: impl FnOnce(&[u8]) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let urls = args.push.urls(&args.apps())?;
    let emulator = Emulator::bind(args.settings(), args.listen).await?;
    for (app, notification_url) in urls {
        let push = ReportConfig { mode: ReportMode::Push, notification_url, ..Default::default() };
        emulator.control().set_event_config(Some(app).filter(|app| *app != 0), push)?;
    }
    let url = emulator.url();
    print(args.welcome(&url).as_bytes()).context("cannot write to standard output")?;
    tracing::info!(url, "emulator started");
    emulator.run(shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: EmulatorArgs,
    }

    fn parse(line: &str) -> Result<EmulatorArgs, clap::Error> {
        Program::try_parse_from(line.split(' ')).map(|program| program.args)
    }

    #[test]
    fn without_options_it_is_as_strict_as_the_library() {
        Program::command().debug_assert();
        let settings = parse("emulator").unwrap().settings();
        assert_eq!(format!("{settings:?}"), format!("{:?}", EmulatorSettings::default()));
        assert_eq!(settings.account.secret_key.expose_secret(), "emulator-secret-key");
    }

    #[test]
    fn options_reach_the_settings() {
        let settings = parse(
            "emulator --sub-app-id 0 --rate-limit off --lease 250ms --lease-from request \
             --lenient same-handle,any-member --lenient confirm-partly --empty null --token t \
             --round-trip 40ms --jitter 20ms --batch 15 --throttle 2s/20s \
             --task-lag 90s --task-detail other --push-tries 5",
        )
        .unwrap()
        .settings();
        assert_eq!(settings.apps, Vec::<u64>::new());
        assert_eq!(settings.rate_limit, None);
        assert_eq!(settings.lease, Duration::from_millis(250));
        assert_eq!(settings.lease_from, LeaseFrom::Request);
        assert_eq!(settings.empty, EmptyAnswer::Null);
        assert_eq!(settings.round_trip, Duration::from_millis(40));
        assert_eq!(settings.tasks.lag, Duration::from_secs(90));
        assert_eq!(settings.tasks.detail, DetailSpelling::Other);
        assert_eq!(settings.push.tries, 5);
        assert_eq!((settings.jitter, settings.batch), (Duration::from_millis(20), 15));
        let (length, every) = (Duration::from_secs(2), Duration::from_secs(20));
        assert_eq!(settings.bursts, Some(ThrottleBursts { length, every }));
        assert_eq!(settings.account.token.unwrap().expose_secret(), "t");
        assert_eq!(
            settings.lenient,
            Leniency {
                same_handle: true,
                confirm_partly: true,
                any_member: true,
                ..Leniency::default()
            }
        );
        assert!(parse("emulator --rate-limit 0").is_err());
        assert!(parse("emulator --lease soon").is_err());
        assert!(parse("emulator --throttle 2s").is_err());
    }

    #[test]
    fn it_says_where_events_are_posted() {
        let args = parse("emulator --push http://h/vod/{app}/t").unwrap();
        let welcome = args.welcome("u");
        let line = "\nEvents of 1500012345 are posted to http://h/vod/1500012345/t\n";
        assert!(welcome.ends_with(line), "{welcome}");
        assert!(!parse("emulator").unwrap().welcome("u").contains("posted"));
    }

    #[test]
    fn the_snippet_is_toml() {
        let two = parse("emulator --sub-app-id 1500012345,1500012346").unwrap();
        assert_eq!(two.settings().apps, [1_500_012_345, 1_500_012_346]);
        assert!(two.welcome("u").contains("sub_app_id = [1500012345, 1500012346]\n"));
        let welcome = parse("emulator --token t").unwrap().welcome("http://127.0.0.1:9771");
        let start = welcome.find("[credentials]").unwrap();
        let end = welcome.find("Add a sprite").unwrap();
        let snippet: toml::Table = welcome[start..end].parse().unwrap();
        assert_eq!(snippet["credentials"]["secret_key"].as_str(), Some("emulator-secret-key"));
        assert_eq!(snippet["vod"]["endpoint"].as_str(), Some("http://127.0.0.1:9771"));
        assert_eq!(snippet["vod"]["sub_app_id"].as_integer(), Some(1_500_012_345));
    }

    #[tokio::test]
    async fn it_listens_until_it_is_to_stop_and_says_where() {
        let args = parse("emulator --listen 127.0.0.1:0").unwrap();
        let shutdown = CancellationToken::new();
        let mut printed = String::new();
        run(args, shutdown.clone(), |text| {
            printed.push_str(std::str::from_utf8(text).unwrap());
            shutdown.cancel();
            Ok(())
        })
        .await
        .unwrap();
        assert!(printed.starts_with("The emulator listens on http://127.0.0.1:"), "{printed}");
        let args = parse("emulator --listen 0.0.0.0:0").unwrap();
        let refused = run(args, shutdown, |_| Ok(())).await.unwrap_err();
        assert!(refused.to_string().contains("not a loopback address"), "{refused}");
    }
}

//! `sprited emulator`: the cloud's event API on the local machine.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use crate::emulator::{Account, Bursts, Empty, Emulator, LeaseFrom, Lenient, Settings};
use crate::secret::Secret;

/// What the command does, shown by `--help`.
const ABOUT: &str = "A stand-in for the cloud's event API, on this machine

Speaks the event actions of the VOD API (PullEvents, ConfirmEvents, DescribeEventsState,
DescribeEventConfig) as strictly as the service is documented: signed requests, a clock window of
five minutes, 16 events a pull, handles that lapse after 30 s. Any client of the service can be
pointed at it. So can be AssumeRole of STS, for the role
qcs::cam::uin/100000000001:roleName/emulator, whose temporary keys it takes as well.";

/// How it is used, shown below the options of `--help`.
const USE: &str = r#"Add an event, or an array of events:
  curl -d '{"EventType":"FileDeleted","FileDeleteEvent":{"FileIdSet":["17"]}}' \
       http://127.0.0.1:9771/_emulator/events
The same one a thousand times, in a minute:
  curl -d @event.json 'http://127.0.0.1:9771/_emulator/events?copies=1000&delay=1m'
With several applications (--sub-app-id 1500012345,1500012346), one for the second:
  curl -d @event.json 'http://127.0.0.1:9771/_emulator/events?app=1500012346'
Make finished image-sprite tasks, whose sheets and WebVTT files can be opened:
  curl -d '{"count":10,"files":3,"road":"procedure","fail_every":5}' \
       http://127.0.0.1:9771/_emulator/sprites
See what was pulled and confirmed, and when; or only how much:
  curl http://127.0.0.1:9771/_emulator/ledger
  curl 'http://127.0.0.1:9771/_emulator/ledger?summary=1'
Let the next three confirmations be lost after they took effect; let one call in ten fail:
  curl -d '{"kind":"reset","action":"ConfirmEvents","takes_effect":true,"next":3}' \
       http://127.0.0.1:9771/_emulator/faults
  curl -d '{"kind":{"status":502},"rate":0.1}' http://127.0.0.1:9771/_emulator/faults
  curl -X DELETE http://127.0.0.1:9771/_emulator/faults
Kinds of faults: reset, hang, hold (until a POST to /_emulator/release), {"delay":"8s"}, throttle,
  internal-error, {"error":"AnyCode"}, {"status":502}, {"wrong-clock":-600}, truncated, cut, torn,
  {"slow":"8s"}, {"oversized":"64MiB"}, {"empty":"error|null|absent|list"}, reversed, duplicate,
  shared-handle, {"malformed":"null|number|string|invalid-utf8|no-handle|null-handle|number-handle"}
Set its clock ten minutes back:
  curl -X PUT -d '{"offset_seconds":-600}' http://127.0.0.1:9771/_emulator/clock
Have DescribeEventConfig say that events are posted, and uploads reported; or not let it be asked:
  curl -X PUT -d '{"mode":"PUSH","upload":true,"delete":false,"persistence":false}' \
       http://127.0.0.1:9771/_emulator/event-config
  curl -d '{"kind":{"error":"UnauthorizedOperation"},"action":"DescribeEventConfig","rate":1}' \
       http://127.0.0.1:9771/_emulator/faults

Point sprited at it:
  [credentials]
  secret_id = "AKIDEMULATOR"
  secret_key = "emulator-secret-key"
  [vod]
  endpoint = "http://127.0.0.1:9771"
  sub_app_id = 1500012345"#;

/// The options of `sprited emulator`.
#[derive(Debug, clap::Args)]
#[command(about = "A stand-in for the cloud's event API, on this machine")]
#[command(long_about = ABOUT, after_long_help = USE)]
pub struct Args {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9771")]
    listen: SocketAddr,

    /// Listen on an address that other machines can reach: whoever does can change what it does
    #[arg(long)]
    allow_remote: bool,

    /// What sprite URLs begin with, if clients know the emulator under another address
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// The SecretId that requests must be signed with
    #[arg(long, value_name = "ID", default_value = "AKIDEMULATOR")]
    secret_id: String,

    /// The SecretKey that requests must be signed with; not for real keys, which others could
    /// read from the list of processes
    #[arg(long, value_name = "KEY", default_value = "emulator-secret-key")]
    secret_key: Secret,

    /// The session token that must come with each request, as with temporary credentials
    #[arg(long, value_name = "TOKEN")]
    token: Option<Secret>,

    /// The SubAppId that each request must name, or several, with commas, each with a queue of its
    /// own; 0 for none
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
    lease_from: Moment,

    /// How long an event is kept that is not confirmed
    #[arg(long, value_name = "TIME", default_value = "4d", value_parser = humantime::parse_duration)]
    retention: Duration,

    /// Requests a second for each action, or "off"
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    rate_limit: Rate,

    /// Refuse all calls as too many for a time, at the end of each longer time, such as 2s/20s
    #[arg(long, value_name = "TIME/TIME")]
    throttle: Option<Throttle>,

    /// How long a call is on its way, there and back
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    round_trip: Duration,

    /// By how much longer it may be, at random, on each of the two ways
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    jitter: Duration,

    /// Events in an answer at most, 1 to 16
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    batch: usize,

    /// How a pull says that there is nothing
    #[arg(long, value_name = "FORM", default_value = "error")]
    empty: Form,

    /// The error code of a ConfirmEvents with a handle that is not good
    #[arg(long, value_name = "CODE", default_value = "InvalidParameterValue")]
    refusal_code: String,

    /// The error code of a request that names no application, or none that there is; with
    /// ResourceNotFound it looks to a pull like an empty queue
    #[arg(long, value_name = "CODE", default_value = "InvalidParameterValue.SubAppId")]
    unknown_app_code: String,

    /// Sprite tasks to make each second, such as 0.5
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    sprites_per_second: f64,

    /// Where to be kinder than the service; may be given several times, or as a list with commas
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    lenient: Vec<Lenience>,

    /// The number that decides random faults, handles and the names of sprite tasks [default:
    /// another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Moment {
    /// From when the pull was answered
    Answer,
    /// From when the pull came in: up to the hold shorter
    Request,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The error ResourceNotFound, as the service does
    Error,
    /// An EventSet of null
    Null,
    /// No EventSet
    Absent,
    /// An empty EventSet
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lenience {
    /// An event keeps its handle at each hand-out
    SameHandle,
    /// A refused ConfirmEvents confirms its good handles all the same
    ConfirmPartly,
    /// A ConfirmEvents passes over handles that are not good, and succeeds
    PassOver,
    /// The signature itself is not verified
    AnySignature,
    /// Unknown members of a request's body are ignored
    AnyMember,
    /// A request may name any SubAppId, or none: then the first application is meant
    AnySubAppId,
}

/// Requests a second, or none.
#[derive(Clone, Copy, Debug)]
struct Rate(Option<u32>);

impl std::str::FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .ok()
            .filter(|rate| *rate > 0)
            .map(|rate| Self(Some(rate)))
            .ok_or("must be a number from 1 on, or \"off\"")
    }
}

/// For how long of how long calls are refused.
#[derive(Clone, Copy, Debug)]
struct Throttle(Bursts);

impl std::str::FromStr for Throttle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (length, every) =
            text.split_once('/').ok_or("must be two times, such as 2s/20s".to_owned())?;
        let read = |time| humantime::parse_duration(time).map_err(|error| error.to_string());
        Ok(Self(Bursts { length: read(length)?, every: read(every)? }))
    }
}

impl Args {
    fn settings(&self) -> Settings {
        let kinder = |lenience| self.lenient.contains(&lenience);
        Settings {
            account: Account {
                secret_id: self.secret_id.clone(),
                secret_key: self.secret_key.clone(),
                token: self.token.clone(),
            },
            apps: self.apps(),
            hold: self.hold,
            lease: self.lease,
            lease_from: match self.lease_from {
                Moment::Answer => LeaseFrom::Answer,
                Moment::Request => LeaseFrom::Request,
            },
            retention: self.retention,
            rate_limit: self.rate_limit.0,
            bursts: self.throttle.map(|Throttle(bursts)| bursts),
            round_trip: self.round_trip,
            jitter: self.jitter,
            batch: self.batch,
            refusal_code: self.refusal_code.clone(),
            unknown_app_code: self.unknown_app_code.clone(),
            empty: match self.empty {
                Form::Error => Empty::Error,
                Form::Null => Empty::Null,
                Form::Absent => Empty::Absent,
                Form::List => Empty::List,
            },
            lenient: Lenient {
                same_handle: kinder(Lenience::SameHandle),
                confirm_partly: kinder(Lenience::ConfirmPartly),
                pass_over: kinder(Lenience::PassOver),
                any_signature: kinder(Lenience::AnySignature),
                any_member: kinder(Lenience::AnyMember),
                any_sub_app_id: kinder(Lenience::AnySubAppId),
            },
            sprites_per_second: self.sprites_per_second,
            seed: self.seed,
            allow_remote: self.allow_remote,
            public_url: self.public_url.clone(),
            ..Settings::default()
        }
    }

    fn apps(&self) -> Vec<u64> {
        if self.sub_app_id == [0] { Vec::new() } else { self.sub_app_id.clone() }
    }

    /// What to do with the emulator at `url`, for standard output.
    fn welcome(&self, url: &str) -> String {
        let token = match &self.token {
            Some(token) => format!("token = {}\n", quoted(token.expose())),
            None => String::new(),
        };
        let sub_app_id = match self.apps().as_slice() {
            [] => String::new(),
            [id] => format!("sub_app_id = {id}\n"),
            ids => format!("sub_app_id = {ids:?}\n"),
        };
        format!(
            "The emulator listens on {url}. Put this into sprited.toml:\n\n\
             [credentials]\nsecret_id = {}\nsecret_key = {}\n{token}\n\
             [vod]\nendpoint = {}\n{sub_app_id}\n\
             Make a sprite task:  curl -d '{{}}' {url}/_emulator/sprites\n\
             Read the ledger:     curl {url}/_emulator/ledger\n",
            quoted(&self.secret_id),
            quoted(self.secret_key.expose()),
            quoted(url),
        )
    }
}

fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}

/// Runs the emulator until `shutdown` is cancelled, and says on standard output where it is and
/// how to use it.
///
/// # Errors
/// When it cannot listen, an option is out of its range, or standard output is closed.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_telling(args, shutdown, |text| {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    })
    .await
}

async fn run_telling(
    args: Args,
    shutdown: CancellationToken,
    tell: impl FnOnce(&str) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let emulator = Emulator::bind(args.settings(), args.listen).await?;
    let url = emulator.url();
    tell(&args.welcome(&url)).context("cannot write to standard output")?;
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
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Program::try_parse_from(line.split(' ')).map(|program| program.args)
    }

    #[test]
    fn without_options_it_is_as_strict_as_the_library() {
        Program::command().debug_assert();
        let settings = parse("emulator").unwrap().settings();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
        assert_eq!(settings.account.secret_key.expose(), "emulator-secret-key");
    }

    #[test]
    fn options_reach_the_settings() {
        let settings = parse(
            "emulator --sub-app-id 0 --rate-limit off --lease 250ms --lease-from request \
             --lenient same-handle,any-member --lenient confirm-partly --empty null --token t \
             --round-trip 40ms --jitter 20ms --batch 15 --throttle 2s/20s",
        )
        .unwrap()
        .settings();
        assert_eq!(settings.apps, Vec::<u64>::new());
        assert_eq!(settings.rate_limit, None);
        assert_eq!(settings.lease, Duration::from_millis(250));
        assert_eq!(settings.lease_from, LeaseFrom::Request);
        assert_eq!(settings.empty, Empty::Null);
        assert_eq!(settings.round_trip, Duration::from_millis(40));
        assert_eq!((settings.jitter, settings.batch), (Duration::from_millis(20), 15));
        let (length, every) = (Duration::from_secs(2), Duration::from_secs(20));
        assert_eq!(settings.bursts, Some(Bursts { length, every }));
        assert_eq!(settings.account.token.unwrap().expose(), "t");
        assert_eq!(
            settings.lenient,
            Lenient {
                same_handle: true,
                confirm_partly: true,
                any_member: true,
                ..Lenient::default()
            }
        );
        assert!(parse("emulator --rate-limit 0").is_err());
        assert!(parse("emulator --lease soon").is_err());
        assert!(parse("emulator --throttle 2s").is_err());
    }

    #[test]
    fn the_snippet_is_toml() {
        let two = parse("emulator --sub-app-id 1500012345,1500012346").unwrap();
        assert_eq!(two.settings().apps, [1_500_012_345, 1_500_012_346]);
        assert!(two.welcome("u").contains("sub_app_id = [1500012345, 1500012346]\n"));
        let welcome = parse("emulator --token t").unwrap().welcome("http://127.0.0.1:9771");
        let start = welcome.find("[credentials]").unwrap();
        let end = welcome.find("Make a sprite").unwrap();
        let snippet: toml::Table = welcome[start..end].parse().unwrap();
        assert_eq!(snippet["credentials"]["secret_key"].as_str(), Some("emulator-secret-key"));
        assert_eq!(snippet["vod"]["endpoint"].as_str(), Some("http://127.0.0.1:9771"));
        assert_eq!(snippet["vod"]["sub_app_id"].as_integer(), Some(1_500_012_345));
    }

    #[tokio::test]
    async fn it_listens_until_it_is_to_stop_and_says_where() {
        let args = parse("emulator --listen 127.0.0.1:0").unwrap();
        let shutdown = CancellationToken::new();
        let mut told = String::new();
        run_telling(args, shutdown.clone(), |text| {
            told.push_str(text);
            shutdown.cancel();
            Ok(())
        })
        .await
        .unwrap();
        assert!(told.starts_with("The emulator listens on http://127.0.0.1:"), "{told}");
        let args = parse("emulator --listen 0.0.0.0:0").unwrap();
        let refused = run_telling(args, shutdown, |_| Ok(())).await.unwrap_err();
        assert!(refused.to_string().contains("not a loopback address"), "{refused}");
    }
}

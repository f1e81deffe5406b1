//! The options of the HTTP callback.

use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::push::{PushFormat, PushRetry, PushSettings, SignPlace};

/// The options of the HTTP callback.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP callback")]
pub(super) struct PushArgs {
    /// Post the events to this URL instead of letting them wait to be pulled; {app} in it is the
    /// SubAppId. With SubAppId= in front it is for that application alone; may be repeated
    #[arg(long, value_name = "[SUBAPPID=]URL")]
    push: Vec<PushTarget>,

    /// Sign what is posted with this SignKey: MD5 of it and of T, ten minutes from now
    #[arg(long, value_name = "KEY")]
    sign_key: Option<SecretString>,

    /// Where Sign and T are
    #[arg(long, value_name = "PLACE", default_value = "body")]
    sign_in: SignPlace,

    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    push_timeout: Duration,

    /// How often an event is sent at most
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    push_tries: u32,

    /// After what it is sent again
    #[arg(long, value_name = "WHAT", default_value = "timeout")]
    push_retry: PushRetry,

    /// How long after the end of a try the next one begins
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    push_spacing: Duration,

    /// The format of the body
    #[arg(long, value_name = "FORMAT", default_value = "v3")]
    push_format: PushFormat,

    /// Send each event once more after its 200, as if that had come too late
    #[arg(long)]
    push_late: bool,

    /// The maximum number of requests at once
    #[arg(long, value_name = "NUMBER", default_value_t = 16)]
    push_concurrency: usize,
}

/// Where the events of one application, or of all, are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PushTarget {
    app: Option<u64>,
    url: String,
}

impl FromStr for PushTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.split_once('=').filter(|(app, _)| app.bytes().all(|b| b.is_ascii_digit()));
        let (app, url) = match named {
            Some((app, url)) => {
                let app = app.parse().map_err(|_| "a SubAppId must stand before the =")?;
                (Some(app), url)
            }
            None => (None, text),
        };
        match Url::parse(&url.replace("{app}", "0")) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {}
            Ok(_) => return Err("must be a URL of http or https".to_owned()),
            Err(error) => return Err(format!("must be a URL: {error}")),
        }
        Ok(Self { app, url: url.to_owned() })
    }
}

impl PushArgs {
    pub(super) fn settings(&self) -> PushSettings {
        PushSettings {
            sign_key: self.sign_key.clone(),
            sign_in: self.sign_in,
            timeout: self.push_timeout,
            tries: self.push_tries,
            retry: self.push_retry,
            spacing: self.push_spacing,
            format: self.push_format,
            late: self.push_late,
            concurrency: self.push_concurrency,
        }
    }

    /// Returns where the events of each of `apps` are posted, 0 being the primary application; those
    /// whose events wait to be pulled are left out.
    pub(super) fn urls(&self, apps: &[u64]) -> anyhow::Result<Vec<(u64, String)>> {
        let apps = if apps.is_empty() { &[0][..] } else { apps };
        let mut named = self.push.iter().filter_map(|target| target.app);
        if let Some(app) = named.find(|app| !apps.contains(app)) {
            anyhow::bail!("--push names the application {app}, which --sub-app-id does not");
        }
        let of = |app: &u64| {
            let own = self.push.iter().rev().find(|target| target.app == Some(*app));
            let target = own.or_else(|| self.push.iter().rev().find(|one| one.app.is_none()))?;
            Some((*app, target.url.replace("{app}", &app.to_string())))
        };
        Ok(apps.iter().filter_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: PushArgs,
    }

    fn urls(line: &str, apps: &[u64]) -> Result<Vec<(u64, String)>, String> {
        let parsed = Program::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        parsed.args.urls(apps).map_err(|error| error.to_string())
    }

    #[test]
    fn each_application_has_its_url_or_the_common_one_or_none() {
        let url = |app: u64, url: &str| (app, url.to_owned());
        let common = "emulator --push http://h:1/vod/{app}/t?a=b";
        assert_eq!(
            urls(common, &[15, 16]).unwrap(),
            [url(15, "http://h:1/vod/15/t?a=b"), url(16, "http://h:1/vod/16/t?a=b")]
        );
        assert_eq!(urls(common, &[]).unwrap(), [url(0, "http://h:1/vod/0/t?a=b")]);
        let own = format!("{common} --push 16=https://other/{{app}}");
        assert_eq!(urls(&own, &[15, 16]).unwrap()[1], url(16, "https://other/16"));
        assert_eq!(urls("emulator --push 16=http://h", &[15, 16]).unwrap(), [url(16, "http://h")]);
        assert_eq!(urls("emulator", &[15]).unwrap(), []);
        for (line, what) in [
            ("emulator --push 17=http://h", "the application 17"),
            ("emulator --push h:1/x", "http or https"),
            ("emulator --push 16=", "must be a URL"),
            ("emulator --push =http://h", "a SubAppId"),
            ("emulator --push ftp://h", "http or https"),
        ] {
            let refused = urls(line, &[15, 16]).unwrap_err();
            assert!(refused.contains(what), "{line}: {refused}");
        }
    }

    #[test]
    fn options_reach_the_settings() {
        let line = "emulator --sign-key k1 --sign-in query --push-timeout 1s --push-tries 13 \
                    --push-retry failure --push-spacing 1m --push-format v2 --push-late \
                    --push-concurrency 2";
        let settings = Program::try_parse_from(line.split_whitespace()).unwrap().args.settings();
        assert_eq!(settings.sign_in, SignPlace::Query);
        assert_eq!((settings.timeout, settings.tries), (Duration::from_secs(1), 13));
        assert_eq!((settings.retry, settings.format), (PushRetry::Failure, PushFormat::V2));
        assert_eq!((settings.spacing, settings.late), (Duration::from_secs(60), true));
        assert_eq!(settings.concurrency, 2);
        assert!(settings.check().is_ok());
        for wrong in [
            PushSettings { sign_key: Some("with space".into()), ..settings.clone() },
            PushSettings { sign_key: Some("x".repeat(33).into()), ..settings.clone() },
            PushSettings { tries: 0, ..settings.clone() },
            PushSettings { concurrency: 0, ..settings.clone() },
            PushSettings { timeout: Duration::ZERO, ..settings.clone() },
            PushSettings { spacing: Duration::from_secs(90_000), ..settings },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}

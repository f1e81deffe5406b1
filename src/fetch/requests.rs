//! One request for a file, and what its answer means before the body is read.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, REFERER,
    RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};

use super::error::{FetchError, advice};
use super::hosts::Hosts;
use super::hotlink;
use super::resolver::{HereOnly, Proxies, PublicOnly};
use super::rule::{BrokenRule, Rule, shown};
use super::settings::FetchSettings;
use super::source::Source;
use crate::net;
use crate::secret::{Secret, SecretRef};
use crate::sync::lock;

/// The longest that making a connection may take; the timeout of the whole if that is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are given up before the usual server would close them under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How files are asked for: by which clients, from which hosts, signed with what.
pub(super) struct Requests {
    hosts: Hosts,
    proxies: Proxies,
    here: HereOnly,
    /// Goes out, through the proxy of the environment if there is one.
    outward: Client,
    /// Stays on this machine.
    inward: Client,
    referer: Option<HeaderValue>,
    key_ref: Option<SecretRef>,
    key: Mutex<Option<Arc<Secret>>>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients would show the proxies of the environment, with their passwords.
        let mut shown = f.debug_struct("Requests");
        shown.field("hosts", &self.hosts).field("proxies", &self.proxies);
        shown.field("key_ref", &self.key_ref).finish_non_exhaustive()
    }
}

/// An answer before its body is read.
pub(super) enum FileAnswer {
    File(Response),
    /// It is still what the ETag stands for.
    Unchanged,
}

impl Requests {
    /// Reads the key and makes the clients. Blocks on files; connects to nothing.
    pub(super) fn open(settings: &FetchSettings, timeout: Duration) -> anyhow::Result<Self> {
        let hosts = Hosts::new(settings.hosts.clone());
        let proxies = Proxies::of_environment();
        let here = HereOnly::of(&hosts);
        let client = || {
            net::client_builder(CONNECT_TIMEOUT.min(timeout))
                .referer(false)
                .gzip(false)
                .read_timeout(timeout)
                .pool_idle_timeout(IDLE_TIMEOUT)
        };
        let built = |client: reqwest::ClientBuilder| {
            client.build().map_err(|error| {
                anyhow::anyhow!("cannot make the HTTP client: {}", describe(&error))
            })
        };
        let outward = client().dns_resolver(Arc::new(PublicOnly::new(&hosts, &proxies)));
        let inward = client().no_proxy().dns_resolver(Arc::new(here.clone()));
        let referer = settings.referer.as_deref().map(HeaderValue::from_str).transpose()?;
        let requests = Self {
            outward: built(outward)?,
            inward: built(inward)?,
            hosts,
            proxies,
            here,
            referer,
            key_ref: settings.hotlink_key.clone(),
            key: Mutex::new(None),
        };
        requests.read_key()?;
        Ok(requests)
    }

    /// Reads the key again; the one in use stays when that fails. Blocks on a file.
    pub(super) fn read_key(&self) -> anyhow::Result<()> {
        if let Some(key) = &self.key_ref {
            let key = key.resolve()?;
            *lock(&self.key) = Some(Arc::new(key));
        }
        Ok(())
    }

    /// Whether a proxy may ask for names here, of which only the names are checked then.
    pub(super) fn have_proxies(&self) -> bool {
        self.proxies.are_used()
    }

    /// The URL, if it may be fetched. Nothing is asked for it.
    pub(super) fn allowed(&self, url: Url, what: &'static str) -> Result<Source, FetchError> {
        self.hosts.allow(&url)?;
        let host = url.host_str().unwrap_or_default();
        if self.hosts.are_public_only() && self.proxies.has(host) {
            let why = format!("{} is the proxy of this machine", shown(host));
            return Err(FetchError::refused(Rule::Address, why));
        }
        Ok(Source::new(url, what))
    }

    /// Asks for a file, unless it is still what `etag` stands for. `us` makes a signed URL unlike
    /// others. Connects, and waits for the head of the answer.
    pub(super) async fn get(
        &self,
        source: &Source,
        etag: Option<&HeaderValue>,
        us: &str,
    ) -> Result<FileAnswer, FetchError> {
        let key = lock(&self.key).clone();
        let url = match &key {
            Some(key) => hotlink::signed(source.url(), key, Utc::now(), us),
            None => source.url().clone(),
        };
        // Only a list of hosts may lead here.
        let is_here =
            !self.hosts.are_public_only() && self.here.has(url.host_str().unwrap_or_default());
        let client = if is_here { &self.inward } else { &self.outward };
        let mut request = client
            .get(url)
            .header(ACCEPT_ENCODING, "identity")
            // An index of another run than its sheets is worse than one that comes slowly.
            .header(CACHE_CONTROL, "no-cache");
        if let Some(referer) = &self.referer {
            request = request.header(REFERER, referer);
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = request.send().await.map_err(|error| failed(source, &error))?;
        if etag.is_some() && answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(FileAnswer::Unchanged);
        }
        judge(source, &answer, key.is_some())?;
        Ok(FileAnswer::File(answer))
    }
}

/// The ETag of an answer, to ask with for a change.
pub(super) fn etag(answer: &Response) -> Option<HeaderValue> {
    answer.headers().get(ETAG).cloned()
}

/// Whether the answer is a file as it is.
fn judge(source: &Source, answer: &Response, is_signed: bool) -> Result<(), FetchError> {
    let status = answer.status();
    let host = source.host();
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        let why =
            format!("{host} answered {} for {source}: a redirect is not followed", status.as_u16());
        return Err(FetchError::refused(Rule::Redirect, why));
    }
    if status != StatusCode::OK {
        let mut error = format!("{host} answered {status} for {source}");
        let advice = advice(status.as_u16(), is_signed);
        if !advice.is_empty() {
            error = format!("{error} ({advice})");
        }
        let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = header.and_then(|value| net::retry_after(value, Utc::now()));
        let host = (status != StatusCode::PROXY_AUTHENTICATION_REQUIRED).then_some(host);
        let has_answered = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        return Err(FetchError::Again { error, host, has_answered, after });
    }
    let mut encodings = answer.headers().get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let why = format!("{host} sent {source} compressed, which was not asked for");
        return Err(FetchError::refused(Rule::Encoding, why));
    }
    Ok(())
}

/// What a request failed of: a rule at the resolver, or the network.
fn failed(source: &Source, error: &reqwest::Error) -> FetchError {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    for cause in causes {
        if let Some(broken) = cause.downcast_ref::<BrokenRule>() {
            return broken.clone().into();
        }
    }
    source.unreachable(describe(error))
}

/// What went wrong, with its causes; the URL stays out of it.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let kind = match error {
        e if e.is_timeout() && e.is_connect() => "no connection in time",
        e if e.is_timeout() => "no answer in time",
        e if e.is_connect() => "cannot connect",
        e if e.is_builder() => "cannot make the request",
        _ => "the connection failed",
    };
    // The URL stands in the error's own text alone, which is left out.
    net::with_causes(kind.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The URL alone does not tell: it is found out when the name is asked for.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_when_its_addresses_are_known() {
        let requests = Requests::open(&FetchSettings::default(), Duration::from_secs(5)).unwrap();
        let source = Source::new(Url::parse("http://localhost:1/a?hunter2").unwrap(), "index");
        let error = requests.get(&source, None, "").await.err().unwrap();
        let FetchError::Refused(words) = &error else { panic!("{error:?}") };
        assert!(words.contains("by the rule address: localhost leads to "), "{words}");
        assert!(!words.contains("hunter2"));
    }

    #[test]
    fn nothing_shows_the_key() {
        let settings = toml::from_str("hotlink_key = 'hunter2hunter2'").unwrap();
        let requests = Requests::open(&settings, Duration::from_secs(5)).unwrap();
        assert!(!format!("{requests:?}").contains("hunter2"));
    }
}

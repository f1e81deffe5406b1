//! Where calls go: a URL that can be signed for and trusted with what is sent.

use reqwest::Url;

use crate::net;

pub(super) const VOD_ENDPOINT: &str = "https://vod.tencentcloudapi.com";
pub(super) const STS_ENDPOINT: &str = "https://sts.tencentcloudapi.com";

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// The Host header, signed and sent; has the port where it is not the scheme's own.
    pub(super) host: String,
}

impl Endpoint {
    /// Reads a URL without a path; `example` is one that would do. Fails with what was expected in
    /// its place. The value is not repeated: a URL may hold a password.
    pub(super) fn parse(text: &str, example: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{problem}, such as \"{example}\"");
        let url = Url::parse(text).map_err(|_| wrong("expected a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else { return Err(wrong("expected a URL with a host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("expected a URL without user and password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected a URL that ends after the host"));
        }
        match url.scheme() {
            "https" => {}
            "http" if net::is_this_machine(host) => {}
            "http" => return Err(wrong("plain http is for loopback only; expected https")),
            _ => return Err(wrong("expected an https URL")),
        }
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self { url, host })
    }

    pub(super) fn is_this_machine(&self) -> bool {
        self.url.host_str().is_some_and(net::is_this_machine)
    }
}

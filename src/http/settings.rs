//! The `[http]` table.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::sprites::SpritePages;
use crate::health::ReadyRule;
use crate::net::is_loopback;
use crate::settings::SettingIssue;

/// The `[http]` table of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where metrics and health are served.
    #[schemars(extend("default" = "127.0.0.1:9770"))]
    pub listen: Listen,
    /// `any` or `all`: how many of several applications have to be pulled from for `/readyz` to
    /// succeed.
    pub ready: ReadyRule,
    /// `auto`, `on` or `off`: whether the thumbnails that mirrors hold are shown at `/sprites`, to
    /// whoever reaches the address. `auto` shows them on a loopback address only.
    pub sprites: SpritePages,
}

/// Where metrics and health are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl Default for Listen {
    fn default() -> Self {
        Self::At(SocketAddr::from(([127, 0, 0, 1], 9770)))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| {
            format!(
                "expected an IP address with a port, such as \"127.0.0.1:9770\", or \"off\"; \
                 found {text:?}"
            )
        })
    }
}

impl HttpSettings {
    /// Returns a warning where other machines can reach the address, and another where they see the
    /// thumbnails of all media there.
    #[must_use]
    pub fn check(&self) -> Vec<SettingIssue> {
        let Some(open) = self.address().filter(|address| !is_loopback(address.ip())) else {
            return Vec::new();
        };
        let mut found = vec![SettingIssue::warning(format!(
            "listen: {open} can be reached from other machines, and what it serves asks for no password"
        ))];
        if self.sprites == SpritePages::On {
            found.push(SettingIssue::warning(format!(
                "sprites: whoever reaches {open} sees the thumbnails of every medium, private ones as well"
            )));
        }
        found
    }

    /// The address to listen on, if any.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.listen {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

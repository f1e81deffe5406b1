//! The `[http]` table.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

/// The `[http]` table of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where metrics and health are served.
    pub listen: Listen,
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
    /// The address to listen on, if any.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.listen {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

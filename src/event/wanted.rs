//! Which events a sink wants.

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::Event;

/// Which events a sink wants: `image-sprite`, EventType names, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Vec<String>")]
pub struct Wanted {
    all: bool,
    image_sprites: bool,
    types: Vec<String>,
}

impl Wanted {
    /// Whether `event` is among them.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.all
            || (self.image_sprites && event.is_image_sprite())
            || self.types.contains(&event.event_type)
    }

    /// Whether events of this type are asked for by their name.
    #[must_use]
    pub fn names(&self, event_type: &str) -> bool {
        self.types.iter().any(|name| name == event_type)
    }

    /// Whether every event of this type is among them.
    #[must_use]
    pub fn has_type(&self, event_type: &str) -> bool {
        self.all || self.names(event_type)
    }

    /// Whether nothing can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && !self.image_sprites && self.types.is_empty()
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self { all: false, image_sprites: true, types: Vec::new() }
    }
}

impl From<Vec<String>> for Wanted {
    fn from(names: Vec<String>) -> Self {
        let all = names.iter().any(|name| name == "*");
        let image_sprites = names.iter().any(|name| name == "image-sprite");
        let types =
            names.into_iter().filter(|name| name != "*" && name != "image-sprite").collect();
        Self { all, image_sprites, types }
    }
}

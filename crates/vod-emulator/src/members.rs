//! The members of a request's body.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::action::ApiAction;
use super::outcome::Refusal;
use super::settings::EmulatorSettings;

/// The members that were not taken yet. One that is null counts as left out.
#[derive(Debug)]
pub(super) struct RequestMembers {
    action: ApiAction,
    members: Map<String, Value>,
}

impl RequestMembers {
    pub(super) fn read(action: ApiAction, body: &[u8]) -> Result<Self, Refusal> {
        let mut members: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
            Refusal::new("InvalidParameter", "the body must be a JSON object, in UTF-8")
        })?;
        members.retain(|_, value| !value.is_null());
        Ok(Self { action, members })
    }

    /// Takes the member `name`, which must be `kind`.
    pub(super) fn get<T: DeserializeOwned>(
        &mut self,
        name: &str,
        kind: &str,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|_| {
            Refusal::new("InvalidParameter", format!("the parameter {name} must be {kind}"))
        })
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        self.get(name, "a string")
    }

    /// Takes the application. The real code, for a missing and for a wrong one, is not known.
    pub(super) fn app(&mut self, settings: &EmulatorSettings) -> Result<u64, Refusal> {
        let sub_app_id = self.get("SubAppId", "an integer")?;
        settings.app(sub_app_id).ok_or_else(|| {
            let message = "the SubAppId is not one of this emulator";
            Refusal::new(settings.unknown_app_code.clone(), message)
        })
    }

    /// Refuses what is left.
    pub(super) fn end(&self, settings: &EmulatorSettings) -> Result<(), Refusal> {
        match self.members.keys().next() {
            Some(name) if !settings.lenient.any_member => Err(Refusal::new(
                "UnknownParameter",
                format!("there is no parameter {name} in {}", self.action.name()),
            )),
            _ => Ok(()),
        }
    }
}

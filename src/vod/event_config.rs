//! How the cloud reports the events of an application, what keeps them from whoever pulls or
//! receives them, and how to correct it.

use reqwest::Url;

use crate::event::AppId;

/// By which ways this program takes the events of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSources {
    /// Whether it pulls them from the queue.
    pub pull: bool,
    /// Whether it receives those that are posted.
    pub receive: bool,
}

/// How an application's events are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventConfig {
    /// Whether they can be pulled at all.
    pub mode: EventMode,
    /// Where they are posted in mode push.
    pub notification_url: Option<String>,
    /// Whether finished uploads are reported (`ON`, `OFF`).
    pub upload_media_complete: Option<String>,
    /// Whether deleted media are reported (`ON`, `OFF`).
    pub delete_media_complete: Option<String>,
    /// Whether finished persistence is reported (`ON`, `OFF`).
    pub persistence_complete: Option<String>,
}

/// How events leave the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// Posted to a URL: nothing waits in the queue.
    Push,
    /// Kept in the queue until confirmed: what this program needs.
    Pull,
    /// A mode this program does not know, or an empty string for none.
    Other(String),
}

/// What reports one type of events, or does not. The console alone tells of all others.
#[derive(Clone, Copy, Debug)]
struct Switch<'c> {
    event_type: &'static str,
    parameter: &'static str,
    /// As the service said; it need not have said anything.
    position: Option<&'c str>,
}

impl Switch<'_> {
    fn is_on(&self) -> bool {
        self.position == Some("ON")
    }
}

impl EventConfig {
    fn switches(&self) -> [Switch<'_>; 3] {
        [
            ("NewFileUpload", "UploadMediaCompleteEventSwitch", &self.upload_media_complete),
            ("FileDeleted", "DeleteMediaCompleteEventSwitch", &self.delete_media_complete),
            ("PersistenceComplete", "PersistenceCompleteEventSwitch", &self.persistence_complete),
        ]
        .map(|(event_type, parameter, position)| Switch {
            event_type,
            parameter,
            position: position.as_deref(),
        })
    }

    /// What keeps all events of `app` from arriving by `sources`, as a sentence goes on; `None` if
    /// nothing does. Shows no part of the URL, which holds a secret.
    pub fn not_arriving(&self, app: AppId, sources: EventSources) -> Option<String> {
        let found = match &self.mode {
            EventMode::Pull if sources.pull => return None,
            EventMode::Pull => {
                return Some("PULL: events wait in the queue, and [vod] pull is false".to_owned());
            }
            EventMode::Push if sources.receive => return self.posted_elsewhere(app),
            EventMode::Push if !sources.pull => {
                return Some(
                    "PUSH: events are posted to a URL, and there is no [receive]".to_owned(),
                );
            }
            EventMode::Push => "PUSH: events are posted to a URL",
            EventMode::Other(mode) if mode.is_empty() => "no mode is set",
            EventMode::Other(mode) => mode,
        };
        Some(format!("{found}: nothing waits to be pulled"))
    }

    /// Whether events are posted where nobody receives those of `app`: the receiver's paths are
    /// `/vod/<application>/<token>`, before which a proxy may expect more.
    fn posted_elsewhere(&self, app: AppId) -> Option<String> {
        let Some(url) = &self.notification_url else {
            return Some("PUSH: no URL is set to post events to".to_owned());
        };
        let url = Url::parse(url).ok();
        let segments: Vec<_> = url.iter().flat_map(Url::path_segments).flatten().collect();
        let is_of_app = matches!(
            segments.as_slice(),
            [.., "vod", of, token] if *of == app.to_string() && !token.is_empty()
        );
        (!is_of_app).then(|| {
            format!("PUSH: events are posted to a URL that does not end in /vod/{app}/<token>")
        })
    }

    /// The mode in which events arrive by `sources`: the present one, if they do.
    fn fitting_mode(&self, sources: EventSources) -> EventMode {
        match self.mode {
            EventMode::Push if sources.receive => EventMode::Push,
            _ if sources.pull => EventMode::Pull,
            _ => EventMode::Push,
        }
    }

    /// The types that are `wanted` and not reported, since they are switched off.
    pub fn switched_off(&self, wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let lacking = self.switches().into_iter().filter(|s| !s.is_on() && wanted(s.event_type));
        lacking.map(|switch| switch.event_type).collect()
    }

    /// The types that have to be switched on, each with whether it is; what the service does not
    /// say is off, as it is by default.
    pub fn positions(&self) -> String {
        let position = |switch: Switch<'_>| {
            format!("{} {}", switch.event_type, switch.position.unwrap_or("OFF"))
        };
        self.switches().map(position).join(", ")
    }

    /// What to do so that all that is `wanted` arrives by `sources`. The command, where it names
    /// one, has every switch: those of what is wanted on, the others as they are. What leaving one
    /// out means is not documented.
    pub fn remedy(
        &self,
        app: AppId,
        sources: EventSources,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let mut console = Vec::new();
        let mode = self.fitting_mode(sources);
        let url = format!("'https://<your host>/vod/{app}/<token>'");
        if self.not_arriving(app, sources).is_some() {
            console.push(match mode {
                EventMode::Push => format!("choose normal callback with the URL {url}"),
                _ => "choose reliable callback".to_owned(),
            });
        }
        let off = self.switched_off(&wanted);
        if !off.is_empty() {
            console.push(format!("switch {} on", off.join(", ")));
        }
        let console = format!(
            "{} in the console, in the application's callback settings",
            console.join(" and ")
        );
        let mut command = "tccli vod ModifyEventConfig".to_owned();
        if app != AppId::default() {
            command.push_str(&format!(" --SubAppId {app}"));
        }
        match mode {
            EventMode::Push => command.push_str(&format!(" --Mode PUSH --NotificationUrl {url}")),
            _ => command.push_str(" --Mode PULL"),
        }
        for switch in self.switches() {
            let position = match switch.position {
                _ if wanted(switch.event_type) => "ON",
                Some(position @ ("ON" | "OFF")) => position,
                _ => {
                    return format!(
                        "{console}; not by the API: the service does not say whether {} is switched \
                         on, and what a command without it would do is not known",
                        switch.event_type
                    );
                }
            };
            command.push_str(&format!(" --{} {position}", switch.parameter));
        }
        let url = match &self.notification_url {
            Some(_) if mode != EventMode::Pull || self.mode != EventMode::Pull => {
                " (note the present NotificationUrl first: whether it stays is not known)"
            }
            _ => "",
        };
        format!("{console}; or by the API: {command}{url}")
    }
}

/// What to do where the service knows no such application as `app`.
#[must_use]
pub fn application_advice(app: AppId) -> String {
    if app == AppId::default() {
        "name the application in [vod] sub_app_id: none is named, and accounts that activated VOD \
         since 2023-12-25 have to, for the default application, too"
            .to_owned()
    } else {
        format!("check [vod] sub_app_id: the service knows no application {app} of this account")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: [&str; 3] = [
        "UploadMediaCompleteEventSwitch",
        "DeleteMediaCompleteEventSwitch",
        "PersistenceCompleteEventSwitch",
    ];
    const QUEUE: EventSources = EventSources { pull: true, receive: false };
    const POSTS: EventSources = EventSources { pull: false, receive: true };
    const BOTH: EventSources = EventSources { pull: true, receive: true };
    const TYPES: [&str; 3] = ["NewFileUpload", "FileDeleted", "PersistenceComplete"];

    fn config(mode: EventMode, positions: [Option<&str>; 3]) -> EventConfig {
        let [upload, delete, persistence] = positions.map(|position| position.map(str::to_owned));
        EventConfig {
            mode,
            notification_url: None,
            upload_media_complete: upload,
            delete_media_complete: delete,
            persistence_complete: persistence,
        }
    }

    /// Every mode, every position of every switch, everything that can be wanted: a command has all
    /// three switches, what is wanted on and the others as they are, or there is none.
    #[test]
    fn a_command_never_leaves_a_switch_out_and_never_turns_one_off() {
        let positions = [Some("ON"), Some("OFF"), None, Some("ON --Mode PUSH")];
        let modes = || [EventMode::Pull, EventMode::Push, EventMode::Other("BOTH".to_owned())];
        for combination in 0..4 * 4 * 4 * 8 {
            let at = |place: usize| positions[combination >> (2 * place) & 3];
            let is_wanted = |place: usize| combination >> (6 + place) & 1 == 1;
            let positions = [at(0), at(1), at(2)];
            for (mode, sources) in modes()
                .into_iter()
                .flat_map(|mode| [QUEUE, POSTS, BOTH].map(|of| (mode.clone(), of)))
            {
                let config = config(mode, positions);
                let wanted =
                    |name: &str| TYPES.iter().position(|of| *of == name).is_some_and(is_wanted);
                let told = config.remedy(AppId(7), sources, wanted);
                let unknown = (0..3)
                    .any(|place| !is_wanted(place) && !matches!(at(place), Some("ON" | "OFF")));
                assert_eq!(told.contains("tccli"), !unknown, "{config:?}: {told}");
                let off = config.switched_off(wanted);
                for place in 0..3 {
                    let is_off = is_wanted(place) && at(place) != Some("ON");
                    assert_eq!(off.contains(&TYPES[place]), is_off, "{config:?}: {off:?}");
                    let position = if is_wanted(place) { "ON" } else { at(place).unwrap_or("-") };
                    let switch = format!(" --{} {position}", PARAMETERS[place]);
                    assert!(unknown || told.contains(&switch), "{config:?}: {told}");
                }
                let is_push = !sources.pull || sources.receive && config.mode == EventMode::Push;
                let mode = match is_push {
                    true => "--Mode PUSH --NotificationUrl 'https://<your host>/vod/7/<token>' ",
                    false => "--Mode PULL ",
                };
                assert!(!told.contains("--Mode") || told.contains(mode), "{told}");
                assert!(unknown || told.contains(&format!(" --SubAppId 7 {mode}")), "{told}");
            }
        }
    }

    #[test]
    fn what_keeps_events_from_arriving_is_said() {
        let of = |mode| config(mode, [Some("OFF"); 3]);
        let told = |mode, sources| of(mode).not_arriving(AppId(7), sources);
        let closed = "PULL: events wait in the queue, and [vod] pull is false";
        assert_eq!(told(EventMode::Pull, POSTS).as_deref(), Some(closed));
        let none = "PUSH: no URL is set to post events to";
        assert_eq!(told(EventMode::Push, BOTH).as_deref(), Some(none));
        let urls = [
            ("https://example.com/vod/7/hunter2hunter2hunter2", true),
            ("http://example.com:8080/behind/a/proxy/vod/7/hunter2", true),
            ("https://example.com/vod/8/hunter2", false),
            ("https://example.com/vod/7/", false),
            ("https://example.com/vod/7/hunter2/more", false),
            ("https://example.com/?/vod/7/hunter2", false),
            ("no url hunter2", false),
        ];
        for (url, is_good) in urls {
            let url = Some(url.to_owned());
            let push = EventConfig { notification_url: url, ..of(EventMode::Push) };
            let told = push.not_arriving(AppId(7), POSTS);
            assert_eq!(told.is_none(), is_good, "{push:?}");
            assert!(!told.unwrap_or_default().contains("hunter2"));
        }
        let of = |mode| {
            let config = of(mode);
            move || config.not_arriving(AppId(7), QUEUE)
        };
        assert_eq!(of(EventMode::Pull)(), None);
        let push = "PUSH: events are posted to a URL: nothing waits to be pulled";
        assert_eq!(of(EventMode::Push)().as_deref(), Some(push));
        let none = of(EventMode::Other(String::new()))();
        assert_eq!(none.as_deref(), Some("no mode is set: nothing waits to be pulled"));
        let both = of(EventMode::Other("BOTH".to_owned()))();
        assert_eq!(both.as_deref(), Some("BOTH: nothing waits to be pulled"));
        let said = config(EventMode::Pull, [None, Some("ON"), Some("OFF")]).positions();
        assert_eq!(said, "NewFileUpload OFF, FileDeleted ON, PersistenceComplete OFF");
    }

    #[test]
    fn a_url_that_could_be_lost_is_to_be_noted_and_not_repeated() {
        let url = Some("https://example.com/hunter2".to_owned());
        let push =
            EventConfig { notification_url: url, ..config(EventMode::Push, [Some("OFF"); 3]) };
        let told = push.remedy(AppId::default(), QUEUE, |_| false);
        assert!(told.contains("note the present NotificationUrl") && !told.contains("hunter2"));
        assert!(told.contains("tccli vod ModifyEventConfig --Mode PULL "), "{told}");
    }
}

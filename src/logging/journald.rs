//! The log for journald: each value a field of its own, to be searched by, and all of them in the
//! message as well, which is all that `journalctl` shows.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber, Value};
use tracing_subscriber::layer::{Context, Layer};

use crate::sanitize;

/// Fields that an event can have: what tracing's macros take at most.
const MAX_FIELDS: usize = 32;

/// Hands events to another layer with their fields added to their message.
#[derive(Debug)]
pub(super) struct InMessage<L>(pub(super) L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for InMessage<L> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let fields = event.metadata().fields();
        let Some(message) = fields.field("message") else {
            return self.0.on_event(event, context);
        };
        let line = texts.line();
        let values: Vec<(&Field, &str)> = std::iter::once((&message, line.as_str()))
            .chain(texts.others.iter().map(|(field, text)| (field, text.as_str())))
            .collect();
        // What is not there is not recorded.
        let values: [_; MAX_FIELDS] = std::array::from_fn(|place| {
            let value = values.get(place);
            let (field, text) =
                value.map_or((&message, None), |(field, text)| (*field, Some(text)));
            (field, text.map(|text| text as &dyn Value))
        });
        self.0.on_event(&Event::new(event.metadata(), &fields.value_set(&values)), context);
    }
}

#[derive(Default)]
struct Texts {
    message: String,
    others: Vec<(Field, String)>,
}

impl Texts {
    /// Message and fields on one line that can be shown.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (field, text) in &self.others {
            let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\');
            let is_word = !text.is_empty() && !text.contains(ends);
            let value = if is_word { text.clone() } else { format!("{text:?}") };
            line.push_str(&format!(" {}={value}", field.name()));
        }
        let mut shown = String::with_capacity(line.len());
        sanitize::escape(&line, |_| false, &mut shown);
        shown
    }

    fn add(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            _ => self.others.push((field.clone(), text)),
        }
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

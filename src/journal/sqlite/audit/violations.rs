//! What an audit has found so far.

use std::collections::BTreeMap;

use serde::Serialize;

/// Rows of one kind that are named.
const MAX_NAMED: usize = 20;

/// Rows that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What is wrong with them.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Violations(BTreeMap<&'static str, (u64, Vec<String>)>);

impl Violations {
    pub(super) fn add(&mut self, what: &'static str, which: String) {
        let (count, first) = self.0.entry(what).or_default();
        *count += 1;
        if first.len() < MAX_NAMED {
            first.push(which);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Violation> {
        let kinds = self.0.into_iter();
        kinds.map(|(what, (count, first))| Violation { what, count, first }).collect()
    }
}

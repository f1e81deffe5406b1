//! The cloud's event API: signed calls, and what their answers mean.
//!
//! Owns the [`Client`], its [`VodSettings`] and [`credentials`]. Knows neither journal nor sinks,
//! and decides nothing about pace: beyond the two repeats that [`Client`] documents, waiting and
//! calling again belong to the caller.

mod action;
mod advice;
mod answer;
mod client;
mod clock;
pub mod credentials;
mod error;
mod event_config;
mod exchange;
mod failure;
mod http;
mod key;
mod pulled;
mod route;
mod settings;
pub mod sign;
mod tasks;

pub use action::Action;
pub use advice::Advice;
#[doc(hidden)]
pub use client::read_pull;
pub use client::{Client, MAX_HANDLES};
pub use error::VodError;
pub use event_config::{EventConfig, EventMode, EventSources, application_advice};
pub use failure::CallFailure;
pub use pulled::{Entries, Pulled};
pub use route::{NetworkRoute, Proxy, ProxyKind, Tls, TlsFailure};
pub use settings::{Applications, VodSettings};
pub use tasks::{ListedTask, MAX_LISTED_TASKS, TaskDetail, TaskListPage, TaskQuery};

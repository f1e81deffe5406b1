//! The emulator without sockets, for the fuzzer, which calls it millions of times.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::admin;
use super::control::EmulatorControl;
use super::emulator::BindError;
use super::serve::ConnectionEnder;
use super::settings::EmulatorSettings;
use super::shared::Shared;

/// An emulator that answers [`Self::call`] instead of connections.
#[derive(Debug)]
pub struct LocalEmulator {
    shared: Arc<Shared>,
    router: Router,
}

impl LocalEmulator {
    /// Creates an emulator.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(settings: EmulatorSettings) -> Result<Self, BindError> {
        settings.check().map_err(BindError::Setting)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let shared = Arc::new(Shared::new(settings, address));
        Ok(Self { router: admin::router(Arc::clone(&shared)), shared })
    }

    /// Returns a handle to add events, set faults and read the ledger.
    #[must_use]
    pub fn control(&self) -> EmulatorControl {
        EmulatorControl::new(Arc::clone(&self.shared))
    }

    /// Answers `request` as over a connection. Never returns with a fault that ends the connection.
    pub async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().insert(ConnectionEnder::none());
        match TowerToHyperService::new(self.router.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

//! The emulator without sockets: for the fuzzer, which asks it millions of times.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::serve::Wire;
use super::shared::Shared;
use super::{BindError, Control, Settings, admin};

/// An emulator that is asked by a call of [`Self::call`].
#[derive(Debug)]
pub struct Local {
    shared: Arc<Shared>,
    router: Router,
}

impl Local {
    /// An emulator of its own.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(settings: Settings) -> Result<Self, BindError> {
        settings.check().map_err(BindError::Setting)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let shared = Arc::new(Shared::new(settings, address));
        Ok(Self { router: admin::router(Arc::clone(&shared)), shared })
    }

    /// As of an [`Emulator`](super::Emulator).
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Answers `request` as it would be over a connection. With a fault that ends the connection
    /// it never returns.
    pub async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().insert(Wire::none());
        match TowerToHyperService::new(self.router.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

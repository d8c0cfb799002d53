//! Counter of the connections that a client opens. Each may lead to another server.

use std::{cell::Cell, rc::Rc};

use actix_service::Service;

/// Dialler that counts its connections.
#[derive(Clone)]
pub(super) struct CountingDialler<S> {
    dialler: S,
    dialled: Rc<Cell<u64>>,
}

impl<S> CountingDialler<S> {
    pub(super) const fn new(dialler: S, dialled: Rc<Cell<u64>>) -> Self {
        Self { dialler, dialled }
    }
}

impl<S: Service<R>, R> Service<R> for CountingDialler<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    actix_service::forward_ready!(dialler);

    fn call(&self, request: R) -> S::Future {
        self.dialled.set(self.dialled.get().wrapping_add(1));
        self.dialler.call(request)
    }
}

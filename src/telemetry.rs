//! Logs and the panic hook.

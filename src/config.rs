//! Configuration: flag, environment, file, default.

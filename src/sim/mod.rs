//! The simulated Horizon behind the demo, the tests and the benches.

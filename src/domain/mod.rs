//! The pure heart: money, assets, markets, trades, windows. No I/O, no clock, no panic.

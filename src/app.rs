//! The composition root: puts pool, actors, HTTP servers and signals together.

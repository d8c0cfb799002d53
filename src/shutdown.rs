//! The drain plan: phases and deadlines.

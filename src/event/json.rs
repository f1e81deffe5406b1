//! Reads JSON.

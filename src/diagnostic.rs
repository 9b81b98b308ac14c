//! Everything said about the user's text.

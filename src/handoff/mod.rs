//! What the rest of the image must be told once the network stands.

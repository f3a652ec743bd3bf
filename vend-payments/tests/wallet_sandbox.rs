//! Round trips against the sandbox.

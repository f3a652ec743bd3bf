//! The gateway against an independent client, and against bytes that no client sends.

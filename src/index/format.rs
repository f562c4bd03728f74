//! What a saved index looks like. Numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `PPLXIDX` |
//! | 1 | version, 1 |
//! | 4 | h, u32: bytes of the header |
//! | h | the header, JSON |
//! | 4 | CRC-32 of all bytes so far |
//!
//! Then come blocks, the last of which says that it is:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | tag, u32: 1 for items, 2 for the end |
//! | 4 | n, u32: bytes of the payload |
//! | n | the payload |
//! | 4 | CRC-32 of tag, n and payload |

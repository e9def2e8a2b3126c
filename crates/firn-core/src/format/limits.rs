//! What a reader accepts before it takes memory.

/// Limits of a reader. The defaults leave room for the largest systems known and keep a hostile file harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the header: fields and frame table.
    pub header_bytes: u64,
    /// Frames of the file.
    pub frames: u64,
    /// Raw bytes of one frame.
    pub frame_raw_bytes: u64,
    /// Raw bytes of all frames.
    pub raw_bytes: u64,
    /// Memory to unpack one frame: the model or window of its codec and its packed bytes.
    pub memory_bytes: u64,
    /// Bytes of the tail.
    pub tail_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 4 << 20,
            frames: 1 << 16,
            frame_raw_bytes: 1 << 30,
            raw_bytes: 1 << 40,
            memory_bytes: 256 << 20,
            tail_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// Longest text in the manifest or provenance, in bytes.
    pub const TEXT_BYTES: usize = 4096;
    /// Most roots of a file.
    pub const ROOTS: usize = 1 << 12;
    /// Most entries of provenance.
    pub const PROVENANCE: usize = 256;
}

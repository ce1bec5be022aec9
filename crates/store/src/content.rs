//! The content of an object on its way here.

use crate::{Error, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::fmt;
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// The bytes of an object, or of a range of it, as they arrive.
pub struct ObjectContent {
    byte_count: u64,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl fmt::Debug for ObjectContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectContent").field("byte_count", &self.byte_count).finish_non_exhaustive()
    }
}

impl ObjectContent {
    /// Content of `byte_count` bytes that arrives as `chunks`.
    pub fn new(byte_count: u64, chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { byte_count, chunks: chunks.boxed() }
    }

    /// Content that is in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::new(bytes.len() as u64, stream::once(async { Ok(bytes) }))
    }

    /// Its size.
    #[must_use]
    pub const fn byte_count(&self) -> u64 {
        self.byte_count
    }

    /// The bytes as a stream.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        self.chunks
    }

    /// All bytes.
    ///
    /// # Errors
    /// Errors of the store while it sends them.
    pub async fn into_bytes(self) -> Result<Vec<u8>> {
        self.chunks
            .try_fold(Vec::new(), async |mut bytes, chunk| {
                bytes.extend_from_slice(&chunk);
                Ok(bytes)
            })
            .await
    }

    /// Writes the bytes to the new file `path`.
    ///
    /// # Errors
    /// Errors of the store while it sends them, and I/O errors of the file.
    pub async fn write_to(mut self, path: &Path) -> Result<()> {
        let named = |error: std::io::Error| {
            Error::Io(std::io::Error::new(error.kind(), format!("failed to write `{}`: {error}", path.display())))
        };
        let mut file = tokio::fs::File::create_new(path).await.map_err(named)?;
        while let Some(chunk) = self.chunks.try_next().await? {
            file.write_all(&chunk).await.map_err(named)?;
        }
        file.flush().await.map_err(named)
    }
}

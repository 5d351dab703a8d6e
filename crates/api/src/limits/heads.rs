//! How long a request's address and headers may be.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::{Failure, Refused};

/// The longest path with its query, in bytes.
pub const MAX_URI: usize = 8 << 10;
/// The longest headers taken together, in bytes, as HTTP/2 counts them (RFC 9113 § 6.5.2).
pub const MAX_HEADERS: usize = 32 << 10;
/// What each header takes besides its name and its value.
const OVERHEAD: usize = 32;

/// The layer that refuses what is longer. What is much longer still, the listener refuses by itself.
pub async fn heads(request: Request, next: Next) -> Result<Response, Failure> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if path > MAX_URI {
        return Err(Refused::UriTooLong.into());
    }
    let headers = request.headers().iter();
    let length: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD)
        .sum();
    if length > MAX_HEADERS {
        return Err(Refused::HeadersTooLarge.into());
    }
    Ok(next.run(request).await)
}

//! The bytes of images, for the component that needs them.

use std::sync::Arc;

use rhyzome_model::Digest;
use rhyzome_proto::pb;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::gateway::{BlobReader, ComponentGateway};
use super::peer::{self, Peer};
use super::{Edge, guard};

/// Well under the 4 MiB that a message may have.
const CHUNK: usize = 256 * 1024;

type Chunk = Result<pb::BlobChunk, Status>;

pub(super) async fn fetch(
    edge: &Edge,
    request: Request<pb::FetchBlobRequest>,
) -> Result<Response<ReceiverStream<Chunk>>, Status> {
    let peer = peer::admitted(edge.gateway.as_ref(), &request).await?;
    let request = request.into_inner();
    let digest: Digest = request
        .digest
        .parse()
        .map_err(|error| Status::invalid_argument(format!("digest: {error}")))?;
    let blob = edge
        .gateway
        .blob(peer.component, digest, request.offset)
        .await?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(send(
        Arc::clone(&edge.gateway),
        peer,
        blob,
        sender,
        edge.stop.clone(),
    ));
    Ok(Response::new(ReceiverStream::new(receiver)))
}

/// Sends all of it, unless the certificate ceases to count or the core stops.
async fn send(
    gateway: Arc<dyn ComponentGateway>,
    peer: Peer,
    blob: BlobReader,
    sender: mpsc::Sender<Chunk>,
    stop: tokio_util::sync::CancellationToken,
) {
    let last = tokio::select! {
        sent = copy(blob, &sender) => match sent {
            Ok(()) => return,
            Err(status) => status,
        },
        refusal = guard::until_refused(gateway.as_ref(), &peer) => {
            refusal.status(peer::sentence(refusal))
        }
        () = stop.cancelled() => Status::unavailable("the core stops"),
    };
    // Fails only when nobody listens any more. Does not wait for a listener that does not take it.
    let _ = sender.try_send(Err(last));
}

async fn copy(mut blob: BlobReader, sender: &mpsc::Sender<Chunk>) -> Result<(), Status> {
    let mut size = blob.size;
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        let read = (&mut blob.bytes)
            .take(CHUNK as u64)
            .read_to_end(&mut data)
            .await;
        read.map_err(|error| {
            tracing::error!(%error, "an image's bytes cannot be read");
            match error.kind() {
                // Said as it is by whoever asks next, too.
                std::io::ErrorKind::InvalidData => Status::data_loss(format!(
                    "its bytes are damaged at the image host: {error}; import the image again, or send the program again"
                )),
                _ => Status::unavailable("its bytes cannot be read at the moment"),
            }
        })?;
        let ended = data.is_empty();
        // The first one says the size, also where it is the only one.
        if ended && size == 0 {
            return Ok(());
        }
        let chunk = pb::BlobChunk {
            data,
            size: std::mem::take(&mut size),
        };
        if sender.send(Ok(chunk)).await.is_err() || ended {
            return Ok(());
        }
    }
}

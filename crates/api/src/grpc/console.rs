//! Streams with consoles, for the component that was asked to open them.

use std::sync::Arc;

use rhyzome_app::consoles::Far;
use rhyzome_model::console::ConsolePiece;
use rhyzome_proto::pb;
use rhyzome_proto::pb::console_from_component::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::peer::{self, Peer};
use super::{Edge, guard};

type Input = Result<pb::ConsoleFromCore, Status>;

pub(super) async fn open(
    edge: &Edge,
    request: Request<Streaming<pb::ConsoleFromComponent>>,
) -> Result<Response<ReceiverStream<Input>>, Status> {
    let peer = peer::admitted(edge.gateway.as_ref(), &request).await?;
    let mut stream = request.into_inner();
    let named = match stream.message().await? {
        Some(pb::ConsoleFromComponent {
            message: Some(Message::Stream(stream)),
        }) => stream.parse().ok(),
        _ => None,
    };
    let wrong = || Status::invalid_argument("the first message names the stream, a UUID");
    let far = edge
        .gateway
        .console(peer.component, named.ok_or_else(wrong)?)?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(run(edge.clone(), peer, stream, far, sender));
    Ok(Response::new(ReceiverStream::new(receiver)))
}

/// Carries both ways, unless the certificate ceases to count or the core stops.
async fn run(
    edge: Edge,
    peer: Peer,
    stream: Streaming<pb::ConsoleFromComponent>,
    far: Far,
    sender: mpsc::Sender<Input>,
) {
    let gateway = Arc::clone(&edge.gateway);
    let last = tokio::select! {
        () = carry(stream, far, &sender) => return,
        refusal = guard::until_refused(gateway.as_ref(), &peer) => {
            refusal.status(peer::sentence(refusal))
        }
        () = edge.stop.cancelled() => Status::unavailable("the core stops"),
    };
    // Fails only when nobody listens any more. Does not wait for a listener that does not take it.
    let _ = sender.try_send(Err(last));
}

async fn carry(
    mut stream: Streaming<pb::ConsoleFromComponent>,
    far: Far,
    sender: &mpsc::Sender<Input>,
) {
    let Far { output, mut input } = far;
    let written = async {
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(unread) => {
                    // Who is still there is told what could not be read of it.
                    let _ = sender.try_send(Err(unread));
                    return;
                }
            };
            let piece = match message.message {
                Some(Message::Piece(piece)) => Ok(ConsolePiece {
                    position: piece.position,
                    bytes: piece.data,
                }),
                Some(Message::Refused(why)) => Err(why),
                Some(Message::Stream(_)) | None => return,
            };
            let last = piece.is_err();
            if output.send(piece).await.is_err() || last {
                return;
            }
        }
    };
    let typed = async {
        while let Some(input) = input.recv().await {
            if sender
                .send(Ok(pb::ConsoleFromCore { input }))
                .await
                .is_err()
            {
                return;
            }
        }
        // A reader that does not write goes on reading.
        output.closed().await;
    };
    tokio::select! {
        () = written => {}
        () = typed => {}
        // Nobody reads any more.
        () = output.closed() => {}
    }
}

//! Streams with consoles: the core asks for one over the session, and the component opens it, as a
//! core never calls a component.

use std::sync::Arc;
use std::time::Duration;

use rhyzome_model::console::ConsoleRequest;
use rhyzome_proto::pb;
use rhyzome_proto::pb::console_from_component::Message;
use rhyzome_proto::pb::session_client::SessionClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::driver::{Console, Driver};
use crate::jobs::chain;
use crate::link::Link;

/// How long the core may take to take the stream.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Opens a stream, in a task of its own that ends with it.
pub(crate) fn open(link: Arc<Link>, driver: Arc<dyn Driver>, request: ConsoleRequest) {
    tokio::spawn(async move {
        if let Err(error) = run(&link, driver.as_ref(), &request).await {
            tracing::debug!(stream = %request.stream, error, "a console's stream ended");
        }
    });
}

async fn run(link: &Link, driver: &dyn Driver, request: &ConsoleRequest) -> Result<(), String> {
    let (up, outgoing) = mpsc::channel(4);
    say(&up, Message::Stream(request.stream.to_string())).await?;
    let console = driver.console(&request.target, request.from).await;
    if let Err(error) = &console {
        say(&up, Message::Refused(error.chain())).await?;
    }
    let channel = link.connect().await.map_err(|error| chain(&error))?;
    let mut client = SessionClient::new(channel);
    let open = client.console(ReceiverStream::new(outgoing));
    let opened = tokio::time::timeout(OPEN_WITHIN, open).await;
    let down = opened
        .map_err(|_| "the core did not take it".to_owned())?
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    match console {
        Ok(console) => carry(console, up, down).await,
        // Said already; the core ends the stream.
        Err(_) => Ok(()),
    }
}

async fn say(up: &mpsc::Sender<pb::ConsoleFromComponent>, message: Message) -> Result<(), String> {
    let message = pb::ConsoleFromComponent {
        message: Some(message),
    };
    up.send(message)
        .await
        .map_err(|_| "the core has gone".to_owned())
}

/// Both ways until either side ends.
async fn carry(
    mut console: Console,
    up: mpsc::Sender<pb::ConsoleFromComponent>,
    mut down: Streaming<pb::ConsoleFromCore>,
) -> Result<(), String> {
    let input = console.input;
    let written = async {
        while let Some(piece) = console.output.recv().await {
            let piece = pb::ConsolePiece {
                position: piece.position,
                data: piece.bytes,
            };
            say(&up, Message::Piece(piece)).await?;
        }
        Ok(())
    };
    let typed = async {
        loop {
            match down.message().await {
                Ok(Some(message)) => {
                    if input.send(message.input).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(status) => return Err(status.message().to_owned()),
            }
        }
    };
    tokio::select! {
        ended = written => ended,
        ended = typed => ended,
    }
}

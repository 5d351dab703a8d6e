//! What changes peers: create, update, delete.

use rhyzome_client::Deleted;
use rhyzome_model::Name;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::Peer;

use super::keys::Store;
use super::show;
use crate::args::WaitArgs;
use crate::failure::Failure;
use crate::session::{Cx, Session};
use crate::wait;

/// Makes this device a peer.
///
/// The key is on the disk before the core hears of it, so that no interruption leaves a peer that
/// nobody has the key of. A key that an interrupted attempt left is used.
pub async fn create(
    session: &Session<'_>,
    store: &Store,
    name: &Name,
    networks: Vec<Name>,
    args: WaitArgs,
) -> Result<Peer, Failure> {
    let peers = session.scope.peer();
    let key = match store.find(name)? {
        Some(key) => match peers.get(name).await {
            Ok(peer) if peer.spec.public_key == key.public_key().to_string() => {
                return Err(Failure::PeerHere { name: name.clone() });
            }
            Ok(_) => return Err(Failure::PeerElsewhere { name: name.clone() }),
            Err(e) if e.is_not_found() => {
                session
                    .output
                    .note("a private key of this name is here already; it is used");
                key
            }
            Err(e) => return Err(e.into()),
        },
        None => store.create(name)?,
    };
    let spec = PeerSpec {
        public_key: key.public_key().to_string(),
        networks,
    };
    let look = || {
        format!(
            "run it again: it goes on with the same key ({})",
            store.path(name).display()
        )
    };
    let peer = match wait::asked(peers.create(name, spec, None), look).await {
        Ok(peer) => peer,
        Err(e) => {
            if surely_not_created(&e) {
                store.remove(name)?;
            }
            return Err(match e {
                Failure::Client(e) if e.code() == Some("name_taken") => {
                    Failure::PeerElsewhere { name: name.clone() }
                }
                e => e,
            });
        }
    };
    wait::ready(session, &peers, peer, args).await
}

/// Whether a creation that failed has surely left no peer behind. If its answer got lost, it may have.
fn surely_not_created(failure: &Failure) -> bool {
    match failure {
        Failure::Client(rhyzome_client::Error::Problem(problem)) => problem.status < 500,
        Failure::Client(rhyzome_client::Error::Connect { .. }) => true,
        _ => false,
    }
}

pub fn report_created(session: &Session<'_>, peer: &Peer) -> Result<(), Failure> {
    let (name, output) = (&peer.meta.name, session.output);
    let sentence = format!("peer {name}: {}, {}", peer.status.ipv4, show::reaches(peer));
    output.done(peer, &sentence)?;
    wait::note_pending(output, peer);
    output.note(&format!(
        "`rhyzome forward INSTANCE 8080:80` reaches a port; `rhyzome peer config {name}` is for the WireGuard apps"
    ));
    Ok(())
}

/// Changes which networks a peer reaches.
pub async fn update(
    session: &Session<'_>,
    name: &Name,
    add: &[Name],
    remove: &[Name],
    args: WaitArgs,
) -> Result<Peer, Failure> {
    let peers = session.scope.peer();
    let change = |peer: &Peer| {
        let mut spec = peer.spec.clone();
        spec.networks.retain(|network| !remove.contains(network));
        for network in add {
            if !spec.networks.contains(network) {
                spec.networks.push(network.clone());
            }
        }
        spec
    };
    let look = || format!("`rhyzome peer show {name}` says how it is");
    let before = peers.get(name).await?.spec.networks;
    for network in remove.iter().filter(|network| !before.contains(network)) {
        let output = session.output;
        output.note(&format!("{name} did not reach {network} before"));
    }
    let peer = wait::asked(peers.edit(name, change, None), look).await?;
    wait::ready(session, &peers, peer, args).await
}

/// Deletes a peer, says when it was asked for and applied, and removes its key if that is here.
pub async fn delete(cx: &Cx, name: &Name, args: WaitArgs) -> Result<(), Failure> {
    let session = cx.session()?;
    let store = Store::of(cx, &session).await?;
    let public_key = session.scope.peer().get(name).await?.spec.public_key;
    let (last, mut sentence) = match wait::gone(&session, &session.scope.peer(), name, args).await?
    {
        Deleted::Gone(last) => (last, format!("peer {name} is deleted")),
        Deleted::Deleting(last) => (Some(last), format!("peer {name} is being deleted")),
    };
    for network in last.iter().flat_map(|peer| &peer.status.networks) {
        sentence.push_str(&format!(
            "\n  {}: {}",
            network.network,
            show::applied(network)
        ));
    }
    if store
        .find(name)?
        .is_some_and(|key| key.public_key().to_string() == public_key)
    {
        store.remove(name)?;
    }
    cx.output.gone(&last, name.as_str(), &sentence)
}

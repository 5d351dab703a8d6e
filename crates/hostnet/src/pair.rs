//! A pair of links between a network namespace of ours and the host: what goes into one comes out of
//! the other.

use crate::link::Change;
use crate::{Link, LinkError, Links, Namespace, NamespaceError, namespace};

#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error("there is a link {0} that is not Rhyzome's: it is left alone; rename or remove it")]
    Foreign(String),
    #[error("cannot change the links")]
    Link(#[source] LinkError),
    #[error("cannot work in the network namespace")]
    Namespace(#[source] NamespaceError),
}

/// A pair as it should be.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The namespace of the one end, and its name there.
    pub namespace: Namespace,
    pub inside: String,
    pub mac: [u8; 6],
    /// The other end, on the host, and the free text that says whose it is.
    pub outside: String,
    pub alias: String,
    pub mtu: u32,
}

impl Pair {
    /// Makes it where it is not whole. Made inside, so that it goes with the namespace at any time; the
    /// other end is marked before it is moved out. That end is not taken into use yet.
    ///
    /// # Errors
    /// [`PairError::Foreign`] where something else has the name.
    pub async fn ensure(&self) -> Result<(), PairError> {
        let links = Links::open().map_err(PairError::Link)?;
        let outer = links.find(&self.outside).await.map_err(PairError::Link)?;
        if outer
            .as_ref()
            .is_some_and(|link| link.alias.as_deref() != Some(&*self.alias))
        {
            return Err(PairError::Foreign(self.outside.clone()));
        }
        let inner = self.find_inside().await?;
        let paired = outer
            .as_ref()
            .zip(inner.as_ref())
            .is_some_and(|(outer, inner)| is_pair(outer, inner));
        if !paired {
            // The host's end of a namespace that was taken away under a running process.
            if let Some(stale) = outer {
                links.delete(stale.index).await.map_err(PairError::Link)?;
            }
            self.make().await?;
        }
        let pair = self.clone();
        let work = move || async move {
            let links = Links::open()?;
            raise(&links, &pair.inside, pair.mtu, Some(true)).await
        };
        let raised = self.namespace.run(work).await;
        raised
            .map_err(PairError::Namespace)?
            .map_err(PairError::Link)?;
        raise(&links, &self.outside, self.mtu, None)
            .await
            .map_err(PairError::Link)
    }

    /// The end inside, as it is.
    pub async fn find_inside(&self) -> Result<Option<Link>, PairError> {
        let name = self.inside.clone();
        let work = move || async move { Links::open()?.find(&name).await };
        let found = self.namespace.run(work).await;
        found
            .map_err(PairError::Namespace)?
            .map_err(PairError::Link)
    }

    async fn make(&self) -> Result<(), PairError> {
        let host = namespace::current().map_err(PairError::Namespace)?;
        let pair = self.clone();
        let work = move || async move {
            let links = Links::open()?;
            links.delete_named(&pair.inside).await?;
            links.add_veth(&pair.inside, &pair.outside).await?;
            let inner = links.find(&pair.inside).await?;
            let Some((inner, outer)) = inner.zip(links.find(&pair.outside).await?) else {
                return Ok(());
            };
            let known = Change {
                mac: Some(pair.mac),
                ..Change::default()
            };
            links.change(inner.index, known).await?;
            let marked = Change {
                alias: Some(&pair.alias),
                ..Change::default()
            };
            links.change(outer.index, marked).await?;
            let moved = Change {
                namespace: Some(&host),
                ..Change::default()
            };
            links.change(outer.index, moved).await
        };
        let made = self.namespace.run(work).await;
        made.map_err(PairError::Namespace)?.map_err(PairError::Link)
    }
}

fn is_pair(one: &Link, other: &Link) -> bool {
    one.parent == Some(other.index) && other.parent == Some(one.index)
}

async fn raise(links: &Links, name: &str, mtu: u32, up: Option<bool>) -> Result<(), LinkError> {
    let Some(link) = links.find(name).await? else {
        return Ok(());
    };
    if link.mtu == mtu && up.is_none_or(|up| link.up == up) {
        return Ok(());
    }
    let change = Change {
        mtu: Some(mtu),
        up,
        ..Change::default()
    };
    links.change(link.index, change).await
}

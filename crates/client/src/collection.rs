//! What every collection of resources can do: list, get, create, update, delete.

use std::marker::PhantomData;
use std::time::Duration;

use futures::stream::{self, Stream, TryStreamExt};
use reqwest::{Method, StatusCode};
use rhyzome_model::Name;
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, Update};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, Error};

/// How many rows a page of [`Collection::list_all`] has.
const PAGE: u32 = 200;

/// How often an edit, such as [`Collection::edit`], starts again because somebody else changed the resource meanwhile.
pub(crate) const EDITS: usize = 5;

/// A collection: rows of type `R` in lists, things of type `T`, asked for by specs of type `S`.
pub struct Collection<R, T, S> {
    pub(crate) client: Client,
    /// Below the core's URL, without a slash at the end.
    pub(crate) path: String,
    types: PhantomData<fn(S) -> (R, T)>,
}

/// A thing with the tag of its version, for changing it only if nobody else did.
#[derive(Clone, Debug)]
pub struct Tagged<T> {
    pub value: T,
    pub etag: Option<String>,
}

/// What came of a deletion.
#[derive(Clone, Debug)]
pub enum Deleted<T> {
    /// It is gone; the core may have told its last state.
    Gone(Option<T>),
    /// It is still being removed.
    Deleting(T),
}

impl<R, T, S> Collection<R, T, S> {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self {
            client,
            path,
            types: PhantomData,
        }
    }

    pub(crate) fn at(&self, name: &Name) -> String {
        format!("{}/{name}", self.path)
    }
}

impl<R: DeserializeOwned, T, S> Collection<R, T, S> {
    /// One page: `limit` rows (1 to 1000) behind the cursor `after`.
    pub async fn list(&self, limit: u32, after: Option<&str>) -> Result<Page<R>, Error> {
        page(&self.client, &self.path, limit, after).await
    }

    /// All rows, page by page as they are taken.
    pub fn list_all(&self) -> impl Stream<Item = Result<R, Error>> + use<R, T, S> {
        pages(self.client.clone(), self.path.clone())
    }

    /// All rows at once.
    pub async fn all(&self) -> Result<Vec<R>, Error> {
        self.list_all().try_collect().await
    }
}

impl<R, T: DeserializeOwned, S> Collection<R, T, S> {
    pub async fn get(&self, name: &Name) -> Result<T, Error> {
        Ok(self.get_tagged(name, None).await?.value)
    }

    /// With the tag of its version; `wait` answers when its phase is ready or failed, or in time.
    pub async fn get_tagged(
        &self,
        name: &Name,
        wait: Option<Duration>,
    ) -> Result<Tagged<T>, Error> {
        let answer = self.client.get(&self.at(name)).wait(wait).send().await?;
        Ok(Tagged {
            value: answer.json()?,
            etag: answer.etag(),
        })
    }

    /// Deletes it; only the version `if_match`, if one is given.
    pub async fn delete(
        &self,
        name: &Name,
        if_match: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<Deleted<T>, Error> {
        let call = self
            .client
            .call(Method::DELETE, &self.at(name))
            .if_match(if_match)
            .wait(wait);
        let answer = call.send().await?;
        match answer.status {
            StatusCode::ACCEPTED => Ok(Deleted::Deleting(answer.json()?)),
            _ if answer.body.is_empty() => Ok(Deleted::Gone(None)),
            _ => Ok(Deleted::Gone(Some(answer.json()?))),
        }
    }
}

impl<R, T: DeserializeOwned, S: Serialize> Collection<R, T, S> {
    pub async fn create(&self, name: &Name, spec: S, wait: Option<Duration>) -> Result<T, Error> {
        let body = Create {
            name: name.clone(),
            spec,
        };
        let call = self
            .client
            .call(Method::POST, &self.path)
            .json(&body)
            .wait(wait);
        call.send().await?.json()
    }

    /// Replaces the spec; only that of the version `if_match`, if one is given.
    pub async fn update(
        &self,
        name: &Name,
        spec: S,
        if_match: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<T, Error> {
        let call = self
            .client
            .call(Method::PUT, &self.at(name))
            .json(&Update { spec });
        call.if_match(if_match).wait(wait).send().await?.json()
    }

    /// Reads it, lets `change` make the new spec, and writes that; starts again if somebody else
    /// changed it in between.
    ///
    /// # Errors
    /// Those of reading and updating, and `changed` if it was changed under it again and again.
    pub async fn edit(
        &self,
        name: &Name,
        mut change: impl FnMut(&T) -> S,
        wait: Option<Duration>,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let current = self.get_tagged(name, None).await?;
            let spec = change(&current.value);
            match self.update(name, spec, current.etag.as_deref(), wait).await {
                Err(e) if e.code() == Some("changed") && tries < EDITS => {}
                other => return other,
            }
        }
    }
}

/// One page of any list.
pub(crate) async fn page<R: DeserializeOwned>(
    client: &Client,
    path: &str,
    limit: u32,
    after: Option<&str>,
) -> Result<Page<R>, Error> {
    client
        .get(path)
        .query("limit", limit)
        .query_if("after", after)
        .send()
        .await?
        .json()
}

/// All rows of any list.
pub(crate) fn pages<R: DeserializeOwned>(
    client: Client,
    path: String,
) -> impl Stream<Item = Result<R, Error>> {
    enum Next {
        Page(Option<String>),
        End,
    }
    stream::try_unfold(
        (client, path, Next::Page(None)),
        async |(client, path, next)| {
            let Next::Page(after) = next else {
                return Ok(None);
            };
            let page: Page<R> = page(&client, &path, PAGE, after.as_deref()).await?;
            let next = page.next.map_or(Next::End, |next| Next::Page(Some(next)));
            let rows = stream::iter(page.items.into_iter().map(Ok));
            Ok::<_, Error>(Some((rows, (client, path, next))))
        },
    )
    .try_flatten()
}

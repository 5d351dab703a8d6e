//! Projects.

use reqwest::Method;
use rhyzome_model::Name;
use rhyzome_model::resource::Project;
use rhyzome_wire::request::CreateProject;

use crate::{Collection, Error};

/// A project has no spec: it is created by its name and never updated.
pub type Projects = Collection<Project, Project, NoSpec>;

/// Stands where other resources have a spec.
pub enum NoSpec {}

impl Projects {
    pub async fn create_named(&self, name: &Name) -> Result<Project, Error> {
        let body = CreateProject { name: name.clone() };
        self.client
            .call(Method::POST, &self.path)
            .json(&body)
            .send()
            .await?
            .json()
    }
}

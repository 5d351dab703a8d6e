//! The steps around each change of what the core keeps.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Commit = "committing a change",
        Committed = "going on behind a commit",
    }
}

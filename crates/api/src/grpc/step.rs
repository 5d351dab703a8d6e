//! The steps of what the core says to components.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Send = "sending a job",
        Recorded = "telling that an outcome is recorded",
    }
}

//! The steps of what the core says to components.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Send = "sending a job",
        Recorded = "telling that an outcome is recorded",
        Joined = "telling that a component has joined",
        Renewed = "telling that a certificate was renewed",
        Refuse = "ending a session that is refused",
    }
}

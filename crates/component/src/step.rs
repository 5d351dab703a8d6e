//! The steps that every component goes through with a job, whatever it is about.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum JobStep {
        Take = "taking a job in",
        Accept = "writing down what is asked",
        Done = "writing down what is there",
        Remove = "writing down what is to go",
        Removed = "writing down what is gone",
        Tell = "telling the core how a job went",
    }
}

//! The steps around each change of what the core keeps, and of taking an image's bytes in.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Commit = "committing a change",
        Committed = "going on behind a commit",
    }
}

rhyzome_fault::steps! {
    /// The steps of taking bytes in.
    pub enum UploadStep {
        Write = "writing bytes of an upload",
        Note = "writing down how far an upload is",
        Finish = "finishing the bytes of an upload",
        Recognise = "looking what the bytes are",
    }
}

//! The steps of the driver's workflows, by name: for people who watch a job, and for tests that hold or
//! end the program at any of them.

rhyzome_fault::steps! {
    /// What is about to be done.
    pub enum Step {
        Segment = "making the segment's bridge",
        DropSegment = "letting go of the segment's bridge",
        Connect = "connecting the segment with another host's",
        Disconnect = "disconnecting the segment from another host's",
        Record = "recording the instance",
        Image = "looking for the image",
        Fetch = "fetching the image",
        KeepImage = "keeping the image that was fetched",
        Disk = "preparing the disk",
        CopyImage = "copying the image to the disk",
        ClearDisk = "filling the disk with zeros",
        Ports = "setting port rules",
        Start = "starting the guest",
        Started = "recording that the guest runs",
        AskToStop = "asking the guest to stop",
        ForceToStop = "forcing the guest to stop",
        Stopped = "recording that the guest is stopped",
        End = "ending the guest",
        DropPorts = "removing port rules",
        DropDisk = "removing the disk",
        DropFiles = "removing the instance's files",
    }
}

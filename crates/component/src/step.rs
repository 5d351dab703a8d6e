//! The steps that every component goes through: with a job, whatever it is about, and with its identity.

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

rhyzome_fault::steps! {
    /// The steps of getting an identity, and of keeping it fresh.
    pub enum IdentityStep {
        Key = "writing down the key to join with",
        Join = "asking to join",
        Joined = "writing down the identity",
        Look = "looking whether the certificate is to be renewed",
        Renew = "asking for a new certificate",
        Renewed = "writing down the new certificate",
        Switch = "going on with the new certificate",
    }
}

rhyzome_fault::steps! {
    /// The steps of putting another program in this one's place, and of taking it back.
    pub enum UpgradeStep {
        Fetch = "fetching a program",
        Check = "finding out whether it is a program for this component",
        Try = "writing down that a program is on trial",
        Leave = "ending for the program on trial",
        Count = "writing down what was found out of the program to start",
        Start = "starting the program on trial",
        Settle = "writing down that the program on trial is the current one",
        GiveUp = "writing down that the program on trial is given up",
        Sweep = "removing programs that nobody needs",
    }
}

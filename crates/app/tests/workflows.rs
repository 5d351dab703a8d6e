//! The use cases on a real database, with components that the tests play by hand: what they are given
//! to do, in what order, and what follows from their answers.

mod workflows {
    pub mod audit;
    pub mod differing;
    pub mod expiry;
    pub mod guests;
    pub mod hosts;
    pub mod instances;
    pub mod joining;
    pub mod leaving;
    pub mod members;
    pub mod networks;
    pub mod peers;
    pub mod refusals;
    pub mod segments;
    pub mod sessions;
    pub mod site;
    pub mod tokens;
    pub mod unknown;
    pub mod upgrades;
    pub mod wide;
}

//! What is done on a site, in the order of its lives: each thing is made, something is done with it, and it
//! is deleted.

use crate::stage::Stage;

/// A stage, what can be done behind it, and the stage that undoes it.
pub struct Life {
    begin: Stage,
    within: &'static [Life],
    end: Option<Stage>,
}

/// All that is tried. What leaves something behind until its network goes comes last in it, so that what is
/// there does not depend on what was left out before.
pub const ALL: &[Life] = &[
    Life {
        begin: Stage::NetworkMade,
        within: &[
            Life {
                begin: Stage::NetworkOpened,
                within: &[],
                end: Some(Stage::NetworkClosed),
            },
            Life {
                begin: Stage::InstanceMade,
                within: &[
                    Life {
                        begin: Stage::InstanceChanged,
                        within: &[],
                        end: Some(Stage::InstanceChangedBack),
                    },
                    Life {
                        begin: Stage::InstanceStopped,
                        within: &[],
                        end: Some(Stage::InstanceStarted),
                    },
                    Life {
                        begin: Stage::InstanceRebooted,
                        within: &[],
                        end: None,
                    },
                ],
                end: Some(Stage::InstanceDeleted),
            },
            Life {
                begin: Stage::FarMade,
                within: &[],
                end: Some(Stage::FarDeleted),
            },
            Life {
                begin: Stage::PeerMade,
                within: &[Life {
                    begin: Stage::PeerLetOut,
                    within: &[],
                    end: Some(Stage::PeerLetIn),
                }],
                end: Some(Stage::PeerDeleted),
            },
        ],
        end: Some(Stage::NetworkDeleted),
    },
    Life {
        begin: Stage::ImageMade,
        within: &[Life {
            begin: Stage::ImageTagged,
            within: &[],
            end: Some(Stage::ImageUntagged),
        }],
        end: Some(Stage::ImageDeleted),
    },
    Life {
        begin: Stage::ComponentJoined,
        within: &[
            Life {
                begin: Stage::CertificateRenewed,
                within: &[],
                end: None,
            },
            Life {
                begin: Stage::ComponentRevoked,
                within: &[],
                end: None,
            },
        ],
        end: Some(Stage::ComponentForgotten),
    },
];

/// The stages of one round that come to all that are wanted, and leave the site as it was.
pub fn round(lives: &[Life], wanted: &impl Fn(Stage) -> bool) -> Vec<Stage> {
    let mut stages = Vec::new();
    for life in lives {
        let within = round(life.within, wanted);
        let itself = wanted(life.begin) || life.end.is_some_and(wanted);
        if itself || !within.is_empty() {
            stages.push(life.begin);
            stages.extend(within);
            stages.extend(life.end);
        }
    }
    stages
}

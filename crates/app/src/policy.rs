//! Which role may do what: the one table of it. Pure.

use std::collections::BTreeMap;

use rhyzome_model::Name;
use rhyzome_model::role::Role;

use crate::authorize::Operation;

/// What somebody is, everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    /// On the site as a whole.
    pub site: Option<Role>,
    pub projects: BTreeMap<Name, Role>,
}

/// Who may do an operation. An admin may do all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everybody who is known: they see what is theirs.
    Known,
    /// Whoever has this role in the project, or one with more; auditors as well.
    Reads(Role),
    /// The same, without auditors.
    Changes(Role),
    /// Auditors.
    SiteReads,
    /// Admins alone.
    SiteChanges,
    /// Admins alone, of a project: to who has no role in it, it is not there.
    SiteChangesIn,
}

const INTRODUCTION: &str = "\
# Who may do what

Made of the table in `crates/app/src/policy.rs`, through which every operation passes: `cargo xtask drift --write` brings this page
up to date. `viewer`, `member` and `owner` are roles in a project, `auditor` and `admin` on the site as a whole. To who has no role
in a project, it and all that is in it are not there: the answer is the same 404 as for a project that never was.

- A token of a project (`rhyzome token create NAME --role ROLE`) is made by its owners; one of the site (`--site`) by admins.
- People get a role in a project by an invitation of its owners (`rhyzome project invite`), or by their issuer's claims, as the
  operator has set; the larger one counts. A token that a person made can do no more than that person can now.
- User data of instances may hold passwords: members, owners and admins see it; viewers and auditors do not.

";

/// Of somebody and an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// They may not know that there is such a project.
    Hidden,
    /// They know of it, and lack this role.
    Lacks(Role),
}

/// The table.
pub fn rule(operation: Operation) -> Rule {
    use Operation as O;
    match operation {
        O::SiteRead | O::Whoami | O::ProjectList => Rule::Known,
        O::ProjectRead
        | O::QuotaRead
        | O::EventRead
        | O::JobRead
        | O::BlobRead
        | O::ImageRead
        | O::ImageTagRead
        | O::NetworkRead
        | O::PeerRead
        | O::InstanceRead
        | O::SshKeyRead
        | O::MemberRead => Rule::Reads(Role::Viewer),
        O::MemberLeave => Rule::Changes(Role::Viewer),
        O::BlobWrite
        | O::ImageCreate
        | O::ImageUpdate
        | O::ImageDelete
        | O::ImageTagSet
        | O::ImageTagDelete
        | O::NetworkCreate
        | O::NetworkUpdate
        | O::NetworkDelete
        | O::PeerCreate
        | O::PeerUpdate
        | O::PeerDelete
        | O::InstanceCreate
        | O::InstanceUpdate
        | O::InstancePower
        | O::InstanceConsole
        | O::InstanceSecretRead
        | O::InstanceDelete
        | O::SshKeyCreate
        | O::SshKeyDelete => Rule::Changes(Role::Member),
        O::TokenRead | O::InvitationRead | O::RevocationRead | O::AuditRead => {
            Rule::Reads(Role::Owner)
        }
        O::ProjectDelete
        | O::TokenCreate
        | O::TokenDelete
        | O::MemberUpdate
        | O::MemberDelete
        | O::InvitationCreate
        | O::InvitationDelete => Rule::Changes(Role::Owner),
        O::QuotaSet => Rule::SiteChangesIn,
        O::SiteInspect
        | O::MetricsRead
        | O::SiteEventRead
        | O::SiteAuditRead
        | O::SiteJobRead
        | O::ComponentRead
        | O::SiteTokenRead
        | O::UserRead => Rule::SiteReads,
        O::ProjectCreate
        | O::SiteConfirm
        | O::ComponentUpdate
        | O::ComponentDelete
        | O::ComponentRevoke
        | O::ComponentUpgrade
        | O::ComponentTokenCreate
        | O::BridgeAttach
        | O::SiteTokenCreate
        | O::SiteTokenDelete
        | O::UserUpdate
        | O::UserDelete => Rule::SiteChanges,
    }
}

/// Looks the table up for somebody, in a project or on the site as a whole.
pub fn decide(rights: &Rights, operation: Operation, project: Option<&Name>) -> Decision {
    if rights.site == Some(Role::Admin) {
        return Decision::Allowed;
    }
    let is_auditor = rights.site == Some(Role::Auditor);
    let role = project.and_then(|project| rights.projects.get(project));
    let (least, also_auditors) = match rule(operation) {
        Rule::Known => return Decision::Allowed,
        Rule::SiteReads if is_auditor => return Decision::Allowed,
        Rule::SiteReads => return Decision::Lacks(Role::Auditor),
        Rule::SiteChanges => return Decision::Lacks(Role::Admin),
        Rule::SiteChangesIn if role.is_some() || is_auditor => return Decision::Lacks(Role::Admin),
        Rule::SiteChangesIn => return Decision::Hidden,
        Rule::Reads(least) => (least, true),
        Rule::Changes(least) => (least, false),
    };
    match role {
        Some(role) if *role >= least => Decision::Allowed,
        _ if is_auditor && also_auditors => Decision::Allowed,
        Some(_) => Decision::Lacks(least),
        None if is_auditor => Decision::Lacks(least),
        None => Decision::Hidden,
    }
}

/// The table as a document.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    text.push_str(
        "| operation | viewer | member | owner | auditor | admin |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for operation in Operation::ALL {
        let project: Name = Name::default_project();
        let cell = |role: Role| {
            let rights = match role.is_of_site() {
                true => Rights {
                    site: Some(role),
                    ..Rights::default()
                },
                false => Rights {
                    site: None,
                    projects: BTreeMap::from([(project.clone(), role)]),
                },
            };
            match decide(&rights, *operation, Some(&project)) {
                Decision::Allowed => "yes",
                _ => "",
            }
        };
        let cells: Vec<&str> = Role::ALL.map(cell).to_vec();
        text.push_str(&format!("| `{operation:?}` | {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn of(role: Role) -> Rights {
        match role.is_of_site() {
            true => Rights {
                site: Some(role),
                ..Rights::default()
            },
            false => Rights {
                site: None,
                projects: BTreeMap::from([(name("garden"), role)]),
            },
        }
    }

    #[test]
    fn an_admin_may_do_all_and_an_auditor_changes_nothing() {
        for operation in Operation::ALL {
            let garden = name("garden");
            assert_eq!(
                decide(&of(Role::Admin), *operation, Some(&garden)),
                Decision::Allowed
            );
            let reads = matches!(
                rule(*operation),
                Rule::Known | Rule::Reads(_) | Rule::SiteReads
            );
            let allowed =
                decide(&of(Role::Auditor), *operation, Some(&garden)) == Decision::Allowed;
            assert_eq!(allowed, reads, "{operation:?}");
        }
    }

    #[test]
    fn more_of_a_role_is_never_less() {
        for operation in Operation::ALL {
            let garden = name("garden");
            let may = |role| decide(&of(role), *operation, Some(&garden)) == Decision::Allowed;
            assert!(!may(Role::Viewer) || may(Role::Member), "{operation:?}");
            assert!(!may(Role::Member) || may(Role::Owner), "{operation:?}");
        }
    }

    #[test]
    fn a_role_in_one_project_is_none_in_another_and_none_on_the_site() {
        for operation in Operation::ALL {
            for role in [Role::Viewer, Role::Member, Role::Owner] {
                for project in [Some(&name("shed")), None] {
                    let decision = decide(&of(role), *operation, project);
                    let known = rule(*operation) == Rule::Known;
                    assert_eq!(
                        decision == Decision::Allowed,
                        known,
                        "{operation:?} {role} {project:?}"
                    );
                    let of_projects = matches!(
                        rule(*operation),
                        Rule::Reads(_) | Rule::Changes(_) | Rule::SiteChangesIn
                    );
                    assert_eq!(
                        decision == Decision::Hidden,
                        of_projects,
                        "{operation:?} {role}"
                    );
                }
            }
        }
    }

    #[test]
    fn nobody_may_do_nothing() {
        for operation in Operation::ALL {
            let allowed = decide(&Rights::default(), *operation, None) == Decision::Allowed;
            assert_eq!(allowed, rule(*operation) == Rule::Known, "{operation:?}");
        }
    }
}

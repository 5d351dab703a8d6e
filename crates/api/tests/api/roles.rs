//! Every operation for every role, by the definition and by the table of roles: what of the two does not know of the other
//! fails here.

use std::collections::BTreeMap;

use reqwest::Method;
use rhyzome_app::Operation;
use rhyzome_app::policy::{Decision, Rights, decide};
use rhyzome_model::Name;
use rhyzome_model::role::Role;
use rhyzome_testkit::{Actor, Answer, TestCore};
use serde_json::{Value, json};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@x";

/// The operation of the table behind each of the definition's; none where everybody may.
fn behind(id: &str) -> Option<Operation> {
    use Operation as O;
    Some(match id {
        "docs" | "healthz" | "openapi" | "readyz" => return None,
        "login_methods" | "session_begin" | "invitation_redeem" | "join" | "authority_get" => {
            return None;
        }
        "whoami" | "session_end" => O::Whoami,
        "user_list" | "user_get" => O::UserRead,
        "user_update" => O::UserUpdate,
        "user_delete" => O::UserDelete,
        "member_list" | "member_get" => O::MemberRead,
        "member_update" => O::MemberUpdate,
        "member_delete" => O::MemberDelete,
        "revocation_get" => O::RevocationRead,
        "invitation_list" | "invitation_get" => O::InvitationRead,
        "invitation_create" => O::InvitationCreate,
        "invitation_delete" => O::InvitationDelete,
        "metrics" => O::MetricsRead,
        "site_get" => O::SiteRead,
        "site_held" => O::SiteInspect,
        "site_confirm" => O::SiteConfirm,
        "site_event_list" => O::SiteEventRead,
        "site_job_list" | "site_job_get" => O::SiteJobRead,
        "site_token_list" | "site_token_get" => O::SiteTokenRead,
        "site_token_create" => O::SiteTokenCreate,
        "site_token_delete" => O::SiteTokenDelete,
        "component_token_create" => O::ComponentTokenCreate,
        "component_list" | "component_get" => O::ComponentRead,
        "component_update" => O::ComponentUpdate,
        "component_delete" => O::ComponentDelete,
        "component_revoke" => O::ComponentRevoke,
        "component_upgrade" => O::ComponentUpgrade,
        "project_list" => O::ProjectList,
        "project_create" => O::ProjectCreate,
        "project_get" => O::ProjectRead,
        "project_delete" => O::ProjectDelete,
        "quota_get" => O::QuotaRead,
        "quota_set" => O::QuotaSet,
        "token_list" | "token_get" => O::TokenRead,
        "token_create" => O::TokenCreate,
        "token_delete" => O::TokenDelete,
        "blob_download" | "blob_head" | "upload_list" | "upload_get" => O::BlobRead,
        "blob_upload" | "upload_append" | "upload_delete" => O::BlobWrite,
        "event_list" => O::EventRead,
        "audit_list" | "audit_chain" | "audit_verify" => O::AuditRead,
        "site_audit_list" | "site_audit_chain" | "site_audit_verify" | "site_audit_chain_list" => {
            O::SiteAuditRead
        }
        "job_list" | "job_get" => O::JobRead,
        "image_tag_list" | "image_tag_get" => O::ImageTagRead,
        "image_tag_set" => O::ImageTagSet,
        "image_tag_delete" => O::ImageTagDelete,
        "image_list" | "image_get" | "image_verification" => O::ImageRead,
        "image_create" => O::ImageCreate,
        "image_update" | "image_verify" => O::ImageUpdate,
        "image_delete" => O::ImageDelete,
        "instance_list" | "instance_get" | "instance_why" => O::InstanceRead,
        "instance_create" => O::InstanceCreate,
        "instance_update" => O::InstanceUpdate,
        "instance_delete" => O::InstanceDelete,
        "instance_console" | "instance_console_attach" => O::InstanceConsole,
        "instance_reboot" | "instance_start" | "instance_stop" => O::InstancePower,
        "network_list" | "network_get" => O::NetworkRead,
        "network_create" => O::NetworkCreate,
        "network_update" => O::NetworkUpdate,
        "network_delete" => O::NetworkDelete,
        "peer_list" | "peer_get" => O::PeerRead,
        "peer_create" => O::PeerCreate,
        "peer_update" => O::PeerUpdate,
        "peer_delete" => O::PeerDelete,
        "ssh_key_list" | "ssh_key_get" => O::SshKeyRead,
        "ssh_key_create" => O::SshKeyCreate,
        "ssh_key_delete" => O::SshKeyDelete,
        other => panic!("{other} has no role that may do it: say which in this table"),
    })
}

/// A body with which nothing but the role is in the way.
fn body(id: &str) -> Option<Value> {
    let digest = "0".repeat(64);
    let peer =
        json!({"public_key": "mo5nyXfEjGbCLw0ZPqyDyZRXmmCqQKF4m7ZJvJjpGhc=", "networks": ["lab"]});
    let instance = json!({"image": "web", "networks": ["lab"], "memory": "64MiB"});
    Some(match id {
        "project_create" => json!({"name": "more"}),
        "component_token_create" => json!({}),
        "component_update" => json!({"spec": {}}),
        "component_upgrade" => json!({"to": "previous"}),
        "user_update" => json!({"spec": {}}),
        "member_update" => json!({"spec": {"role": "viewer"}}),
        "invitation_create" => json!({"spec": {"role": "viewer"}}),
        "site_token_create" => json!({"name": "more", "spec": {"role": "auditor"}}),
        "token_create" => json!({"name": "more", "spec": {"role": "viewer"}}),
        "quota_set" => json!({"spec": {"cpus": 8}}),
        "image_tag_set" => json!({"spec": {"image": "web"}}),
        "image_create" => json!({"name": "more", "spec": {"digest": digest}}),
        "image_update" => json!({"spec": {"digest": digest}}),
        "instance_create" => json!({"name": "more", "spec": instance}),
        "instance_update" => json!({"spec": instance}),
        "network_create" => json!({"name": "more", "spec": {}}),
        "network_update" => json!({"spec": {}}),
        "peer_create" => json!({"name": "more", "spec": peer}),
        "peer_update" => json!({"spec": peer}),
        "ssh_key_create" => json!({"name": "more", "spec": {"public_key": KEY}}),
        _ => return None,
    })
}

struct Endpoint {
    id: String,
    method: Method,
    /// With `{project}` in it.
    path: String,
    operation: Operation,
}

async fn endpoints(core: &TestCore) -> Vec<Endpoint> {
    let definition = core.anonymous().get("/openapi.json").await.good();
    let mut endpoints = Vec::new();
    for (path, item) in definition["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            let Some(operation) = behind(&id) else {
                continue;
            };
            let mut path = path
                .replace("{name}", "nothing")
                .replace("{tag}", "nothing:12")
                .replace("{digest}", &"0".repeat(64))
                .replace("{id}", "01a2031f-00ff-7281-b29f-513ab7a0dc4a");
            if id.ends_with("event_list") {
                path += "?follow=false";
            }
            endpoints.push(Endpoint {
                method: method.to_uppercase().parse().expect("a method"),
                id,
                path,
                operation,
            });
        }
    }
    endpoints
}

/// Somebody, and what they are.
struct Somebody {
    what: String,
    actor: Actor,
    rights: Rights,
}

async fn token(core: &TestCore, path: &str, name: &str, role: Role) -> String {
    let wanted = json!({"name": name, "spec": {"role": role}});
    let minted = core.admin().post(path).json(&wanted).await.good();
    minted["secret"].as_str().expect("a secret").to_owned()
}

async fn everybody(core: &TestCore) -> Vec<Somebody> {
    let mut all = Vec::new();
    for (project, roles) in [
        ("garden", &[Role::Viewer, Role::Member, Role::Owner][..]),
        ("shed", &[Role::Owner][..]),
    ] {
        core.admin()
            .post("/v1/projects")
            .json(&json!({"name": project}))
            .await
            .good();
        for role in roles {
            let secret = token(
                core,
                &format!("/v1/projects/{project}/tokens"),
                role.as_str(),
                *role,
            )
            .await;
            let project: Name = project.parse().expect("a name");
            all.push(Somebody {
                what: format!("{role} of {project}"),
                actor: core.admin().with_token(&secret),
                rights: Rights {
                    site: None,
                    projects: BTreeMap::from([(project, *role)]),
                },
            });
        }
    }
    let secret = token(core, "/v1/tokens", "auditor", Role::Auditor).await;
    for (role, actor) in [
        (Role::Auditor, core.admin().with_token(&secret)),
        (Role::Admin, core.admin()),
    ] {
        all.push(Somebody {
            what: role.to_string(),
            actor,
            rights: Rights {
                site: Some(role),
                ..Rights::default()
            },
        });
    }
    all
}

async fn ask(actor: &Actor, endpoint: &Endpoint, project: &str) -> Answer {
    let path = endpoint.path.replace("{project}", project);
    let mut call = actor.call(endpoint.method.clone(), &path);
    if endpoint.id == "upload_append" {
        call = call
            .header("upload-offset", "0")
            .header("upload-length", "9");
    }
    if endpoint.id == "blob_upload" {
        return call.body("x").await;
    }
    match body(&endpoint.id) {
        Some(body) => call.json(&body).await,
        None => call.await,
    }
}

/// What the core says of a project that is not there.
fn missing(project: &str) -> String {
    format!("there is no project {project}")
}

fn detail(answer: &Answer) -> String {
    match answer.bytes.first() {
        Some(b'{') => answer.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    }
}

fn check(somebody: &Somebody, endpoint: &Endpoint, project: &str, answer: &Answer) {
    let whom = format!(
        "{} to {} in {project}: {answer}",
        endpoint.id, somebody.what
    );
    let (status, no_body) = (answer.status.as_u16(), endpoint.method == Method::HEAD);
    let is_hidden = status == 404 && (no_body || detail(answer) == missing(project));
    let of_project = endpoint.path.contains("{project}");
    let name: Name = project.parse().expect("a name");
    match decide(
        &somebody.rights,
        endpoint.operation,
        of_project.then_some(&name),
    ) {
        Decision::Allowed if project == "nowhere" && of_project => assert!(is_hidden, "{whom}"),
        Decision::Allowed if no_body => assert!(![401, 403].contains(&status), "{whom}"),
        Decision::Allowed => assert!(![401, 403].contains(&status) && !is_hidden, "{whom}"),
        Decision::Hidden => assert!(is_hidden, "{whom}"),
        Decision::Lacks(role) => {
            assert_eq!(status, 403, "{whom}");
            assert!(no_body || detail(answer).contains(role.as_str()), "{whom}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let core = TestCore::start().await;
    let (everybody, endpoints) = (everybody(&core).await, endpoints(&core).await);
    assert!(endpoints.len() > 60, "{} endpoints", endpoints.len());
    for endpoint in &endpoints {
        let projects: &[&str] = match endpoint.path.contains("{project}") {
            true => &["garden", "shed", "nowhere"],
            false => &["garden"],
        };
        for project in projects {
            for somebody in &everybody {
                // What one deletes, nobody else can be asked about.
                let name: Name = project.parse().expect("a name");
                let may = decide(&somebody.rights, endpoint.operation, Some(&name));
                if endpoint.operation == Operation::ProjectDelete && may == Decision::Allowed {
                    continue;
                }
                let answer = ask(&somebody.actor, endpoint, project).await;
                check(somebody, endpoint, project, &answer);
            }
        }
    }
    core.stop().await;
}

/// How often is counted what a request asks of the database.
const AT_LEAST: usize = 5;
const AT_MOST: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_tell_what_there_is_from_what_there_is_not() {
    let core = TestCore::start().await;
    let (everybody, endpoints) = (everybody(&core).await, endpoints(&core).await);
    let stranger = everybody
        .iter()
        .find(|one| one.what == "owner of shed")
        .expect("one");
    core.admin()
        .post("/v1/projects/garden/ssh-keys")
        .json(&json!({"name": "nothing", "spec": {"public_key": KEY}}))
        .await
        .good();
    for endpoint in endpoints
        .iter()
        .filter(|endpoint| endpoint.path.contains("{project}"))
    {
        let there = ask(&stranger.actor, endpoint, "garden").await;
        let not_there = ask(&stranger.actor, endpoint, "gurden").await;
        let said = |answer: &Answer| {
            let mut said: Value = answer.json();
            // Each request has its own.
            said["request_id"] = Value::Null;
            said.to_string().replace("gurden", "garden")
        };
        assert_eq!(there.status, not_there.status, "{}", endpoint.id);
        assert_eq!(said(&there), said(&not_there), "{}", endpoint.id);
        assert_eq!(there.status.as_u16(), 404, "{}: {there}", endpoint.id);
        let mut asked = [u64::MAX; 2];
        // What the core does by itself meanwhile only adds to it: the least of many is what a request takes.
        for tried in 0..AT_MOST {
            if tried >= AT_LEAST && asked[0] == asked[1] {
                break;
            }
            for (least, project) in asked.iter_mut().zip(["garden", "gurden"]) {
                let before = core.core().store.statements();
                ask(&stranger.actor, endpoint, project).await;
                *least = (*least).min(core.core().store.statements() - before);
            }
        }
        assert_eq!(asked[0], asked[1], "queries of {}", endpoint.id);
        assert!(asked[0] > 0, "finding out who is asking takes some");
    }
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_its_own_project_alone_and_is_good_until_it_is_revoked() {
    let core = TestCore::start().await;
    let everybody = everybody(&core).await;
    let of = |what: &str| {
        &everybody
            .iter()
            .find(|one| one.what == what)
            .expect("one")
            .actor
    };
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("a list").iter();
        items
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let seen = of("viewer of garden").get("/v1/projects").await.good();
    assert_eq!(names(&seen), ["garden"]);
    let behind = of("viewer of garden")
        .get("/v1/projects?after=garden")
        .await
        .good();
    assert!(names(&behind).is_empty());
    let all = of("auditor").get("/v1/projects").await.good();
    assert_eq!(names(&all), ["default", "garden", "shed"]);
    // Used, which is noted; listed without what is secret.
    let listed = of("owner of garden")
        .get("/v1/projects/garden/tokens")
        .await
        .good();
    assert_eq!(names(&listed), ["member", "owner", "viewer"]);
    assert!(listed["items"][2]["last_used_at"].is_string(), "{listed}");
    assert!(!listed.to_string().contains("rz_"), "{listed}");
    let wrong = json!({"name": "x", "spec": {"role": "admin"}});
    let refused = of("owner of garden")
        .post("/v1/projects/garden/tokens")
        .json(&wrong)
        .await;
    assert_eq!(refused.problem(422, "invalid")["field"], "spec.role");
    of("owner of garden")
        .delete("/v1/projects/garden/tokens/viewer")
        .await
        .status(204);
    let late = of("viewer of garden").get("/v1/projects").await;
    late.problem(401, "unauthenticated");
    core.stop().await;
}

/// Shown at each operation: nothing, what has expired, what was revoked, and what its person may not have any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_what_is_good_no_longer_is_nobody() {
    let core = TestCore::start().await;
    let (everybody, endpoints) = (everybody(&core).await, endpoints(&core).await);
    let owner = everybody
        .iter()
        .find(|one| one.what == "owner of garden")
        .expect("one");
    let expired = owner.actor.with_token(&expired(&core).await);
    let revoked = token(&core, "/v1/projects/garden/tokens", "revoked", Role::Owner).await;
    core.admin()
        .delete("/v1/projects/garden/tokens/revoked")
        .await
        .status(204);
    let revoked = owner.actor.with_token(&revoked);
    let left = owner.actor.with_token(&left(&core).await);
    let nobody = core.anonymous();
    for endpoint in &endpoints {
        for (what, actor) in [
            ("expired", &expired),
            ("revoked", &revoked),
            ("left", &left),
            ("nobody", &nobody),
        ] {
            for project in ["garden", "nowhere"] {
                let answer = ask(actor, endpoint, project).await;
                assert_eq!(
                    answer.status.as_u16(),
                    401,
                    "{} to {what}: {answer}",
                    endpoint.id
                );
            }
        }
    }
    core.stop().await;
}

/// A token of an owner that was good until a second ago.
async fn expired(core: &TestCore) -> String {
    owner_until(core, "garden", -1000).await
}

/// A token of a project's owner that is good until so many milliseconds from now: nobody can ask for one so short.
pub async fn owner_until(core: &TestCore, project: &str, millis: i64) -> String {
    let secret = rhyzome_pki::token::ApiToken::mint(&mut rand::rng());
    let store = &core.core().store;
    let mut tx = store.write().await.expect("a transaction");
    let now = core.core().now();
    let project: Name = project.parse().expect("a name");
    let project = rhyzome_store::project::get(&mut tx, &project)
        .await
        .expect("read")
        .expect("a project");
    let row = rhyzome_store::token::NewToken {
        id: rhyzome_model::ApiTokenId(uuid::Uuid::now_v7()),
        hash: &secret.secret_hash().to_string(),
        owner: Some(rhyzome_model::ProjectId(project.meta.id)),
        name: &"short".parse().expect("a name"),
        role: Role::Owner,
        expires_at: Some(now.plus_millis(millis)),
        user: None,
    };
    rhyzome_store::token::insert(&mut tx, &row, now.plus_millis(millis - 1000))
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    secret.reveal()
}

/// What somebody shows whose last project was the garden.
async fn left(core: &TestCore) -> String {
    let wanted = json!({"spec": {"role": "owner"}});
    let minted = core
        .admin()
        .post("/v1/projects/garden/invitations")
        .json(&wanted)
        .await
        .good();
    let wanted = json!({"code": minted["code"], "name": "ada"});
    let redeemed = core
        .anonymous()
        .post("/v1/invitations/redeem")
        .json(&wanted)
        .await
        .good();
    core.admin()
        .delete("/v1/projects/garden/members/ada")
        .await
        .good();
    redeemed["session"]["secret"]
        .as_str()
        .expect("a secret")
        .to_owned()
}

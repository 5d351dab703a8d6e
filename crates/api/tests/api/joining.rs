//! Joining over a connection that breaks behind the core's commit.

use rhyzome_component::join::{self, JoinError, Joining, identity_folder};
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::client::joining_config;
use rhyzome_pki::{IdentityFolder, JoinToken};
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::pb::JoinRequest;
use rhyzome_proto::pb::enrollment_client::EnrollmentClient;
use rhyzome_testkit::TestCore;
use serde_json::json;

use crate::raw::{Raw, channel, identity};

const KIND: ComponentKind = ComponentKind::Libvirt;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_got_lost_is_repeated_by_the_same_command_and_by_nobody_else() {
    let core = TestCore::start().await;
    let (admin, url) = (core.admin(), core.grpc_url());
    let wanted = json!({"kind": KIND, "name": "late"});
    let made = admin.post("/v1/component-tokens").json(&wanted).await;
    let made = made.good();
    let text = made["token"].as_str().expect("a token");
    let token: JoinToken = text.parse().expect("a token");

    // As the component asks, which is then killed before it has the answer.
    let (own, strangers) = (tempfile::tempdir(), tempfile::tempdir());
    let (own, strangers) = (own.expect("a folder"), strangers.expect("a folder"));
    let folder = IdentityFolder::new(identity_folder(own.path()));
    let key = folder.key_to_join().expect("a key");
    let asked = JoinRequest::from(Join {
        token: token.reveal(),
        csr: key.request().expect("a request"),
        kind: KIND,
        name: None,
        hostname: "host".to_owned(),
    });
    let address = url.trim_start_matches("https://");
    let config = joining_config(token.authority()).expect("TLS");
    let mut client = EnrollmentClient::new(channel(address, config).await);
    let lost = client.join(asked.clone()).await;
    let lost = lost.expect("the core has let it in").into_inner();

    let request = |state_dir| join::Request {
        core: &url,
        token: text,
        state_dir,
        kind: KIND,
        name: None,
    };
    let used = "this join token was used already; make another one";
    // Whoever has seen the token has not its key.
    let stranger = join::join(request(strangers.path())).await;
    let Err(JoinError::Refused(why)) = stranger else {
        panic!("{stranger:?}")
    };
    assert_eq!(why, used);
    let again = join::join(request(own.path())).await.expect("joined");
    let expect = Joining::Joined {
        component: lost.component.clone(),
        name: "late".to_owned(),
    };
    assert_eq!(again, expect);
    let listed = admin.get("/v1/components").await.good();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));

    // It is what it shows to be; with that, nobody joins as it any more.
    let me = identity(own.path());
    assert_eq!(me.component_id(), lost.component);
    Raw::open(&url, &me).await;
    let refused = client.join(asked).await.expect_err("it has connected");
    assert_eq!(refused.message(), used);
    core.stop().await;
}

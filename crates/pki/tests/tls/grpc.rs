//! The acceptor under tonic: every request knows whose connection it came by.

use std::convert::Infallible;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rhyzome_pki::acceptor::ConnectInfo;
use rhyzome_pki::client::dial;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Endpoint, Server, Uri};
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::site::{joined, joining, site};

async fn who(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let info = request.extensions().get::<ConnectInfo>().cloned();
    let peer = info.and_then(|info| info.peer);
    let name = peer.map_or("nobody".to_owned(), |peer| peer.component_id);
    let mut response = Response::new(Body::empty());
    response
        .headers_mut()
        .insert("who", name.parse().expect("ids are ASCII"));
    Ok(response)
}

async fn ask(address: String, config: rustls::ClientConfig) -> String {
    let config = Arc::new(config);
    let connect = service_fn(move |_: Uri| {
        let (address, config) = (address.clone(), Arc::clone(&config));
        async move { dial(&address, config).await.map(TokioIo::new) }
    });
    let mut channel = Endpoint::from_static("https://core.rhyzome.internal")
        .connect_with_connector(connect)
        .await
        .unwrap();
    let request = Request::post("/who").body(Body::empty()).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    response.headers()["who"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_carries_the_identity_of_its_connection() {
    let mut site = site(31);
    let core = site.core().await;
    let address = core.address().to_string();
    let serving =
        tokio::spawn(Server::builder().serve_with_incoming(service_fn(who), core.incoming));
    let component = joined(&site.component("host-1"));
    assert_eq!(ask(address.clone(), component).await, "host-1");
    assert_eq!(ask(address, joining(site.pin())).await, "nobody");
    serving.abort();
}

//! A real S3 server in a process of its own, for tests: its buckets are folders in a folder.
//!
//! `rhyzome-test-s3 FOLDER ADDRESS ACCESS_KEY SECRET_KEY`

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address, access, secret] = &arguments[..] else {
        eprintln!("usage: rhyzome-test-s3 FOLDER ADDRESS ACCESS_KEY SECRET_KEY");
        std::process::exit(2);
    };
    let files = s3s_fs::FileSystem::new(Path::new(folder)).expect("a folder");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(access, secret.as_str()));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.expect("a free port");
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let service = service.clone();
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            // A client that goes away is none of its worries.
            let _ = http.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

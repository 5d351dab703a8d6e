//! A database for a test: an SQLite file, or one of its own on the PostgreSQL that `RHYZOME_TEST_POSTGRES`
//! names. Which of them a test is run on is decided outside of it, so that it cannot leave one out.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

/// The variable with the URL of a server's database, on which databases may be made.
pub const VARIABLE: &str = "RHYZOME_TEST_POSTGRES";

/// An empty database, which goes when this is dropped.
#[derive(Debug)]
pub struct Database {
    url: String,
    /// Where it was made, and its name there.
    server: Option<(String, String)>,
}

impl Database {
    /// # Panics
    /// If there is no PostgreSQL where the variable says that there is one.
    pub async fn new(folder: &Path) -> Self {
        match std::env::var(VARIABLE) {
            Ok(server) => Self::postgres(&server).await,
            Err(_) => Self::sqlite(folder),
        }
    }

    /// An SQLite file in a folder that lives as long.
    pub fn sqlite(folder: &Path) -> Self {
        Self {
            url: format!("sqlite://{}/test-{}.db", folder.display(), Uuid::new_v4()),
            server: None,
        }
    }

    /// # Panics
    /// If it cannot be made.
    pub async fn postgres(server: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        execute(server, statement)
            .await
            .expect("a database on the PostgreSQL of the tests");
        let (place, query) = server.split_once('?').unwrap_or((server, ""));
        let host = place.rsplit_once('/').map_or(place, |(host, _)| host);
        Self {
            url: format!("{host}/{name}?{query}"),
            server: Some((server.to_owned(), name)),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some((server, name)) = self.server.take() else {
            return;
        };
        // A test's runtime may be ending, and cannot be waited on from here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            runtime
                .block_on(execute(&server, statement))
                .map_err(std::io::Error::other)
        });
        // What is left goes with the server.
        let _ = dropping.join();
    }
}

async fn execute(server: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}

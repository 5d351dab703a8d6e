//! A process' objects on the bus.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{FOLDER, Status};

/// What a method answers.
pub type Reply = Result<Value, Status>;

/// Answers for a process, each caller on a thread, as long as the process is there.
pub fn serve<A, O>(process: &str, answer: A, objects: O)
where
    A: Fn(&str, &str, &Value) -> Reply + Send + Sync + 'static,
    O: Fn() -> Vec<String> + Send + Sync + 'static,
{
    fs::create_dir_all(FOLDER).expect("/tmp is there");
    let path = format!("{FOLDER}/{process}");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("nobody else has the name");
    let shared = Arc::new((answer, objects));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let _ = speak(stream, &shared.0, &shared.1);
            });
        }
    });
}

fn speak(
    mut stream: UnixStream,
    answer: &impl Fn(&str, &str, &Value) -> Reply,
    objects: &impl Fn() -> Vec<String>,
) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let request: Value = serde_json::from_str(&line)?;
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let said = match request["list"].as_bool() {
        Some(true) => json!({"objects": objects()}),
        _ => match answer(text("object"), text("method"), &request["arguments"]) {
            Ok(data) => json!({"status": 0, "data": data}),
            Err(status) => json!({"status": status as u8}),
        },
    };
    writeln!(stream, "{said}")
}

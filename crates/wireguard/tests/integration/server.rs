//! TCP servers inside a network's namespace. They go with the test's process.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::socket::Backlog;

use crate::site::enter;

/// What every fetch brings.
pub const GREETING: &[u8] = b"welcome to the network\n";

/// Greets, and closes.
pub fn greet(namespace: &str, address: IpAddr) -> SocketAddr {
    serve(namespace, address, |mut stream| stream.write_all(GREETING))
}

/// Sends back what comes until the client has ended its half, and then ends as well.
pub fn echo(namespace: &str, address: IpAddr) -> SocketAddr {
    serve(namespace, address, |mut stream| {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buffer)? {
                0 => return stream.shutdown(Shutdown::Write),
                read => stream.write_all(&buffer[..read])?,
            }
        }
    })
}

/// Takes all that comes until the client has ended its half, and then says how much it was.
pub fn count(namespace: &str, address: IpAddr) -> SocketAddr {
    serve(namespace, address, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        stream.write_all(all.len().to_string().as_bytes())
    })
}

/// Takes all that comes, and tells the test how much it was.
pub fn sink(namespace: &str, address: IpAddr) -> (SocketAddr, Receiver<usize>) {
    let (tell, told) = channel();
    let address = serve(namespace, address, move |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        tell.send(all.len()).map_err(std::io::Error::other)
    });
    (address, told)
}

/// Waits for a first byte and goes away without reading it, which resets the connection.
pub fn reset(namespace: &str, address: IpAddr) -> SocketAddr {
    serve(namespace, address, |stream| stream.peek(&mut [0]).map(drop))
}

fn serve(
    namespace: &str,
    address: IpAddr,
    answer: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
) -> SocketAddr {
    let namespace = namespace.to_owned();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        enter(&namespace);
        let listener = TcpListener::bind((address, 0)).unwrap();
        // The standard library's queue of 128 is shorter than what the tests bring at once: past it the
        // kernel answers with SYN cookies, and resets whoever has sent more than a segment by then.
        nix::sys::socket::listen(&listener, Backlog::new(4096).unwrap()).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream));
        }
    });
    told.recv().unwrap()
}

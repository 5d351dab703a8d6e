//! TLS as it happens: real handshakes over TCP on loopback.

#[cfg(test)]
mod grpc;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod site;
#[cfg(test)]
mod stalling;

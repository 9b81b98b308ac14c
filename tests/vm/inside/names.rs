//! The name server of the causes' worlds.

use std::net::UdpSocket;

use harness::dns;

/// Serves until it is killed.
#[test]
#[ignore = "runs inside a guest"]
fn serve() {
    dns::serve(&UdpSocket::bind("0.0.0.0:53").unwrap(), [198, 51, 100, 5].into());
}

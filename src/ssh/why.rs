//! Why a node behind a login master cannot be reached.
//!
//! Problem: ssh with ControlPersist sends its ProxyCommand's words to /dev/null, so all it says of
//! a login node that forwards nothing is "Connection closed by UNKNOWN port 65535". Solution: that
//! hop alone is tried once more, which costs no handshake, and what it says is the reason.

use std::time::Duration;

use super::error::Error;
use super::master::Master;
use super::node::Node;

/// How long login may take to connect to a node.
const LIMIT: Duration = Duration::from_secs(20);

/// The error with its reason, where the hop from login gives one.
pub(super) async fn explained(error: Error, via: &Master, node: &Node) -> Error {
    let Error::Unreachable { host, detail } = error else {
        return error;
    };
    let target = format!("[{}]:{}", node.address, node.port);
    let hop = via.client(&["-W", &target]).time_limit(LIMIT).output();
    let said = match hop.await {
        Ok(output) if output.status != 0 => output.stderr,
        _ => String::new(),
    };
    let mut lines = said.lines().map(str::trim);
    let detail = match lines.rfind(|line| !line.is_empty()) {
        Some(said) => format!("{} does not forward to it: {said}", via.host()),
        None => detail,
    };
    Error::Unreachable { host, detail }
}

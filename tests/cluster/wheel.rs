//! Packages for Python that are installed where no index is in reach.

use crate::host::Host;

const MAKER: &str = include_str!("wheel.py");

/// Lays a wheel of this package and these files into a folder of alice's home, and beside it the login
/// node's own pip, which the images lack.
#[track_caller]
pub(crate) fn lay(folder: &str, package: &str, version: &str, files: &serde_json::Value) {
    let make = "mkdir -p \"$1\" && cd \"$1\" && cp -r /usr/lib/python3/dist-packages/pip . && \
                python3 -c \"$2\" \"$3\" \"$4\" \"$5\"";
    let files = files.to_string();
    let words = [
        "bash", "-c", make, "bash", folder, MAKER, package, version, &files,
    ];
    Host::Login.run(&words).ok();
}

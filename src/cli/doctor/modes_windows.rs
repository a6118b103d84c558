//! Access lists that OpenSSH refuses, on Windows: told, since they are not read here.

use std::path::Path;

use crate::session::{Rung, Verdict};

/// The client's: ssh refuses a private key that others may read ("UNPROTECTED PRIVATE KEY FILE").
pub(super) fn of_client(home: &Path) -> Rung {
    let dot_ssh = home.join(".ssh");
    let told = format!(
        "access lists below {} are not looked at; ssh itself refuses a key that others may read",
        dot_ssh.display()
    );
    Rung::new("~/.ssh", Verdict::Skipped, told).cure(
        "icacls KEY /inheritance:r /grant:r \"%USERDOMAIN%\\%USERNAME%:F\" closes one that it refuses",
    )
}

//! The hidden `authorize`: the cluster's half of handing over the laptop's key.

use tokio::io::AsyncReadExt as _;

use super::args::{Wanted, public_key};
use super::setting::Setting;
use super::{Exit, Failure};

/// `qdebug authorize JOB`, the key on stdin.
pub(super) async fn authorize(wanted: Wanted) -> Result<u8, Failure> {
    let mut text = String::new();
    tokio::io::stdin()
        .take(16 << 10)
        .read_to_string(&mut text)
        .await?;
    let key = public_key(&text).map_err(|reason| Failure::new(Exit::Usage, reason))?;
    let login = Setting::load()?.login().await?;
    login.authorize(&wanted.job, &key).await?;
    Ok(0)
}

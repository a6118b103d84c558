//! `--sshd layer`: one layer with an OpenSSH server on top of an image, by the image's own package
//! manager. The kit serves any image without; this is for who wants the distribution's sshd.

use super::{BUILT_LABEL, Obtained, Sources, Teller, build};
use crate::cache::Key;
use crate::engine::{self, Build, BuildError, Context, Image, Reference};
use crate::node::Error;

/// Counts up whenever [`SCRIPT`] would make another layer.
const VERSION: &str = "1";
/// The script's exit status where the image has no package manager that it knows.
const NO_MANAGER: i64 = 65;

/// Run by the image's shell as root. The host keys that packages make are taken away: a session
/// has its own, and an image is copied.
const SCRIPT: &str = "set -e; export DEBIAN_FRONTEND=noninteractive; \
if [ -x /usr/sbin/sshd ]; then exit 0; \
elif command -v apt-get >/dev/null; then \
apt-get update -q && apt-get install -y -q --no-install-recommends openssh-server && \
rm -rf /var/lib/apt/lists/*; \
elif command -v dnf >/dev/null; then dnf install -y openssh-server && dnf clean all; \
elif command -v microdnf >/dev/null; then microdnf install -y openssh-server; \
elif command -v yum >/dev/null; then yum install -y openssh-server && yum clean all; \
elif command -v apk >/dev/null; then apk add --no-cache openssh-server; \
elif command -v zypper >/dev/null; then zypper --non-interactive install openssh && zypper clean; \
elif command -v pacman >/dev/null; then pacman -Sy --noconfirm openssh; \
else echo 'no package manager that qdebug knows'; exit 65; fi; \
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub; test -x /usr/sbin/sshd";

/// The image with an sshd in it.
pub(in crate::node) async fn with_sshd(
    sources: &Sources<'_>,
    base: Obtained,
    teller: &mut Teller<'_>,
) -> Result<Obtained, Error> {
    let key = Key::of(&["sshd-layer", VERSION, SCRIPT, &base.image.id]);
    let name = format!("{} with sshd", base.name);
    // A recipe can name an image only by a name: ours holds the id, and what it names is looked at
    // again when the layer is there.
    let base_tag = format!("qdebug-base:{}", key.short());
    let build = Build {
        context: Context::of_recipe(&recipe(&base_tag, &base.image)),
        args: std::collections::BTreeMap::new(),
        tag: format!("{}:{}", build::REPOSITORY, key.short()),
        labels: vec![(BUILT_LABEL.to_owned(), key.to_string())],
    };
    let is_recorded = sources.recorded(&key).await?.is_some();
    if !is_recorded {
        let tagged = sources
            .engine
            .tag(&base.image.id, "qdebug-base", key.short());
        tagged.await?;
    }
    let checked = async |_: &str| {
        let reference: Reference = base_tag.parse()?;
        let there = sources.engine.image(&reference).await?;
        Ok(there.is_some_and(|there| there.id == base.image.id))
    };
    let layered = build::made(sources, &key, &name, &build, teller, checked).await;
    if !is_recorded && let Err(error) = sources.engine.remove_image(&base_tag).await {
        tracing::debug!(%error, "the base keeps its name");
    }
    let mut layered = layered.map_err(|error| explained(error, &base.name))?;
    layered.notices.splice(0..0, base.notices);
    Ok(layered)
}

fn recipe(base_tag: &str, base: &Image) -> String {
    // Of an image's words none may become a line of the recipe.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    let user = match base.user.as_str() {
        user if !user.is_empty() && user.bytes().all(plain) => user,
        _ => "0",
    };
    let run = serde_json::json!(["/bin/sh", "-c", SCRIPT]);
    format!("FROM {base_tag}\nUSER 0\nRUN {run}\nUSER {user}\n")
}

/// What a failed layer means.
fn explained(error: Error, image: &str) -> Error {
    let Error::Engine(engine::Error::Build(BuildError::Failed { detail, lines, .. })) = error
    else {
        return error;
    };
    let no_manager = detail.contains(&format!("non-zero code: {NO_MANAGER}"))
        || detail.contains(&format!("exit status {NO_MANAGER}"));
    let no_shell = detail.contains("/bin/sh") && detail.contains("no such file");
    Error::SshdLayer {
        image: image.to_owned(),
        reason: match (no_manager, no_shell) {
            (true, _) => "it has no package manager that qdebug knows".to_owned(),
            (_, true) => "it has no shell".to_owned(),
            _ => "its package manager did not install one; has the node internet?".to_owned(),
        },
        // The recipe is ours: what was run is no news.
        lines: lines
            .into_iter()
            .filter(|line| !line.to_lowercase().starts_with("step "))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(user: &str) -> Image {
        Image {
            id: format!("sha256:{}", "a".repeat(64)),
            repo_digests: Vec::new(),
            env: Vec::new(),
            user: user.into(),
            workdir: String::new(),
            architecture: "amd64".into(),
            os: "linux".into(),
            layers: Vec::new(),
            bytes: 0,
        }
    }

    #[test]
    fn the_images_words_are_no_lines_of_the_recipe() {
        let text = recipe("qdebug-base:x", &image("app:app"));
        assert!(text.starts_with("FROM qdebug-base:x\nUSER 0\nRUN [\"/bin/sh\",\"-c\",\""));
        assert!(text.ends_with("\nUSER app:app\n"), "{text}");
        for odd in ["", "a\nRUN evil", "a b"] {
            assert!(recipe("b:x", &image(odd)).ends_with("\nUSER 0\n"));
        }
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn a_layer_that_failed_says_why() {
        let failed = |detail: &str| {
            let failed = BuildError::Failed {
                buildkit: Vec::new(),
                detail: detail.into(),
                lines: vec!["last".into()],
            };
            explained(engine::Error::Build(failed).into(), "busybox").to_string()
        };
        let text = failed("The command '/bin/sh -c ..' returned a non-zero code: 65");
        assert!(text.contains("no package manager"), "{text}");
        let text =
            failed("OCI runtime create failed: exec: \"/bin/sh\": stat /bin/sh: no such file");
        assert!(text.contains("no shell"), "{text}");
        let text = failed("returned a non-zero code: 100");
        assert!(text.contains("internet") && text.contains("last"), "{text}");
    }
}

//! IDEs on the user's machine: the files they read, edited so that everything else in them stays as
//! it is and all of it can be taken away again, and the commands that open a session in them.
//!
//! | file | owns |
//! |---|---|
//! | `vscode` | VS Code, Cursor, Windsurf, VSCodium: `settings.json`, `--remote` |
//! | `zed` | Zed: `zed ssh://` |
//! | `jetbrains` | links to Gateway and Toolbox |
//! | `pycharm` | PyCharm's SSH configuration, server and mapping of folders |
//! | `launch` | VS Code's `.vscode/launch.json`: a configuration that attaches to debugpy |
//! | `book`, `ledger` | what was written where, and its undoing |
//! | `jsonc`, `xml` | the two formats, changed as text |
//! | `home`, `program` | where IDEs keep their things, and where they are |
//! | `target` | what an IDE is told of a session, checked |
//!
//! It knows nothing of sessions and clusters, and runs no program: a name, a port on 127.0.0.1 and
//! folders are what it is given, an argv what it gives.

use std::fmt;

mod book;
mod error;
mod home;
mod jetbrains;
mod jsonc;
pub mod launch;
mod ledger;
mod program;
pub mod pycharm;
mod target;
pub mod vscode;
mod xml;
mod zed;

pub use book::{Book, Cleaned, Listed, Written};
pub use error::Error;
pub use home::Home;
pub use launch::Attach;
pub use ledger::{Entry, What};
pub use program::Command;
pub use target::Target;

/// An IDE that a session can be opened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ide {
    /// Visual Studio Code.
    Code,
    /// Cursor.
    Cursor,
    /// Windsurf.
    Windsurf,
    /// VSCodium.
    Codium,
    /// Zed.
    Zed,
    /// PyCharm on this machine, with an interpreter there.
    PyCharm,
    /// JetBrains Gateway, with an IDE's backend there.
    Gateway,
    /// JetBrains Toolbox, likewise.
    Toolbox,
}

impl Ide {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Code,
        Self::Cursor,
        Self::Windsurf,
        Self::Codium,
        Self::Zed,
        Self::PyCharm,
        Self::Gateway,
        Self::Toolbox,
    ];

    /// Its word on the command line, and its program's name where it has one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Cursor => "cursor",
            Self::Windsurf => "windsurf",
            Self::Codium => "codium",
            Self::Zed => "zed",
            Self::PyCharm => "pycharm",
            Self::Gateway => "gateway",
            Self::Toolbox => "toolbox",
        }
    }

    /// Whether it is of VS Code's family.
    pub fn is_vscode(self) -> bool {
        matches!(
            self,
            Self::Code | Self::Cursor | Self::Windsurf | Self::Codium
        )
    }

    /// Whether it puts a server of its own into the session, which wants things of the image.
    pub fn has_server(self) -> bool {
        self.is_vscode() || matches!(self, Self::Gateway | Self::Toolbox)
    }

    /// The command that opens a session's folder in it; `project` is its copy on this machine, for
    /// an IDE that works on one.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn command(
        self,
        home: &Home,
        target: &Target,
        project: Option<&std::path::Path>,
    ) -> Result<Command, Error> {
        match self {
            Self::Code | Self::Cursor | Self::Windsurf | Self::Codium => {
                Ok(vscode::command(vscode::program(self, home)?, target))
            }
            Self::Zed => zed::command(home, target),
            Self::PyCharm => pycharm::command(home, project),
            Self::Gateway => jetbrains::open(self, home, &jetbrains::gateway(target)),
            Self::Toolbox => jetbrains::open(self, home, &jetbrains::toolbox(target)),
        }
    }
}

impl fmt::Display for Ide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "VS Code",
            Self::Cursor => "Cursor",
            Self::Windsurf => "Windsurf",
            Self::Codium => "VSCodium",
            Self::Zed => "Zed",
            Self::PyCharm => "PyCharm",
            Self::Gateway => "JetBrains Gateway",
            Self::Toolbox => "JetBrains Toolbox",
        })
    }
}

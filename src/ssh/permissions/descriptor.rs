//! A file's security descriptor in Windows' own text for it (SDDL), and what Win32-OpenSSH makes of
//! it. That text is the same in every language, where account names are not.
//!
//! The rule is that of `check_secure_file_permission` in `w32-sshfileperm.c` of Win32-OpenSSH: the
//! owner and every entry that allows something are the user, SYSTEM, Administrators or
//! TrustedInstaller; of a configuration an entry may be anybody's that allows no writing. That ssh
//! takes another identifier of the same account, too, as a change of domains leaves it, is not seen
//! here.

/// Accounts that ssh takes beside the user: SYSTEM, Administrators, TrustedInstaller.
const TAKEN: [&str; 3] = [
    "S-1-5-18",
    "S-1-5-32-544",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
];

/// `FILE_WRITE_DATA`, `FILE_APPEND_DATA`, `FILE_WRITE_EA`, `FILE_WRITE_ATTRIBUTES`.
const WRITES: u32 = 0x2 | 0x4 | 0x10 | 0x100;

/// What of a descriptor ssh looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    owner: String,
    /// What is allowed, to whom; `None` where there is no list.
    allowed: Option<Vec<(u32, String)>>,
}

/// What ssh does not take of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Faults {
    pub(super) owner: Option<String>,
    pub(super) others: Vec<String>,
    pub(super) no_list: bool,
}

impl Faults {
    /// Whether ssh takes the file.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Descriptor {
    /// Reads one: `O:OWNERG:GROUPD:FLAGS(ENTRY)(ENTRY)S:...`; `None` for what is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (owner, rest) = account(text.trim().strip_prefix("O:")?)?;
        let rest = match rest.strip_prefix("G:") {
            Some(rest) => account(rest)?.1,
            None => rest,
        };
        let owner = in_full(owner).to_owned();
        // What follows of audits and labels is of no matter, but has entries, too.
        let Some(list) = rest.strip_prefix("D:") else {
            let none = rest.is_empty() || rest.starts_with("S:");
            return none.then_some(Self {
                owner,
                allowed: None,
            });
        };
        if list.starts_with("NO_ACCESS_CONTROL") {
            return Some(Self {
                owner,
                allowed: None,
            });
        }
        let mut allowed = Vec::new();
        let mut rest = list.trim_start_matches(|c: char| c.is_ascii_uppercase() && c != 'S');
        while let Some(entry) = rest.strip_prefix('(') {
            let (entry, after) = entry.split_at(end(entry)?);
            rest = &after[1..];
            let fields: Vec<&str> = entry.splitn(7, ';').collect();
            let [kind, _, rights, _, _, who, ..] = fields.as_slice() else {
                return None;
            };
            if *kind == "A" {
                allowed.push((mask(rights)?, in_full(who).to_owned()));
            }
        }
        let whole = rest.is_empty() || rest.starts_with("S:");
        whole.then_some(Self {
            owner,
            allowed: Some(allowed),
        })
    }

    /// What ssh does not take of it where `user` is who runs it.
    pub(super) fn faults(&self, user: &str, others_may_read: bool) -> Faults {
        let takes = |who: &str| {
            // `LA` is this machine's own Administrator, whose identifier ends so.
            TAKEN.contains(&who) || who == user || (who == "LA" && user.ends_with("-500"))
        };
        let Some(allowed) = &self.allowed else {
            return Faults {
                no_list: true,
                ..Faults::default()
            };
        };
        let refused = |(rights, who): &&(u32, String)| {
            let only_reads = rights & WRITES == 0;
            !(takes(who) || (others_may_read && only_reads))
        };
        let mut others: Vec<String> = Vec::new();
        for (_, who) in allowed.iter().filter(refused) {
            if !others.contains(who) {
                others.push(who.clone());
            }
        }
        Faults {
            owner: (!takes(&self.owner)).then(|| self.owner.clone()),
            others,
            no_list: false,
        }
    }
}

/// The account at the beginning of a text, and what follows: `S-1-5-...`, or two letters.
fn account(text: &str) -> Option<(&str, &str)> {
    let length = match text.strip_prefix("S-") {
        Some(rest) => {
            let is_of_it = |c: char| c.is_ascii_digit() || c == '-';
            2 + rest.find(|c| !is_of_it(c)).unwrap_or(rest.len())
        }
        None => 2,
    };
    let is_short = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    let (word, rest) = text.split_at_checked(length)?;
    (length > 2 || is_short(word)).then_some((word, rest))
}

/// Where the entry that has just begun ends: a condition in one has brackets and texts of its own.
fn end(entry: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0, false);
    for (at, c) in entry.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some(at),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Rights as a number: `0x1200a9`, or words of two letters in a row.
fn mask(rights: &str) -> Option<u32> {
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    let mut mask = 0;
    let mut rest = rights;
    while !rest.is_empty() {
        let (word, after) = rest.split_at_checked(2)?;
        mask |= match word {
            "FA" => 0x001f_01ff,
            "FR" => 0x0012_0089,
            "FW" => 0x0012_0116,
            "FX" => 0x0012_00a0,
            "GA" => 0x1000_0000 | WRITES,
            "GW" => 0x4000_0000 | WRITES,
            "GR" => 0x8000_0000,
            "GX" => 0x2000_0000,
            "KA" => 0x000f_003f,
            "KR" | "KX" => 0x0002_0019,
            "KW" => 0x0002_0006,
            "RC" => 0x0002_0000,
            "SD" => 0x0001_0000,
            "WD" => 0x0004_0000,
            "WO" => 0x0008_0000,
            "CC" => 0x1,
            "DC" => 0x2,
            "LC" => 0x4,
            "SW" => 0x8,
            "RP" => 0x10,
            "WP" => 0x20,
            "DT" => 0x40,
            "LO" => 0x80,
            "CR" => 0x100,
            _ => return None,
        };
        rest = after;
    }
    Some(mask)
}

/// The identifier that an abbreviation stands for, where it is the same on every machine.
fn in_full(who: &str) -> &str {
    match who {
        "SY" => TAKEN[0],
        "BA" => TAKEN[1],
        "WD" => "S-1-1-0",
        "AU" => "S-1-5-11",
        "BU" => "S-1-5-32-545",
        "IU" => "S-1-5-4",
        "OW" => "S-1-3-4",
        "CO" => "S-1-3-0",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1402048822-409899687-2319524958-1001";

    fn faults(text: &str, others_may_read: bool) -> Faults {
        let descriptor = Descriptor::read(text).unwrap_or_else(|| panic!("{text}"));
        descriptor.faults(USER, others_may_read)
    }

    #[test]
    fn what_windows_gives_files_of_a_profile_is_taken() {
        // A file below a user's own folder, and one that was closed to all but these two.
        let inherited = format!("O:{USER}G:{USER}D:(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{USER})");
        for text in [
            inherited.as_str(),
            "O:BAG:S-1-5-21-1402048822-409899687-2319524958-513D:PAI(A;;FA;;;SY)(A;;FA;;;BA)",
            "O:SYG:SYD:PAI(A;;FA;;;SY)(A;;FA;;;BA)S:(AU;SAFA;FA;;;WD)(ML;;NW;;;LW)",
            // What is denied, and what an audit watches, allows nobody anything.
            &format!("O:{USER}D:P(D;;FA;;;WD)(A;;0x1f01ff;;;{USER})"),
            &format!("O:{USER}D:P"),
        ] {
            assert!(faults(text, false).are_none(), "{text}");
        }
    }

    #[test]
    fn others_in_the_list_are_found() {
        // Recorded of a file that another account may read.
        let text = "O:BAG:S-1-5-21-2685101404-2783901971-939297808-513D:PAI(A;;FA;;;SY)\
                    (A;;FA;;;BA)(A;;0x1200a9;;;S-1-5-21-2685101404-2783901971-939297808-1001)";
        let other = "S-1-5-21-2685101404-2783901971-939297808-1001";
        assert_eq!(faults(text, false).others, [other]);
        assert!(faults(text, true).are_none(), "a configuration may be read");
        // Recorded of C:\Windows: several entries of one account, and one of a container's.
        let text = "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464\
            G:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464\
            D:PAI(A;OICIIO;GA;;;CO)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;BA)\
            (A;;0x1301bf;;;BA)(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;BU)\
            (A;CIIO;GA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)\
            (A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)\
            (A;;0x1200a9;;;AC)(A;OICIIO;GXGR;;;AC)(A;;0x1200a9;;;S-1-15-2-2)";
        let found = faults(text, false);
        assert_eq!(found.owner, None);
        assert_eq!(
            found.others,
            ["S-1-3-0", "S-1-5-32-545", "AC", "S-1-15-2-2"]
        );
        for (rights, may_write) in [
            ("FR", false),
            ("FX", false),
            ("FRFX", false),
            ("0x1200a9", false),
            ("FW", true),
            ("0x1301bf", true),
            ("GA", true),
            ("DC", true),
        ] {
            let text = format!("O:{USER}D:(A;;{rights};;;BU)");
            assert_eq!(!faults(&text, true).are_none(), may_write, "{rights}");
        }
    }

    #[test]
    fn a_foreign_owner_and_a_missing_list_are_found() {
        let other = "S-1-5-21-1-2-3-1002";
        let found = faults(&format!("O:{other}G:DUD:PAI(A;;FA;;;{USER})"), false);
        assert_eq!(found.owner.as_deref(), Some(other));
        for text in [
            "O:SYG:SY",
            "O:SYG:SYD:NO_ACCESS_CONTROL",
            "O:SYS:(ML;;NW;;;LW)",
        ] {
            assert!(faults(text, true).no_list, "{text}");
        }
        // The machine's own Administrator is abbreviated.
        let text = Descriptor::read("O:LAD:(A;;FA;;;LA)").unwrap();
        assert!(text.faults("S-1-5-21-1-2-3-500", false).are_none());
        assert!(!text.faults(USER, false).are_none());
    }

    #[test]
    fn what_is_no_descriptor_is_refused() {
        for text in [
            "",
            "D:(A;;FA;;;SY)",
            "O:",
            "O:é",
            "O:SYD:(A;;FA;;;SY",
            "O:SYD:(A;;FA)",
            "O:SYD:(A;;F;;;SY)",
            "O:SYD:(A;;ZZ;;;SY)",
            "O:SYD:(A;;FA;;;SY)x",
            "O:SYD:(A;;é;;;SY)",
            "O:SYx",
        ] {
            assert_eq!(Descriptor::read(text), None, "{text}");
        }
        let conditional = "O:SYD:(XA;;FX;;;WD;(@User.Title==\")PM(\" && (A || B)))(A;;FA;;;SY)";
        assert!(faults(conditional, false).are_none());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*", inner in "[A-Z();:0-9xS-]*") {
            let _ = Descriptor::read(&text);
            let _ = Descriptor::read(&format!("O:SYD:{inner}"));
        }
    }
}

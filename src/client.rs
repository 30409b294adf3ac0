//! Who is asking, and what is peculiar to that client.
//!
//! Each fact about a client is a column, a field of [`Quirks`]; each client that is known is a row of one table. Other
//! files ask for a fact and never for a name, and what follows from it stands where it is asked for. A column and a
//! row name the tests of the gateway that show them.
//!
//! What macOS does stands in what Apple has published of webdavfs (version 403) and of its kernel; the functions are
//! named.

use std::fmt;
use std::net::IpAddr;

/// Who is asking: as much as tells one client from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// The name it authenticated with.
    pub principal: Option<String>,
    pub address: IpAddr,
    /// The first word of its User-Agent, up to the slash: `WebDAVFS`, `davfs2`, `rclone`. Only the table below asks
    /// for it.
    product: String,
}

/// What a client does that others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// It makes a file empty and sends the content right after, so the empty file need not go to S3 by itself.
    /// macOS does so in `filesystem_create`; davfs2 locks the new name.
    ///
    /// Shown by `costs::creating_a_file_in_the_way_of_macos_and_davfs2`,
    /// `locks::what_a_lock_has_made_is_not_there_for_who_has_it`.
    pub fills_later: bool,
    /// From the `Date` of the answer to an empty PUT it makes up all attributes of the file, and believes in the
    /// size of 0 for a minute, whatever it streams meanwhile (`filesystem_create`). Without a date it asks.
    ///
    /// Shown by `finder::quirks::each_answer_has_a_date_but_the_one_to_macoss_empty_create`.
    pub sizes_what_is_dated: bool,
    /// For a part of a file it gives a program as many bytes as were asked for, however few came: the rest is what
    /// lay in the kernel's memory. After an error it waits for the download (`webdav_read_bytes`).
    ///
    /// Shown by `finder::quirks::only_macos_is_refused_a_range_that_reaches_beyond_the_end`.
    pub pads_short_reads: bool,
    /// It takes any 5xx for an absence (`translate_status_to_error`, `webdav_vnop_lookup`): files vanish, and are made
    /// anew over those that are there. So its requests wait for S3, and for credentials, nearly as long as it waits
    /// for them.
    ///
    /// Shown by `finder::rules::an_error_of_a_look_up_is_an_absence_to_who_makes_a_name`,
    /// `finder::blind::a_create_after_an_outage_empties_nothing`, `semantics::losing_credentials_is_weather`.
    pub takes_5xx_for_absence: bool,
    /// It has a negative lookup cache: what it did not find it does not look for again until the folder's date is
    /// another one (`webdav_vnop_lookup`). So that date has to move with what others make.
    ///
    /// Shown by `finder::saving::who_waits_for_a_file_of_others_sees_it_come`,
    /// `finder::saving::what_could_not_be_answered_is_asked_for_again`.
    pub caches_negative_lookups: bool,
    /// 409 means to it that there is no such file (`translate_status_to_error`), which is true of a missing parent
    /// alone.
    ///
    /// Shown by `finder::names::what_cannot_be_deleted_is_not_said_to_be_gone`.
    pub takes_409_for_absence: bool,
    /// 412 means to it that a program has called it wrongly, `EINVAL` (`translate_status_to_error`); 423 is a file
    /// in use.
    ///
    /// Shown by `conflicts::deleting_what_somebody_else_changed_is_refused_once`.
    pub takes_412_for_invalid_argument: bool,
    /// It tells no program that a file could not be stored when it was closed, and does not send it again
    /// (`webdav_vnop_close`). So an upload is worth any wait, and what is missing replaces no document.
    ///
    /// Shown by `finder::saving::a_document_is_not_replaced_by_what_could_not_be_stored`,
    /// `finder::saving::nothing_is_moved_while_its_content_comes`.
    pub hides_failed_close: bool,
    /// It looks at a file whenever a program opens or saves it (`webdav_vnop_lookup`, `webdav_vnop_getattr`): that says
    /// nothing of what the program has read of it.
    ///
    /// Shown by `finder::crashes::what_others_made_is_not_replaced_by_who_read_what_was_before`.
    pub looks_before_it_saves: bool,
    /// It gives up a file that it streams when nothing of it is taken for half a minute
    /// (`WEBDAV_WRITESEQ_REQUEST_TIMEOUT`); it is better refused at once, which it does tell.
    ///
    /// Shown by `finder::pauses::without_room_what_a_mac_copies_is_refused`.
    pub aborts_paused_uploads: bool,
    /// One connection that breaks takes the whole mount down for a while, and each file that is closed meanwhile loses
    /// its content (`handle_filesystem_request`). So what it still sends after an answer is read to its end.
    ///
    /// Shown by `finder::saving::a_refusal_comes_while_the_file_is_sent`,
    /// `finder::rules::while_the_server_is_away_each_close_loses_its_file`.
    pub goes_down_with_a_connection: bool,
    /// It forgets the token of its lock before it sends a refresh or an UNLOCK (`network_lock`), and after a crash: an
    /// own lock must not lock it out.
    ///
    /// Shown by `locks::macos_is_never_locked_out_by_its_own_lock`,
    /// `finder::saving::a_mac_that_crashed_can_write_again`.
    pub forgets_lock_tokens: bool,
    /// Beside the user's files it makes files of its own, `._name` and `.DS_Store`, without anybody asking for them,
    /// and looks for them all the time (`open_xattrfile` in the kernel, and Finder). Every other client that names one
    /// means a file.
    ///
    /// Shown by `finder::shelf::what_finder_writes_is_kept_and_shown_to_it_alone`,
    /// `semantics::what_macos_keeps_beside_files_stays_here`.
    pub writes_sidecars: bool,
    /// It sends names decomposed (NFD), however they were typed, as macOS's programs hand them over.
    ///
    /// Shown by `semantics::names`.
    pub decomposes_names: bool,
    /// Names that differ in their Unicode form alone are one file to it (`internal_get_node`).
    ///
    /// Shown by `finder::names::of_two_spellings_one_is_shown`.
    pub merges_unicode_forms: bool,
}

impl Client {
    /// The client that calls itself `agent`, as its User-Agent has it.
    pub fn new(principal: Option<String>, address: IpAddr, agent: &str) -> Self {
        let product = agent.split(['/', ' ']).next().unwrap_or_default();
        Self { principal, address, product: product.chars().take(MAX_PRODUCT).collect() }
    }

    /// What is peculiar to it.
    pub fn quirks(&self) -> &'static Quirks {
        TABLE.iter().find(|(product, _)| *product == self.product).map_or(&NONE, |(_, quirks)| quirks)
    }

    /// As people are told of it: its program, else the user of this machine, else where it is.
    pub fn described(&self, uid: Option<u32>) -> String {
        match (&*self.product, uid) {
            ("", Some(uid)) => format!("uid {uid}"),
            ("", None) => self.address.to_string(),
            (product, _) if self.address.is_loopback() => product.to_owned(),
            (product, _) => format!("{product} at {}", self.address),
        }
    }

    /// As rows of the state have it: it cannot be taken for another's.
    pub fn to_row(&self) -> String {
        let who = self.principal.as_deref().map_or("-".to_owned(), |name| format!("={name}"));
        format!("{} {} {who}", self.address, self.product)
    }

    /// The client of such a row.
    pub fn of_row(row: &str) -> Option<Self> {
        let mut parts = row.splitn(3, ' ');
        let (address, product, who) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let principal = who.strip_prefix('=').map(str::to_owned);
        Some(Self { principal, address, product: product.to_owned() })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} {}", self.principal.as_deref().unwrap_or(""), self.address, self.product)
    }
}

/// What is known of clients, by product.
const TABLE: &[(&str, Quirks)] = &[
    // The file system in macOS's kernel, which Finder and all programs on a Mac go through.
    (
        "WebDAVFS",
        Quirks {
            fills_later: true,
            sizes_what_is_dated: true,
            pads_short_reads: true,
            takes_5xx_for_absence: true,
            caches_negative_lookups: true,
            takes_409_for_absence: true,
            takes_412_for_invalid_argument: true,
            hides_failed_close: true,
            looks_before_it_saves: true,
            aborts_paused_uploads: true,
            goes_down_with_a_connection: true,
            forgets_lock_tokens: true,
            writes_sidecars: true,
            decomposes_names: true,
            merges_unicode_forms: true,
        },
    ),
    // By which Finder asks for OPTIONS before it mounts, and for nothing else.
    // Shown by `finder::scenarios::mounting::s01_asked_before_the_mount`.
    ("WebDAVLib", NONE),
    // Linux's, over FUSE. Shown by `clients::davfs2::davfs2_mounts_it_and_programs_work_there`.
    ("davfs2", Quirks { fills_later: true, ..NONE }),
    // GNOME's. Shown by `clients::scripts::gio_mounts_it`.
    ("gvfs", NONE),
    // Windows'. Its `Depth: 1,noroot` and its attributes of files are understood from whoever sends them.
    // Shown by `leniency::a_listing_without_its_folder`, `leniency::what_windows_says_of_a_file_is_kept`.
    ("Microsoft-WebDAV-MiniRedir", NONE),
    // Its `X-OC-Mtime` is understood from whoever sends it.
    // Shown by `clients::rclone::rclone_synchronises_both_ways`.
    ("rclone", NONE),
    // Its `If-None-Match: JoplinIgnore-…`, which is no list of tags, matches nothing, whoever sends such.
    // Shown by `leniency::an_if_none_match_that_is_none_matches_nothing`.
    ("Joplin", NONE),
];
/// All others do what RFC 4918 and RFC 9110 say.
const NONE: Quirks = Quirks {
    fills_later: false,
    sizes_what_is_dated: false,
    pads_short_reads: false,
    takes_5xx_for_absence: false,
    caches_negative_lookups: false,
    takes_409_for_absence: false,
    takes_412_for_invalid_argument: false,
    hides_failed_close: false,
    looks_before_it_saves: false,
    aborts_paused_uploads: false,
    goes_down_with_a_connection: false,
    forgets_lock_tokens: false,
    writes_sidecars: false,
    decomposes_names: false,
    merges_unicode_forms: false,
};
/// Characters. Those of real clients are below 20.
const MAX_PRODUCT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(agent: &str) -> Client {
        Client::new(None, [127, 0, 0, 1].into(), agent)
    }

    const MACOS: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";
    const DAVFS2: &str = "davfs2/1.6.1 neon/0.32.5";

    /// As they are sent, with the product that is the row's.
    const AGENTS: &[(&str, &str)] = &[
        (MACOS, "WebDAVFS"),
        ("WebDAVLib/1.3", "WebDAVLib"),
        (DAVFS2, "davfs2"),
        ("gvfs/1.50.3", "gvfs"),
        ("Microsoft-WebDAV-MiniRedir/10.0.22000", "Microsoft-WebDAV-MiniRedir"),
        ("rclone/v1.75.2", "rclone"),
        ("Joplin/1.0", "Joplin"),
    ];

    #[test]
    fn each_row_is_found_by_the_agent_that_is_sent() {
        let rows: Vec<_> = TABLE.iter().map(|(product, _)| *product).collect();
        assert_eq!(rows, AGENTS.iter().map(|(_, product)| *product).collect::<Vec<_>>());
        for ((agent, product), (_, quirks)) in AGENTS.iter().zip(TABLE) {
            let client = client(agent);
            assert_eq!((client.product.as_str(), client.quirks()), (*product, quirks), "{agent}");
        }
    }

    #[test]
    fn each_fact_holds_for_its_clients_alone() {
        type Column = (fn(&Quirks) -> bool, &'static [&'static str]);
        let columns: &[Column] = &[
            (|quirks| quirks.fills_later, &[MACOS, DAVFS2]),
            (|quirks| quirks.sizes_what_is_dated, &[MACOS]),
            (|quirks| quirks.pads_short_reads, &[MACOS]),
            (|quirks| quirks.takes_5xx_for_absence, &[MACOS]),
            (|quirks| quirks.caches_negative_lookups, &[MACOS]),
            (|quirks| quirks.takes_409_for_absence, &[MACOS]),
            (|quirks| quirks.takes_412_for_invalid_argument, &[MACOS]),
            (|quirks| quirks.hides_failed_close, &[MACOS]),
            (|quirks| quirks.looks_before_it_saves, &[MACOS]),
            (|quirks| quirks.aborts_paused_uploads, &[MACOS]),
            (|quirks| quirks.goes_down_with_a_connection, &[MACOS]),
            (|quirks| quirks.forgets_lock_tokens, &[MACOS]),
            (|quirks| quirks.writes_sidecars, &[MACOS]),
            (|quirks| quirks.decomposes_names, &[MACOS]),
            (|quirks| quirks.merges_unicode_forms, &[MACOS]),
        ];
        assert_eq!(format!("{NONE:?}").matches(": false").count(), columns.len(), "a fact is missing here");
        for (agent, _) in AGENTS {
            for (number, (holds, clients)) in columns.iter().enumerate() {
                assert_eq!(holds(client(agent).quirks()), clients.contains(agent), "{agent}, fact {number}");
            }
        }
    }

    #[test]
    fn nothing_is_peculiar_to_others() {
        for other in [
            "",
            "webdavfs",
            "curl/8.0",
            "WebDAVFS3/1",
            "Mozilla/5.0 WebDAVFS/3.0",
            "cadaver/0.24 neon/0.32.5",
        ] {
            assert_eq!(client(other).quirks(), &NONE, "{other:?}");
        }
        assert_eq!(client(&"x".repeat(1000)).product.len(), MAX_PRODUCT);
    }

    #[test]
    fn a_client_is_described_by_what_is_known_of_it() {
        let far = Client::new(None, [10, 0, 0, 1].into(), "curl/8.0");
        assert_eq!(client("davfs2/1.6.1 neon/0.32.5").described(Some(0)), "davfs2");
        assert_eq!(client("").described(Some(501)), "uid 501");
        assert_eq!(client("").described(None), "127.0.0.1");
        assert_eq!(far.described(None), "curl at 10.0.0.1");
    }
}

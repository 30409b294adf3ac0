//! What a file is, for people: a word and an icon.

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Picture,
    Video,
    Sound,
    Pdf,
    Table,
    Text,
    WebPage,
    Archive,
    Document,
    Presentation,
    Program,
    Other,
}

impl Kind {
    /// Of a content type, or of the name where that says nothing.
    pub(super) fn of(content_type: Option<&str>, name: &str) -> Self {
        match Self::of_type(content_type) {
            Self::Other => Self::of_name(name),
            told => told,
        }
    }

    fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.rsplit_once('.') {
            Some((_, "exe" | "msi")) => Self::Program,
            _ if TEXT_NAMES.contains(&&*name) => Self::Text,
            _ => Self::Other,
        }
    }

    fn of_type(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let bare = content_type.split(';').next().unwrap_or_default().trim();
        let (class, name) = bare.split_once('/').unwrap_or_default();
        let words: Vec<&str> = name.split(['.', '+', '-']).collect();
        let has = |known: &[&str]| words.iter().any(|word| known.contains(word));
        let ends_with = |known: &[&str]| words.last().is_some_and(|word| known.contains(word));
        match class {
            "image" => Self::Picture,
            "video" => Self::Video,
            "audio" => Self::Sound,
            "application" if name == "pdf" => Self::Pdf,
            "text" | "application" if has(TABLES) => Self::Table,
            "text" | "application" if matches!(name, "html" | "xhtml+xml") => Self::WebPage,
            "text" => Self::Text,
            "application" if has(PRESENTATIONS) => Self::Presentation,
            // An .epub is a .zip as well.
            "application" if has(DOCUMENTS) => Self::Document,
            "application" if has(ARCHIVES) => Self::Archive,
            "application" if ends_with(TEXTS) => Self::Text,
            "application" if has(PROGRAMS) => Self::Program,
            _ => Self::Other,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Folder => "Folder",
            Self::Picture => "Picture",
            Self::Video => "Video",
            Self::Sound => "Sound",
            Self::Pdf => "PDF",
            Self::Table => "Table",
            Self::Text => "Text",
            Self::WebPage => "Web page",
            Self::Archive => "Archive",
            Self::Document => "Document",
            Self::Presentation => "Presentation",
            Self::Program => "Program",
            Self::Other => "File",
        }
    }

    /// As `icons.html` calls its drawing.
    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Picture => "picture",
            Self::Video => "video",
            Self::Sound => "sound",
            Self::Pdf => "pdf",
            Self::Table => "table",
            Self::Text => "text",
            Self::WebPage => "web",
            Self::Archive => "archive",
            Self::Document => "document",
            Self::Presentation => "presentation",
            Self::Program => "program",
            Self::Other => "file",
        }
    }
}

/// Words of content types.
const TABLES: &[&str] = &["csv", "separated", "spreadsheet", "spreadsheetml", "excel", "calc", "parquet"];
const DOCUMENTS: &[&str] = &["opendocument", "wordprocessingml", "msword", "word", "writer", "rtf", "epub"];
const PRESENTATIONS: &[&str] = &["presentation", "presentationml", "powerpoint", "impress"];
const PROGRAMS: &[&str] = &["msdownload", "portable", "executable", "msi"];
const ARCHIVES: &[&str] = &[
    "zip",
    "gzip",
    "bzip",
    "bzip2",
    "xz",
    "zstd",
    "7z",
    "rar",
    "tar",
    "gtar",
    "ustar",
    "compress",
    "compressed",
];
const TEXTS: &[&str] = &["json", "xml", "yaml", "toml", "javascript", "sql", "sh"];

/// Names that are a text's wherever they stand, in small letters: they have no type by their name.
const TEXT_NAMES: &[&str] = &[
    "authors",
    "changelog",
    "changes",
    "containerfile",
    "contributing",
    "contributors",
    "copying",
    "copyright",
    "dockerfile",
    "gemfile",
    "install",
    "jenkinsfile",
    "justfile",
    "licence",
    "license",
    "makefile",
    "news",
    "notice",
    "notes",
    "procfile",
    "rakefile",
    "readme",
    "security",
    "thanks",
    "todo",
    "vagrantfile",
    "version",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_content_type_or_a_known_name() {
        let icons = include_str!("icons.html");
        for (name, kind) in [
            ("a.jpg", Kind::Picture),
            ("a.heic", Kind::Picture),
            ("a.svg", Kind::Picture),
            ("a.mp4", Kind::Video),
            ("a.mp3", Kind::Sound),
            ("a.pdf", Kind::Pdf),
            ("a.csv", Kind::Table),
            ("a.xlsx", Kind::Table),
            ("a.ods", Kind::Table),
            ("a.md", Kind::Text),
            ("a.html", Kind::WebPage),
            ("a.xhtml", Kind::WebPage),
            ("a.json", Kind::Text),
            ("a.zip", Kind::Archive),
            ("a.tar.gz", Kind::Archive),
            ("a.docx", Kind::Document),
            ("a.odt", Kind::Document),
            ("a.pptx", Kind::Presentation),
            ("a.ppt", Kind::Presentation),
            ("a.odp", Kind::Presentation),
            ("a.exe", Kind::Program),
            ("Setup.MSI", Kind::Program),
            ("README", Kind::Text),
            ("License", Kind::Text),
            ("Makefile", Kind::Text),
            ("Dockerfile", Kind::Text),
            ("todo", Kind::Text),
            (".gitignore", Kind::Text),
            ("exe", Kind::Other),
            ("makefile2", Kind::Other),
            ("a.epub", Kind::Document),
            ("a.sxw", Kind::Document),
            ("a.sdw", Kind::Document),
            ("a.sxc", Kind::Table),
            ("a.swf", Kind::Other),
            ("a.bin", Kind::Other),
            ("a", Kind::Other),
        ] {
            let kind_told = Kind::of(mime_guess::from_path(name).first_raw(), name);
            assert_eq!(kind_told, kind, "{name}");
            assert!(icons.contains(&format!("id=\"{}\"", kind.icon())) && !kind.word().is_empty());
        }
        assert_eq!(Kind::of(Some("Text/CSV; charset=utf-8"), "a"), Kind::Table);
        assert_eq!(Kind::of(Some("application/vnd.sqlite3"), "a"), Kind::Other);
        assert_eq!(Kind::of(Some("nonsense"), "a"), Kind::Other);
        // A type that was stored is believed.
        assert_eq!(Kind::of(Some("image/png"), "README"), Kind::Picture);
        assert_eq!(Kind::of(Some("binary/octet-stream"), "README"), Kind::Text);
    }
}

//! A folder's page.

use std::time::SystemTime;

use askama::Template;

use super::entry::Entry;
use super::kind::Kind;
use super::local::{Zone, ZoneName, machine_readable};
use super::order::{Column, Order};
use super::{STYLE, above, size};

/// A folder as its page shows it.
#[derive(Debug)]
pub struct Listing {
    /// What is served: a bucket, most often, or the path of a directory.
    pub source: String,
    /// The names of the folders from there to this one.
    pub path: Vec<String>,
    /// Whether the address that was asked for ends with a slash.
    pub has_slash: bool,
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub is_cut: bool,
    pub order: Order,
}

#[derive(Template)]
#[template(path = "listing.html")]
struct Page<'a> {
    style: &'static str,
    title: String,
    heading: &'a str,
    /// Of what the heading is the last part.
    whole: Option<&'a str>,
    crumbs: Vec<Crumb<'a>>,
    heads: [Head; 3],
    rows: Vec<Row<'a>>,
    summary: String,
    /// The number that is shown of more.
    cut_at: Option<String>,
    is_root: bool,
    zone: ZoneName,
}

/// A folder above.
struct Crumb<'a> {
    name: &'a str,
    href: String,
    whole: Option<&'a str>,
}

/// A column's head.
struct Head {
    name: &'static str,
    class: &'static str,
    href: String,
    /// For `aria-sort`, where the listing is sorted by it.
    sorted: Option<&'static str>,
}

struct Row<'a> {
    entry: &'a Entry,
    /// With the order that was chosen, which a folder is to have as well.
    query: &'a str,
    kind: Kind,
    size: String,
    exact: Option<String>,
    modified: Option<(String, String)>,
}

impl Listing {
    /// The page. It asks the system for the time zone, which may block, and sorts: not for a thread that must not wait.
    pub fn page(mut self) -> String {
        self.order.sort(&mut self.entries);
        let query = if self.order == Order::default() { String::new() } else { self.order.query() };
        let zone = Zone::read();
        let page = Page {
            style: STYLE,
            title: self.title(),
            heading: self.path.last().map_or(self.root(), |name| name),
            whole: self.whole().filter(|_| self.path.is_empty()),
            crumbs: self.crumbs(&query),
            heads: [Column::Name, Column::Size, Column::Modified].map(|column| self.head(column)),
            rows: self.entries.iter().map(|entry| Row::new(entry, &query, &zone)).collect(),
            summary: self.summary(),
            cut_at: self.is_cut.then(|| size::grouped(self.entries.len() as u64)),
            is_root: self.path.is_empty(),
            zone: zone.name(self.entries.iter().filter_map(|entry| entry.modified), SystemTime::now()),
        };
        // It writes into memory, and nothing in it can fail.
        page.render().unwrap_or_default()
    }

    /// `Summer – my-photos`: a tab has room for the beginning.
    fn title(&self) -> String {
        match self.path.last() {
            None => self.root().to_owned(),
            Some(name) => format!("{name} – {}", self.root()),
        }
    }

    /// What the root is called: of a directory the last part of its path.
    fn root(&self) -> &str {
        let last = self.source.trim_end_matches('/').rsplit('/').next();
        last.filter(|last| self.source.starts_with('/') && !last.is_empty()).unwrap_or(&self.source)
    }

    /// Of what that is the last part.
    fn whole(&self) -> Option<&str> {
        Some(&*self.source).filter(|whole| *whole != self.root())
    }

    fn crumbs(&self, query: &str) -> Vec<Crumb<'_>> {
        let names = std::iter::once(self.root()).chain(self.path.iter().map(|name| &**name));
        // Without the slash the address is one in the folder above already.
        let levels = self.path.len() - usize::from(!self.has_slash && !self.path.is_empty());
        let href = |depth: usize| format!("{}{query}", above(levels.saturating_sub(depth)));
        let crumb = |(depth, name)| {
            let whole = self.whole().filter(|_| depth == 0);
            Crumb { name, href: href(depth), whole }
        };
        names.take(self.path.len()).enumerate().map(crumb).collect()
    }

    fn head(&self, column: Column) -> Head {
        let (name, class) = match column {
            Column::Name => ("Name", "name"),
            Column::Size => ("Size", "size"),
            Column::Modified => ("Modified", "date"),
        };
        let is_sorted = self.order.column == column;
        let direction = if self.order.is_descending { "descending" } else { "ascending" };
        let href = self.order.after_click(column).query();
        Head { name, class, href, sorted: is_sorted.then_some(direction) }
    }

    /// `2 folders, 10 files, 3.1 GB`.
    fn summary(&self) -> String {
        let folders = self.entries.iter().filter(|entry| entry.is_folder).count();
        let files = self.entries.len() - folders;
        let mut parts = Vec::new();
        if folders > 0 {
            parts.push(size::count(folders, "folder"));
        }
        if files > 0 {
            let total = self.entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
            parts.extend([size::count(files, "file"), size::bytes(total)]);
        }
        parts.join(", ")
    }
}

impl<'a> Row<'a> {
    fn new(entry: &'a Entry, query: &'a str, zone: &Zone) -> Self {
        let modified = entry.modified.and_then(|time| Some((machine_readable(time)?, zone.shown(time)?)));
        if entry.is_folder {
            return Self { entry, query, kind: Kind::Folder, size: String::new(), exact: None, modified };
        }
        let kind = Kind::of(entry.content_type.as_deref(), &entry.name);
        let exact = Some(size::count(entry.size as usize, "byte"));
        Self { entry, query: "", kind, size: size::bytes(entry.size), exact, modified }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(path: &[&str], names: &[&str]) -> Listing {
        let entry = |name: &&str| Entry {
            name: (*name).to_owned(),
            href: name.replace(' ', "%20"),
            is_folder: name.ends_with('d'),
            size: if name.ends_with('d') { 0 } else { 1500 },
            modified: None,
            content_type: None,
        };
        Listing {
            source: "my-photos".to_owned(),
            path: path.iter().map(|name| (*name).to_owned()).collect(),
            has_slash: true,
            entries: names.iter().map(entry).collect(),
            is_cut: false,
            order: Order::default(),
        }
    }

    #[test]
    fn the_page_says_where_it_is() {
        let page = listing(&[], &["a"]).page();
        assert!(page.contains("<title>my-photos</title>") && page.contains("<h1>my-photos</h1>"), "{page}");
        assert!(!page.contains("href=\"../"), "there is nothing above it");
        let page = listing(&["Photos", "2026 <x>"], &[]).page();
        assert!(page.contains("<title>2026 &#60;x&#62; – my-photos</title>"), "{page}");
        let crumbs = |has_slash| {
            let listing = Listing { has_slash, ..listing(&["Photos", "2026"], &[]) };
            let crumbs = listing.crumbs("").into_iter();
            crumbs.map(|crumb| (crumb.name.to_owned(), crumb.href)).collect::<Vec<_>>()
        };
        let of = |root: &str, above: &str| {
            vec![("my-photos".to_owned(), root.to_owned()), ("Photos".to_owned(), above.to_owned())]
        };
        assert_eq!(crumbs(true), of("../../", "../"));
        assert_eq!(crumbs(false), of("../", "./"));
    }

    #[test]
    fn a_directory_is_called_by_the_last_part_of_its_path() {
        let on = |source: &str, path: &[&str]| Listing { source: source.to_owned(), ..listing(path, &[]) };
        let root = on("/srv/team/data", &[]).page();
        assert!(root.contains("<title>data</title>"), "{root}");
        assert!(root.contains("<h1 title=\"/srv/team/data\">data</h1>"), "{root}");
        let folder = on("/srv/team/data", &["Drafts", "Final drafts"]).page();
        assert!(folder.contains("<title>Final drafts – data</title>"), "{folder}");
        assert!(folder.contains("<h1>Final drafts</h1>"), "{folder}");
        assert!(folder.contains("<a href=\"../../\" title=\"/srv/team/data\">data</a>"), "{folder}");
        assert!(folder.contains("<a href=\"../\">Drafts</a>"), "{folder}");
        // Nothing else is cut.
        for source in ["/", "bucket/photos/2026", "one, two/photos"] {
            let page = on(source, &[]).page();
            assert!(page.contains(&format!("<h1>{source}</h1>")), "{page}");
        }
    }

    #[test]
    fn what_is_drawn_is_not_read_out() {
        let page = listing(&[], &["file", "folder d"]).page();
        assert_eq!(page.matches("<span aria-hidden=\"true\">–</span>").count(), 3, "{page}");
        assert_eq!(page.matches(">–<").count(), 3);
        assert_eq!(page.matches("<span class=\"unseen\">not known</span>").count(), 2, "{page}");
        // What a rule of the style draws has a text of its own, which is empty.
        let drawn = STYLE.matches("content:\"\\").count();
        assert!(drawn > 3);
        let silent = STYLE.lines().filter(|line| line.contains("/\"\"")).count();
        assert_eq!(silent, 4, "the separator and three arrows");
    }

    #[test]
    fn the_zone_is_said_where_the_times_are() {
        let page = listing(&[], &["a"]).page();
        let zone = Zone::read().name(std::iter::empty(), SystemTime::now()).short;
        assert!(page.contains(&format!(">Modified</a> ({zone})</th>")), "{page}");
    }

    #[test]
    fn the_order_goes_along_into_folders() {
        let order = Order::parse(Some("sort=size&order=asc"));
        let page = Listing { order, ..listing(&["x"], &["file", "folder d"]) }.page();
        for link in ["\"folder%20d?sort=size&#38;order=asc\"", "\"../?sort=size&#38;order=asc\"", "\"file\""]
        {
            assert!(page.contains(link), "{link}: {page}");
        }
        assert!(
            page.contains("aria-sort=\"ascending\"") && page.contains("?sort=size&#38;order=desc"),
            "{page}"
        );
        assert_eq!(page.matches("aria-sort=\"").count(), 1);
        assert!(!listing(&["x"], &["d"]).page().contains("d?sort"));
    }

    #[test]
    fn what_is_there_is_counted() {
        let summary = |names: &[&str]| listing(&[], names).summary();
        assert_eq!(summary(&["a", "b", "d"]), "1 folder, 2 files, 3.0 KB");
        assert_eq!(
            (summary(&["d", "dd"]), summary(&["a"])),
            ("2 folders".to_owned(), "1 file, 1.5 KB".to_owned())
        );
        let page = listing(&[], &[]).page();
        assert!(page.contains("Nothing is here yet") && !page.contains("<table"), "{page}");
        assert!(listing(&["x"], &[]).page().contains("This folder is empty"));
        let page = Listing { is_cut: true, ..listing(&[], &["a", "b"]) }.page();
        assert!(page.contains("More than 2 entries"), "{page}");
    }

    #[test]
    fn nothing_in_a_name_is_markup() {
        let page = listing(&["<b>"], &["<script>alert(1)</script>", "\"'&"]).page();
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("\"'&"), "{page}");
    }
}

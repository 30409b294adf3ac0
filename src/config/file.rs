//! The configuration file: options of `serve` by their long names, for all sources and for each.
//!
//! ```toml
//! cache-size = "1GiB"
//!
//! [sources.photos]
//! bucket = "my-photos"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::cli::{Layer, ServeArgs, option_names, served_names};
use crate::mistake::Mistake;
use crate::spelling;

/// A file that has been read.
#[derive(Debug, Default)]
pub struct File {
    /// For all sources.
    options: Layer,
    sources: BTreeMap<String, Layer>,
}

/// What the file says for the command line `args`.
pub fn layer(args: &ServeArgs) -> Result<Layer, Mistake> {
    let named = args.file.config.is_some() || args.file.source.is_some();
    let Some(file) = read(args.file.config.clone(), named)? else { return Ok(Layer::new()) };
    let is_named = !args.bucket.is_empty() || args.path.is_some() || args.s3files.file_system.id.is_some();
    file.layer(args.file.source.as_deref(), is_named)
}

/// What the file says for a source, whose name a command that does not serve was given.
pub(super) fn layer_of_source(config: Option<PathBuf>, source: &str) -> Result<Layer, Mistake> {
    read(config, true)?.unwrap_or_default().layer(Some(source), false)
}

/// The file; `None` without a home, where none need be. `named`: it must be there.
fn read(config: Option<PathBuf>, named: bool) -> Result<Option<File>, Mistake> {
    let path = match config.or_else(default_path) {
        Some(path) => path,
        None if named => {
            return Err(Mistake::new("there is no home directory", "name the file with --config"));
        }
        None => return Ok(None),
    };
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) => File::parse(&text)
            .map(Some)
            .map_err(|mistake| Mistake { message: format!("{shown}: {}", mistake.message), ..mistake }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(Some(File::default())),
        Err(error) => {
            let hint = "it contains [sources.NAME] tables with the options of `s3dav serve`";
            Err(Mistake::new(format!("the configuration {shown} cannot be read: {error}"), hint))
        }
    }
}

/// A value of the file that clap refused.
pub fn wrong_value(text: String) -> Mistake {
    Mistake::new(format!("in the configuration file: {text}"), "`s3dav serve --help` lists what it accepts")
}

/// The same place on all systems, since people take their dotfiles along.
pub fn default_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
    Some(base.join(Path::new("s3dav/config.toml")))
}

impl File {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Mistake::new(format!("line {line}: {}", error.message()), "the file is written in TOML")
        })?;
        let known = option_names();
        let mut sources = BTreeMap::new();
        if let Some(named) = table.remove(SOURCES) {
            let Value::Table(named) = named else {
                return Err(Mistake::new("sources is not a table", "write [sources.NAME] above its options"));
            };
            for (name, options) in named {
                let Value::Table(options) = options else {
                    let hint = format!("write [sources.{name}] above its options");
                    return Err(Mistake::new(format!("the source {name} is not a table"), &hint));
                };
                sources.insert(name, read_options(options, &known)?);
            }
        }
        Ok(Self { options: read_options(table, &known)?, sources })
    }

    /// The options of a source over those of all. `is_named`: the command line says what to serve.
    fn layer(mut self, source: Option<&str>, is_named: bool) -> Result<Layer, Mistake> {
        let names = self.sources.keys().cloned().collect::<Vec<_>>();
        let mut layer = self.options;
        let served = served_names();
        let says = |layer: &Layer| served.iter().any(|name| layer.contains_key(name));
        let forget = |layer: &mut Layer| layer.retain(|name, _| !served.contains(name));
        let own = match source {
            Some(name) => Some(self.sources.remove(name).ok_or_else(|| {
                let hint = match nearest(name, &names) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", names.join(", ")),
                };
                Mistake::new(format!("there is no source {name:?} in the configuration"), &hint)
            })?),
            None if is_named || says(&layer) => None,
            None if names.len() > 1 => {
                let hint = format!("name one with --source: {}", names.join(", "));
                return Err(Mistake::new("the configuration has several sources", &hint));
            }
            None => self.sources.pop_first().map(|(_, only)| only),
        };
        let own = own.unwrap_or_default();
        if says(&own) {
            // What is served is the source's, and not partly everybody's.
            forget(&mut layer);
        }
        layer.extend(own);
        if is_named {
            forget(&mut layer);
        }
        Ok(layer)
    }
}

fn read_options(table: Table, known: &[String]) -> Result<Layer, Mistake> {
    let mut options = Layer::new();
    for (name, value) in table {
        if !known.contains(&name) {
            let hint = match nearest(&name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => "`s3dav serve --help` lists the options".to_owned(),
            };
            return Err(Mistake::new(format!("there is no option {name:?}"), &hint));
        }
        let values = match value {
            Value::Array(values) => values.iter().map(text).collect::<Option<_>>(),
            value => text(&value).map(|text| vec![text]),
        };
        let values = values.ok_or_else(|| {
            Mistake::new(format!("{name} must be a string, a number, true, false or a list of strings"), "")
        })?;
        options.insert(name, values);
    }
    let served = served_names();
    let mut given = served.iter().filter(|name| options.contains_key(*name));
    if let (Some(one), Some(other)) = (given.next(), given.next()) {
        let message = format!("both {one} and {other} are given");
        return Err(Mistake::new(message, "a source is one or the other"));
    }
    Ok(options)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The name that was meant, most likely.
fn nearest<'n>(wrong: &str, names: &'n [String]) -> Option<&'n String> {
    spelling::like(wrong, names, str::to_owned, LIKE_ENOUGH).into_iter().next()
}

const SOURCES: &str = "sources";
/// From 0 to 1; as clap's own suggestions.
const LIKE_ENOUGH: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        cache-size = \"1GiB\"
        read-only = true
        [sources.photos]
        bucket = \"my-photos\"
        read-only = false
        [sources.both]
        bucket = [\"a\", \"b/c\"]
    ";

    fn mistake_of(text: &str, source: Option<&str>) -> String {
        let mistake = File::parse(text).and_then(|file| file.layer(source, false)).unwrap_err();
        format!("{} ({})", mistake.message, mistake.hint.unwrap_or_default())
    }

    #[test]
    fn a_source_stands_before_what_is_for_all() {
        let layer = File::parse(TEXT).unwrap().layer(Some("photos"), false).unwrap();
        assert_eq!(layer["bucket"], ["my-photos"]);
        assert_eq!((&*layer["read-only"][0], &*layer["cache-size"][0]), ("false", "1GiB"));
        assert_eq!(File::parse(TEXT).unwrap().layer(Some("both"), false).unwrap()["bucket"], ["a", "b/c"]);
        let named = File::parse(TEXT).unwrap().layer(None, true).unwrap();
        assert!(!named.contains_key("bucket") && named["read-only"] == ["true"]);
        let other = File::parse("path = '/x'\n[sources.b]\nbucket = 'b'").unwrap();
        assert!(!other.layer(Some("b"), false).unwrap().contains_key("path"));
        let far = File::parse("s3files = 'fs-1'\n[sources.b]\nbucket = 'b'").unwrap();
        assert_eq!(far.layer(Some("b"), false).unwrap().keys().collect::<Vec<_>>(), ["bucket"]);
        let far = File::parse("s3files = 'fs-1'").unwrap().layer(None, true).unwrap();
        assert!(far.is_empty(), "{far:?}");
        let only = File::parse("[sources.x]\npath = '/x'").unwrap().layer(None, false).unwrap();
        assert_eq!(only["path"], ["/x"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(mistake_of(TEXT, None).contains("--source: both, photos"));
        assert!(mistake_of(TEXT, Some("photo")).contains("did you mean photos?"));
        assert!(mistake_of("cash-size = '1GiB'", None).contains("did you mean cache-size?"));
        assert!(mistake_of("[sources.a]\nbuckets = 'x'", None).contains("did you mean bucket?"));
        assert!(mistake_of("detached = true", None).contains("no option"));
        assert!(mistake_of("bucket = 1.5", None).contains("must be a string"));
        assert!(mistake_of("bucket = 'a'\npath = '/b'", None).contains("both bucket and path are given"));
        assert!(mistake_of("bucket = 'a'\ns3files = 'fs-1'", None).contains("one or the other"));
        assert!(mistake_of("sources = 1", None).contains("[sources.NAME]"));
        assert!(mistake_of("a\nb = 1", None).contains("line 1"), "{}", mistake_of("a\nb = 1", None));
    }
}

//! A folder for a browser: a plain HTML listing.

use futures_util::StreamExt;
use http::{Response, StatusCode, header};

use super::propfind::{child_href, href};
use super::xml::escape;
use super::{Body, full};
use crate::fs::{Failure, Resource, ResourcePath, View};

/// Answers a GET of a folder.
pub(super) async fn answer(view: &dyn View, path: &ResourcePath) -> Result<Response<Body>, Failure> {
    let (folder, mut children) = view.list(path).await?;
    if !folder.is_folder {
        return Err(Failure::NotFound);
    }
    let base = href(path, true);
    let path = path.to_string();
    let title = escape(&path);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:15px system-ui;margin:2em}}td{{padding:.15em 1em .15em 0}}\
         td+td{{text-align:right;color:#666}}</style></head><body><h1>{title}</h1><table>\n"
    );
    let mut shown = 0;
    while let Some(child) = children.next().await {
        page.push_str(&row(&base, &child?));
        shown += 1;
        if shown == MAX_ROWS {
            page.push_str("<tr><td>… and more</td></tr>\n");
            break;
        }
    }
    page.push_str("</table></body></html>\n");
    let mut answer = Response::new(full(page));
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = header::HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(answer)
}

fn row(base: &str, child: &Resource) -> String {
    let (link, name) = (child_href(base, child), escape(&child.name));
    let date = httpdate::fmt_http_date(child.modified);
    match child.is_folder {
        true => format!("<tr><td><a href=\"{link}\">{name}/</a></td><td></td><td></td></tr>\n"),
        false => {
            format!("<tr><td><a href=\"{link}\">{name}</a></td><td>{}</td><td>{date}</td></tr>\n", child.size)
        }
    }
}

/// A page that a browser still shows with ease; it is made as a whole.
const MAX_ROWS: usize = 10_000;

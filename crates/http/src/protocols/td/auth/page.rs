//! The pages: plain HTML that a phone shows well, without a script, and with nothing in it that is not escaped.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1a1a1a;--back:#fff;--soft:#555;--line:#767676;--good:#0b6b2e;--bad:#b00020;--act:#0b57d0;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--text:#ececec;--back:#161616;--soft:#b5b5b5;--line:#8a8a8a;--good:#7ddc9a;--bad:#ff9aa2;--act:#a8c7fa;--on:#0a1a33}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--back);color:var(--text);font:1.125rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:34rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}\
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0 1rem}\
dl{margin:1rem 0}dt{color:var(--soft);font-size:1rem}dd{margin:0 0 .75rem;font-weight:600}\
label{display:block;margin-bottom:.25rem}\
input,button{font:inherit;width:100%;padding:.75rem 1rem;border-radius:.5rem}\
input{border:1px solid var(--line);background:transparent;color:inherit;font-family:ui-monospace,monospace;font-size:1.5rem;letter-spacing:.2em;text-transform:uppercase}\
button{margin-top:1rem;border:0;background:var(--act);color:var(--on);font-weight:600;cursor:pointer}\
input:focus-visible,button:focus-visible{outline:3px solid var(--act);outline-offset:2px}\
code{font-family:ui-monospace,monospace}\
.success,.error{border-left:.3rem solid;padding-left:.75rem;font-weight:600}\
.success{color:var(--good)}.error{color:var(--bad)}.soft{color:var(--soft)}";

/// The pages run nothing, load nothing, are framed by nobody, and send their forms nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// A page under construction. What is put into it is escaped, but for [`Self::html`].
pub(super) struct Page {
    title: &'static str,
    body: String,
}

impl Page {
    pub(super) fn new(title: &'static str) -> Self {
        Self { title, body: String::new() }
    }

    /// Markup of our own.
    pub(super) fn html(mut self, html: &'static str) -> Self {
        self.body.push_str(html);
        self
    }

    pub(super) fn paragraph(self, text: &str) -> Self {
        self.classed("", text)
    }

    pub(super) fn soft(self, text: &str) -> Self {
        self.classed(" class=\"soft\"", text)
    }

    pub(super) fn success(self, text: &str) -> Self {
        self.classed(" class=\"success\" role=\"status\"", text)
    }

    pub(super) fn error(self, text: &str) -> Self {
        self.classed(" class=\"error\" role=\"alert\"", text)
    }

    /// A line to be typed somewhere.
    pub(super) fn command(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p><code>{}</code></p>\n", escape(text)));
        self
    }

    /// What is what.
    pub(super) fn facts(mut self, facts: &[(&str, &str)]) -> Self {
        let items = facts.iter().map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
        self.body.push_str(&format!("<dl>\n{}</dl>\n", items.collect::<String>()));
        self
    }

    /// One button, which sends `value` as `name` to the page at `action`, relative to this one: there may be a path in
    /// front of all routes.
    pub(super) fn button(mut self, action: &str, name: &str, value: &str, label: &str) -> Self {
        self.body.push_str(&format!(
            "<form method=\"post\" action=\"{}\">\n<input type=\"hidden\" name=\"{}\" value=\"{}\">\n\
             <button type=\"submit\">{}</button>\n</form>\n",
            escape(action),
            escape(name),
            escape(value),
            escape(label),
        ));
        self
    }

    pub(super) fn answer(self, status: StatusCode) -> Response {
        let Self { title, body } = self;
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
        );
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("x-robots-tag"), "noindex"),
        ];
        (status, headers, html).into_response()
    }

    fn classed(mut self, class: &str, text: &str) -> Self {
        self.body.push_str(&format!("<p{class}>{}</p>\n", escape(text)));
        self
    }
}

/// `text` as it may stand between tags and in an attribute's quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The value of a form's or a query's field; the first, when it is there several times.
pub(super) fn field(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place() {
        let evil = "</p><script>alert('1')</script>&\"";
        let escaped = "&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;";
        let page = Page::new("T").paragraph(evil).soft(evil).success(evil).error(evil).command(evil);
        let page = page.facts(&[(evil, evil)]).button(evil, evil, evil, evil);
        assert_eq!(page.body.matches(escaped).count(), 11);
        assert!(!page.body.contains("<script"), "{}", page.body);
    }

    #[test]
    fn fields_are_read_as_forms_write_them() {
        let check = |form: &str, expected: Option<&str>| {
            assert_eq!(field(form.as_bytes(), "token").as_deref(), expected, "{form}");
        };
        check("token=a%2Eb", Some("a.b"));
        check("x=1&token=a+b&token=c", Some("a b"));
        check("token", Some(""));
        check("tokens=1", None);
        check("", None);
        check("token=%FF%00%", Some("\u{fffd}\0%"));
    }
}

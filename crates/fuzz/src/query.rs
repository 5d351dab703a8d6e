//! Queries of lists: where a page begins, and how long it is.

use std::str::from_utf8;

use http::Uri;
use rhyzome_api::extract::query;
use rhyzome_api::page::{Limit, PageQuery};
use rhyzome_api::problem::{Failure, Refused};

/// A cursor comes as it was given, without what no database takes; and no query makes a page of another size.
pub fn cursor(bytes: &[u8]) {
    let encoded: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    if let Ok(uri) = format!("/?after={encoded}").parse() {
        let text = String::from_utf8_lossy(bytes);
        let expect = (!text.contains(char::is_control)).then(|| Some(text.into_owned()));
        assert_eq!(page(&uri), expect);
    }
    // The same as a whole query.
    let uri = from_utf8(bytes).map(|text| format!("/?{text}").parse::<Uri>());
    if let Ok(Ok(uri)) = uri {
        page(&uri);
    }
}

/// Where the page begins; none if the query is refused.
fn page(uri: &Uri) -> Option<Option<String>> {
    match query::<PageQuery>(uri) {
        Ok(read) => {
            let request = read.request();
            assert!((1..=Limit::MAX).contains(&request.limit));
            let after = request.after.as_deref().unwrap_or_default();
            assert!(!after.contains(char::is_control));
            Some(request.after)
        }
        Err(refused) => {
            assert_refused(refused);
            None
        }
    }
}

/// What is wrong with a request is the caller's, and has a name.
pub fn assert_refused(refused: Refused) {
    let problem = Failure::from(refused).problem();
    assert!((400..500).contains(&problem.status), "{problem:?}");
    assert!(!problem.code.is_empty() && !problem.detail.is_empty());
    assert!(problem.field.is_some(), "{problem:?}");
}

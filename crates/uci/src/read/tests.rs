use super::*;

fn read(text: &str) -> Result<Package, ReadError> {
    Package::read("test".parse().unwrap(), text)
}

/// What a text says, a line for each section and option.
fn said(text: &str) -> String {
    match read(text) {
        Ok(package) => package
            .sections()
            .iter()
            .map(|section| format!("{section:?}\n"))
            .collect(),
        Err(error) => error.to_string(),
    }
}

/// One option's value.
fn check(text: &str, expect: &[&str]) {
    let package = read(&format!("config t\n{text}")).unwrap();
    let items: Vec<&str> = package.sections()[0].items_of("a").collect();
    assert_eq!(items, expect, "{text:?}");
}

#[test]
fn pieces_join_whatever_their_quotes() {
    check("option a bare", &["bare"]);
    check("\toption\ta 'single'  # why\n", &["single"]);
    check(r#"option a 'a'"b"c\ d"#, &["abc d"]);
    check(r"option a 'it'\''s'", &["it's"]);
    check(r#"option a "\n is \"n\"""#, &["n is \"n\""]);
    check("option a 'two\nlines'\n", &["two\nlines"]);
    check("option a \"two\\\nlines\"\n", &["twolines"]);
    check("option a two\\\nlines\n", &["twolines"]);
    check("option a two\\\r\nlines\n", &["twolines"]);
    check("option a zwölf\\ü\n", &["zwölfü"]);
    check("o a b\n", &["b"]);
}

#[test]
fn a_comment_begins_also_inside_a_bare_word() {
    check("option a b#c", &["b"]);
    check("option a 'b#c'", &["b#c"]);
    check("option a b\\#c", &["b#c"]);
    check("option a 'b'#c d", &["b"]);
}

#[test]
fn a_semicolon_ends_a_command_and_behind_a_bare_word_the_line() {
    check("option b c ;option a d", &["d"]);
    check("option b 'c';option a d", &["d"]);
    check("option b c;option a d", &[]);
    check("option a b;", &["b"]);
    assert_eq!(
        said("config t\noption a 'b';\n"),
        "line 2: \"\\n\" is none of package, config, option and list"
    );
}

#[test]
fn the_last_of_two_options_counts_and_an_empty_one_says_nothing() {
    check("option a b\noption a c\n", &["c"]);
    check("option a b\noption a ''\n", &["b"]);
    check("option a\n", &[]);
    check("list a b\noption a c\n", &["c"]);
}

#[test]
fn a_list_takes_what_was_none_and_empty_items() {
    check("option a b\nlist a c\n", &["b", "c"]);
    check("list a b\nlist a ''\nlist a\n", &["b", "", ""]);
}

#[test]
fn a_section_goes_on_where_its_name_comes_again() {
    let text = "config t x\noption a 1\nconfig t y\noption a 2\nconfig t 'x'\noption b 3\nconfig t x\noption c 4\n";
    insta::assert_snapshot!(said(text), @r#"
    Section { kind: "t", name: Some("x"), options: {"a": ["1"], "b": ["3"], "c": ["4"]} }
    Section { kind: "t", name: Some("y"), options: {"a": ["2"]} }
    "#);
}

#[test]
fn the_id_of_a_section_without_a_name_is_a_name_too() {
    let text = "config system\noption a 1\nconfig system cfg01e48a\noption b 2\n";
    insta::assert_snapshot!(said(text), @r#"Section { kind: "system", name: None, options: {"a": ["1"], "b": ["2"]} }"#);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        (
            "config t\n\nconfg x\n",
            "line 3: \"confg\" is none of package, config, option and list",
        ),
        (
            "config\n",
            "line 1: \"config\\n\" is none of package, config, option and list",
        ),
        ("config \n", "line 1: config without a name or a type"),
        ("option a b\n", "line 1: an option before the first section"),
        (
            "config t\noption a b c\n",
            "line 2: there is more behind it than option takes: \"c\"",
        ),
        (
            "config t x\nconfig u x\n",
            "line 2: the section x is a t above, and a u here",
        ),
        (
            "config t\noption a 'b\n\nc",
            "line 2: the ' that opens here is never closed",
        ),
        (
            "config t\noption a \"b\\",
            "line 2: the \" that opens here is never closed",
        ),
        (
            "config t 'a-b'\n",
            "line 1: \"a-b\" cannot be a section or an option: '-' may not be in it, but A-Z, a-z, 0-9 and _ may",
        ),
        ("config t\noption a '\0'\n", "line 2: a zero byte"),
    ];
    for (text, expect) in cases {
        assert_eq!(said(text), expect, "{text:?}");
    }
}

#[test]
fn an_export_has_its_packages() {
    let text = "package a\n\nconfig t\n\npackage b-c\n";
    let packages = Package::read_export(text).unwrap();
    let names: Vec<&str> = packages
        .iter()
        .map(|package| package.name().as_str())
        .collect();
    assert_eq!(names, ["a", "b-c"]);
    assert_eq!(packages[0].sections().len(), 1);
    let error = |text| Package::read_export(text).unwrap_err().to_string();
    assert_eq!(
        error("config t\n"),
        "line 1: a section before the first package"
    );
    assert_eq!(
        error("package a\npackage a\n"),
        "line 2: the package a is there twice"
    );
    // In a file, it is checked and says nothing.
    assert_eq!(read("package other\n").unwrap().name().as_str(), "test");
}

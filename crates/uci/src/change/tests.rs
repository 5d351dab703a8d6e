use super::*;

const HAVE: &str = "
config interface 'lan'
	option proto 'static'
config interface 'rz_1'
	option mark 'ours'
	option mtu '1500'
	option proto 'static'
config device 'rz_2'
	option mark 'ours'
config rule
	option mark 'ours'
";

fn package(text: &str) -> Package {
    Package::read("network".parse().unwrap(), text).unwrap()
}

fn ours(section: &Section) -> bool {
    section.text_of("mark") == Some("ours")
}

fn lines(have: &str, want: &str) -> String {
    match difference(&package(have), &package(want), ours) {
        Ok(changes) => changes.iter().map(|change| format!("{change}\n")).collect(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn only_our_named_sections_are_brought_to_what_is_wanted() {
    let want = "
config interface 'rz_1'
	option mark 'ours'
	option proto 'it''s'
	list dns '1'
	list dns '2'
config interface 'rz_2'
	option mark 'ours'
	option private_key 'hidden'
";
    insta::assert_snapshot!(lines(HAVE, want), @"
    delete rz_2
    delete rz_1.mtu
    set rz_1.proto='its'
    set list rz_1.dns='1' '2'
    set rz_2=interface
    set rz_2.mark='ours'
    set rz_2.private_key=…
    ");
    let (mut have, want) = (package(HAVE), package(want));
    let changes = difference(&have, &want, ours).unwrap();
    have.apply(&changes, ours).unwrap();
    assert_eq!(difference(&have, &want, ours), Ok(Vec::new()));
    assert_eq!(have.of_type("rule").count(), 1);
}

#[test]
fn a_foreign_sections_name_is_not_taken() {
    assert_eq!(
        lines(HAVE, "config interface lan\noption mark ours\n"),
        "the section lan is somebody else's"
    );
    assert_eq!(
        lines(HAVE, "config interface\noption mark ours\n"),
        "a section without a name is wanted: it has to have one"
    );
}

#[test]
fn nothing_is_applied_where_a_change_is_about_somebody_elses() {
    let delete = |section: &str| Change::DeleteSection {
        section: section.parse().unwrap(),
    };
    let mut have = package(HAVE);
    let before = have.clone();
    let error = have
        .apply(&[delete("rz_1"), delete("lan")], ours)
        .unwrap_err();
    assert_eq!(error, ChangeError::Foreign("lan".parse().unwrap()));
    assert_eq!(have, before);
    // The id of the rule without a name.
    let id = crate::package::id(4, have.sections()[3].kind());
    let error = have.apply(&[delete(&id)], ours).unwrap_err();
    assert_eq!(error, ChangeError::Foreign(id.parse().unwrap()));
    have.apply(&[delete("rz_1"), delete("rz_1")], ours).unwrap();
}
